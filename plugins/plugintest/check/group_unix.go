//go:build unix

package check

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup has cmd lead a process group, as a host does.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// killGroup ends the group of p, which is not reaped yet.
func killGroup(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }
