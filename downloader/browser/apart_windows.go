package browser

import (
	"os/exec"
	"syscall"
)

// apart keeps a console's Ctrl-C for this program from the browser: what is in flight is finished.
func apart(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.CreationFlags |= syscall.CREATE_NEW_PROCESS_GROUP
}
