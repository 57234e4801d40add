//go:build !unix

package bench

import "time"

var start = time.Now()

// CPU is the time gone by: an upper bound where no processor time can be had.
func CPU() time.Duration { return time.Since(start) }
