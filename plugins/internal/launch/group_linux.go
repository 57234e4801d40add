package launch

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// MaxTasks bounds the processes and threads of one plugin, where this process
// may make control groups.
const MaxTasks = 500

// hierarchy is where this process may make groups with a pids controller.
type hierarchy struct {
	dir string // of this process's own group
	v2  bool
}

// pids finds the hierarchy once; nil where there is none or it is not ours.
var pids = sync.OnceValue(func() *hierarchy {
	h := findPids()
	if h == nil {
		return nil
	}
	h.sweep()
	g, err := h.make("try") // the only sure way to know
	if err != nil {
		return nil
	}
	g.end()
	return h
})

// Limit says how plugins are kept from flooding the machine with processes.
func Limit() string {
	switch h := pids(); {
	case h == nil:
		return ""
	case h.v2:
		return fmt.Sprintf("a control group (version 2) of at most %d tasks for each plugin", MaxTasks)
	default:
		return fmt.Sprintf("a control group (version 1) of at most %d tasks for each plugin", MaxTasks)
	}
}

func findPids() *hierarchy {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil
	}
	mounts, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	defer mounts.Close()
	// ID PARENT MAJ:MIN ROOT POINT OPTIONS [FIELDS…] - TYPE SOURCE SUPER-OPTIONS
	v1, v2 := [2]string{}, [2]string{} // root and point
	for s := bufio.NewScanner(mounts); s.Scan(); {
		head, tail, ok := strings.Cut(s.Text(), " - ")
		f, t := strings.Fields(head), strings.Fields(tail)
		switch {
		case !ok || len(f) < 5 || len(t) < 3:
		case t[0] == "cgroup" && strings.Contains(","+t[2]+",", ",pids,"):
			v1 = [2]string{f[3], f[4]}
		case t[0] == "cgroup2":
			v2 = [2]string{f[3], f[4]}
		}
	}
	for line := range strings.Lines(string(own)) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(part) != 3 {
			continue
		}
		at := v2
		switch {
		case strings.Contains(","+part[1]+",", ",pids,") && v1[1] != "":
			at = v1
		case part[1] != "" || v2[1] == "" || !controls(v2[1]):
			continue
		}
		rel := part[2]
		if at[0] != "/" { // a container sees its own group as the root
			rel = strings.TrimPrefix(rel, at[0])
		}
		return &hierarchy{dir: filepath.Join(at[1], rel), v2: part[1] == ""}
	}
	return nil
}

func controls(point string) bool {
	b, err := os.ReadFile(filepath.Join(point, "cgroup.controllers"))
	return err == nil && strings.Contains(" "+strings.TrimSpace(string(b))+" ", " pids ")
}

const groupPrefix = "keposs-"

// sweep removes the empty groups of hosts that were killed.
func (h *hierarchy) sweep() {
	left, _ := filepath.Glob(filepath.Join(h.dir, groupPrefix+"*"))
	for _, dir := range left {
		host, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), groupPrefix), "-")
		if pid, err := strconv.Atoi(host); err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.Remove(dir)
		}
	}
}

var groups atomic.Uint64

// group is the control group of one plugin process and what it starts.
type group struct {
	dir string
	v2  bool
	fd  *os.File // version 2: what the child is born into
}

func (h *hierarchy) make(name string) (*group, error) {
	g := &group{v2: h.v2, dir: filepath.Join(h.dir, fmt.Sprintf("%s%d-%d-%s", groupPrefix, os.Getpid(), groups.Add(1), name))}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return nil, err
	}
	err := g.write("pids.max", strconv.Itoa(MaxTasks))
	if err == nil && g.v2 {
		g.fd, err = os.Open(g.dir)
	}
	if err != nil {
		_ = os.Remove(g.dir)
		return nil, err
	}
	return g, nil
}

func (g *group) write(file, text string) error {
	f, err := os.OpenFile(filepath.Join(g.dir, file), os.O_WRONLY, 0) // never made: these are the kernel's
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// enter moves the calling thread, which is locked, into a group of version 1,
// so that what it forks is born there; leave moves it back.
func (g *group) enter() error { return g.write("tasks", strconv.Itoa(unix.Gettid())) }

func (h *hierarchy) leave() {
	_ = (&group{dir: h.dir}).write("tasks", strconv.Itoa(unix.Gettid()))
}

// kill ends every process of the group, also those that left its process group.
func (g *group) kill() {
	if g.v2 && g.write("cgroup.kill", "1") == nil {
		return
	}
	for range 100 { // one that forks meanwhile is met the next time
		b, err := os.ReadFile(filepath.Join(g.dir, "cgroup.procs"))
		if err != nil || len(b) == 0 {
			return
		}
		for line := range strings.Lines(string(b)) {
			if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && pid > 1 && pid != os.Getpid() {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		time.Sleep(time.Millisecond)
	}
}

// end kills what is left and removes the group.
func (g *group) end() {
	g.kill()
	if g.fd != nil {
		_ = g.fd.Close()
	}
	for range 50 {
		if err := os.Remove(g.dir); err == nil || errors.Is(err, fs.ErrNotExist) {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}
