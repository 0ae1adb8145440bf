//go:build unix

package downloader

import "syscall"

// openFiles is how many files and connections the process may have open. Go has raised it to what the system allows.
func openFiles() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return int(min(uint64(limit.Cur), 1<<30)) //nolint:unconvert // it is an int64 on some systems
}
