//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package store

import (
	"errors"
	"os"
	"syscall"
)

// tryLock takes the lock of an open folder. The lock ends when it is closed, or with the process.
func tryLock(f *os.File) lockState {
	conn, err := f.SyscallConn()
	if err != nil {
		return lockUnknown
	}
	state := lockUnknown
	_ = conn.Control(func(fd uintptr) {
		switch err := syscall.Flock(int(fd), syscall.LOCK_EX|syscall.LOCK_NB); {
		case err == nil:
			state = lockTaken
		case errors.Is(err, syscall.EWOULDBLOCK):
			state = lockBusy
		}
	})
	return state
}
