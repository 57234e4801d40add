//go:build unix

package bench

import (
	"time"

	"golang.org/x/sys/unix"
)

// CPU is the processor time this process has used, user and system.
func CPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
