//go:build !unix

package escrowcmd

import "time"

var start = time.Now()

// cpu is the time gone by: an upper bound where no processor time can be had.
func cpu() time.Duration { return time.Since(start) }
