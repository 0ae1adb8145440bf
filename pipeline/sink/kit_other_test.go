//go:build !unix

package sink_test

import "syscall"

// asUser is not called where nobody is root.
func asUser(int, int) *syscall.SysProcAttr { return nil }
