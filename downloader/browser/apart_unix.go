//go:build unix && !linux

package browser

import (
	"os/exec"
	"syscall"
)

// apart keeps a terminal's signals to this program, such as that of Ctrl-C, from the browser: what is in flight is finished.
func apart(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Setpgid = true
}
