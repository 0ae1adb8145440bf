//go:build unix && (!linux || android)

package feed

import "os"

// identity tells a file from all others. "" is unknown.
func identity(f *os.File) string { return fileNumber(f) }
