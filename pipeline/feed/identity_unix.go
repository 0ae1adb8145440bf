//go:build unix

package feed

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// fileNumber is a file's number on its device. It may be that of another file when this one has gone.
func fileNumber(f *os.File) string {
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("inode %d on device %d", st.Ino, st.Dev)
}

// mine reports whether a file belongs to the user that this process runs as.
func mine(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int64(st.Uid) == int64(os.Geteuid())
}
