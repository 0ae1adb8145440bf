//go:build linux && !android

package feed

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// statx is the number of that call, as the kernel has it for each processor.
var statx = map[string]uintptr{
	"386": 383, "amd64": 332, "arm": 397, "arm64": 291, "loong64": 291, "ppc64": 383, "ppc64le": 383, "riscv64": 291, "s390x": 379,
}[runtime.GOARCH]

// identity tells a file from all others, also from one that gets its number when it has gone: by when it was made, where the file system knows that. "" is unknown.
func identity(f *os.File) string {
	const (
		atEmptyPath  = 0x1000
		wantInode    = 0x100
		wantBirth    = 0x800
		inodeAt      = 32
		secondsAt    = 80
		nanosecondAt = 88
	)
	conn, err := f.SyscallConn()
	if err != nil || statx == 0 {
		return fileNumber(f)
	}
	var b [256]byte
	var path [1]byte
	failed := syscall.ENOSYS
	err = conn.Control(func(fd uintptr) {
		_, _, failed = syscall.Syscall6(statx, fd, uintptr(unsafe.Pointer(&path)), atEmptyPath, wantInode|wantBirth, uintptr(unsafe.Pointer(&b)), 0)
	})
	if get := binary.NativeEndian; err == nil && failed == 0 && get.Uint32(b[:])&wantBirth != 0 {
		return fmt.Sprintf("inode %d of %d.%09d", get.Uint64(b[inodeAt:]), int64(get.Uint64(b[secondsAt:])), get.Uint32(b[nanosecondAt:]))
	}
	return fileNumber(f)
}
