//go:build !linux

package cputime

import "time"

var began = time.Now()

// Process is wall time where no CPU time is at hand: on an idle machine
// the same for one thread.
func Process() time.Duration { return time.Since(began) }

func Thread() time.Duration { return time.Since(began) }
