package cli

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc/probes"
)

// alone shuts this process off before it holds a secret: no core files, no
// reading by other processes of the user, no terminal of its own (a person types
// at the programs it serves), and, where the system lets it, no page on a swap
// device.
// req: K-15.5-03a, P-02
func alone() error {
	const op = "agent"
	if err := probes.Harden(); err != nil {
		return core.Errorf(core.Environment, op, "close this process's memory: %w", err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return core.Errorf(core.Environment, op, "%w", err)
	}
	defer null.Close()
	if err := unix.Dup3(int(null.Fd()), 0, 0); err != nil {
		return core.Errorf(core.Environment, op, "leave the terminal: %w", err)
	}
	// With a limit, a later allocation of the runtime would fail: then the
	// memory is not locked, and status says so.
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit) == nil && (limit.Cur == unix.RLIM_INFINITY || os.Geteuid() == 0) {
		_ = unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT)
	}
	return nil
}
