//go:build keposs_crash && unix

package step

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// Armed reports whether this build can be told to die.
const Armed = true

var hits atomic.Int64

// At kills the process with SIGKILL when KEPOSS_CRASH_AT is name, or at the
// n-th arrival when it is "name:n".
func At(name string) {
	want, nth, counted := strings.Cut(os.Getenv("KEPOSS_CRASH_AT"), ":")
	if want == "" || want != name {
		return
	}
	if counted {
		n, err := strconv.ParseInt(nth, 10, 64)
		if err != nil || hits.Add(1) != n {
			return
		}
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way: nothing after this point runs
}
