package feed

import (
	"fmt"
	"os"
	"syscall"
)

// identity tells a file from all others. "" is unknown.
func identity(f *os.File) string {
	conn, err := f.SyscallConn()
	if err != nil {
		return ""
	}
	var info syscall.ByHandleFileInformation
	var failed error
	err = conn.Control(func(handle uintptr) { failed = syscall.GetFileInformationByHandle(syscall.Handle(handle), &info) })
	if err != nil || failed != nil {
		return ""
	}
	return fmt.Sprintf("file %d.%d of %d on volume %d", info.FileIndexHigh, info.FileIndexLow, info.CreationTime.Nanoseconds(), info.VolumeSerialNumber)
}
