package child

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// Halt makes a process stand still until it is killed or told to go on.
func Halt(p *os.Process) error {
	err := p.Signal(syscall.SIGSTOP)
	if err == nil {
		still(p.Pid)
	}
	return err
}

// still waits until a process stands still, or has ended: a busy machine takes
// SIGSTOP to it late.
func still(pid int) {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		if strings.HasPrefix(rest, "T") || strings.HasPrefix(rest, "Z") {
			return
		}
	}
}
