//go:build unix

package faultscmd

import (
	"os"

	"golang.org/x/sys/unix"
)

// halt makes p stand still.
func halt(p *os.Process) error { return p.Signal(unix.SIGSTOP) }
