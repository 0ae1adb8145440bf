package browser

import (
	"os"
	"os/exec"
	"syscall"
)

// apart keeps a terminal's signals to this program, such as that of Ctrl-C, from the browser: what is in flight is finished. The browser ends with this program, however that ends; not
// where the system freezes and thaws programs (AWS Lambda), and takes the thread that has started it away.
func apart(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Setpgid = true
	if _, lambda := os.LookupEnv("LAMBDA_TASK_ROOT"); !lambda {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
}
