//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package feed

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// hold has nothing to do: the file says which process's it is.
func hold(*os.File) {}

// isFree reports whether the process that holds a file has ended. One that may not be asked has not.
func isFree(_ *os.File, pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return !errors.Is(err, fs.ErrPermission)
	}
	defer func() { _ = p.Release() }()
	return errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone)
}
