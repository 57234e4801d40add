package cputime

import (
	"time"

	"golang.org/x/sys/unix"
)

// Process is the CPU time of all threads of this process so far.
func Process() time.Duration { return clock(unix.CLOCK_PROCESS_CPUTIME_ID) }

// Thread is the CPU time of the calling thread; lock it first.
func Thread() time.Duration { return clock(unix.CLOCK_THREAD_CPUTIME_ID) }

// clock reads a CPU clock, exact to a microsecond; getrusage is exact to a
// timer tick only, the length of a whole sample.
func clock(id int32) time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(id, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
