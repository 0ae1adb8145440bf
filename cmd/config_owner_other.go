//go:build !unix

package cmd

import "io/fs"

// ownerTrusted is not asked where files have no owner that is a number.
func ownerTrusted(fs.FileInfo, string) bool { return true }
