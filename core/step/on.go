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
// n-th arrival when it is "name:n". With KEPOSS_CRASH_OF=children it kills the
// children, which are the plugins, and goes on. Either way it first leaves a
// file of the point's name in the folder KEPOSS_CRASH_SEEN, so that a test
// knows that the point was reached.
func At(name string) {
	want, nth, counted := strings.Cut(os.Getenv("KEPOSS_CRASH_AT"), ":")
	if want == "" || want != name {
		return
	}
	if !counted {
		nth = "1"
	}
	n, err := strconv.ParseInt(nth, 10, 64)
	if err != nil || hits.Add(1) != n {
		return
	}
	if dir := os.Getenv("KEPOSS_CRASH_SEEN"); dir != "" {
		_ = os.WriteFile(dir+"/"+name, nil, 0o600)
	}
	if os.Getenv("KEPOSS_CRASH_OF") == "children" {
		for _, pid := range children() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way: nothing after this point runs
}

// children lists the processes whose parent this is, from the process table.
func children() (pids []int) {
	dir, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, d := range dir {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + d.Name() + "/stat")
		if err != nil {
			continue // it ended meanwhile
		}
		// "pid (name) state parent …"; the name may hold spaces and brackets.
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(os.Getpid()) {
			pids = append(pids, pid)
		}
	}
	return pids
}
