//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package feed

import (
	"os"
	"syscall"
)

// hold marks an open file as this process's, until it is closed or the process ends. Where that cannot be done nobody else can do it either.
func hold(f *os.File) { _ = lock(f) }

// isFree reports whether no process holds a file. The number of the one that did so says nothing: there may be several processes with that number, in several containers.
func isFree(f *os.File, _ int) bool { return lock(f) == nil }

// lock takes the lock of an open file, if nobody has it.
func lock(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) { failed = syscall.Flock(int(fd), syscall.LOCK_EX|syscall.LOCK_NB) })
	if err != nil {
		return err
	}
	return failed
}
