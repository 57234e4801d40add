package child

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Process is a program in a process group of its own.
type Process struct {
	// Ended is closed when the program has ended; Err tells how from then on.
	Ended <-chan struct{}
	Err   error

	cmd *exec.Cmd
}

// Start starts cmd as user as; nil = as this process's.
func Start(cmd *exec.Cmd, as *syscall.Credential) (*Process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: as}
	ended := make(chan struct{})
	p := &Process{Ended: ended, cmd: cmd}
	started := make(chan error)
	go func() { // the kernel ends the program when the thread that started it ends
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.Err = cmd.Wait()
			close(ended)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Signal sends a signal to the whole group.
func (p *Process) Signal(s syscall.Signal) { _ = syscall.Kill(-p.cmd.Process.Pid, s) }

// Halt makes the group stand still.
func (p *Process) Halt() {
	p.Signal(syscall.SIGSTOP)
	still(p.cmd.Process.Pid)
}

// HaltAll makes the program and the processes it started stand still, whatever
// group they are in, and returns the ids of those that do, also with an error:
// each goes on at SIGCONT.
func (p *Process) HaltAll() ([]int, error) {
	id := p.cmd.Process.Pid
	all := []int{id}
	p.Halt() // first: from then on it starts no more
	list, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", id, id))
	if err != nil {
		return all, err
	}
	for _, f := range strings.Fields(string(list)) {
		pid, err := strconv.Atoi(f)
		if err != nil {
			return all, err
		}
		_ = syscall.Kill(pid, syscall.SIGSTOP)
		all = append(all, pid)
	}
	for _, pid := range all {
		still(pid)
	}
	return all, nil
}

// End ends the group with a signal, by force after 5 s, and waits for the program.
func (p *Process) End(s syscall.Signal) {
	p.Signal(s)
	select {
	case <-p.Ended:
	case <-time.After(5 * time.Second):
		p.Signal(syscall.SIGKILL)
		<-p.Ended
	}
}
