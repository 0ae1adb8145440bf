//go:build !linux

package downloader

import "syscall"

// leavePort is for Linux alone: elsewhere a bound socket has its port at once.
func leavePort(syscall.RawConn) error { return nil }
