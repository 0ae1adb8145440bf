//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package browser

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// owned is the file in a browser's temporary folder on which its program holds a lock, for as long as it lives.
const owned = "tulle.lock"

// hold marks a browser's folder as this program's, until what it returns is closed. The file has its name only when it is locked, so that no other program finds it before.
func hold(folder string) (io.Closer, error) {
	at := filepath.Join(folder, owned)
	f, err := os.OpenFile(at+".new", os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err = lock(f); err == nil {
		err = os.Rename(f.Name(), at)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// sweep removes the folders of browsers whose programs have been killed, and had no time to. What can't be removed is left for another time.
func sweep(parent string) {
	marks, _ := filepath.Glob(filepath.Join(parent, profiles+"*", owned))
	for _, mark := range marks {
		if empty(filepath.Dir(mark)) {
			_ = os.Remove(filepath.Dir(mark))
		}
	}
}

// empty removes what is in a folder, if nobody holds it, the mark at last. Nothing outside of it is touched, whoever else may write into its parent.
func empty(folder string) bool {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return false
	}
	defer root.Close()
	f, err := root.OpenFile(owned, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	if lock(f) != nil {
		return false
	}
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return false
	}
	for _, e := range entries {
		if e.Name() != owned && root.RemoveAll(e.Name()) != nil {
			return false
		}
	}
	return root.Remove(owned) == nil
}

// lock takes the lock of an open file, if nobody has it. It ends when the file is closed, or with the program.
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
