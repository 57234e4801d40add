package check

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
)

// A relative is one process below the program: pid and start time, which
// together are never used again.
type relative struct{ pid, born string }

// below lists the processes that descend from pid, as /proc tells now; nil
// where there is no /proc.
func below(pid int) []relative {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	children := map[string][]relative{}
	for _, f := range files {
		if parent, r, ok := stat(f); ok {
			children[parent] = append(children[parent], r)
		}
	}
	var out []relative
	for next := []string{strconv.Itoa(pid)}; len(next) > 0 && len(out) < 4096; next = next[1:] {
		for _, r := range children[next[0]] {
			out = append(out, r)
			next = append(next, r.pid)
		}
	}
	return out
}

// stat reads the parent, the pid and the start time of a process that is not a
// zombie.
func stat(file string) (parent string, r relative, ok bool) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", r, false
	}
	// The second field is the name, which may hold anything but ends with the last ).
	head, rest, ok := strings.Cut(string(b), " ")
	if i := strings.LastIndexByte(rest, ')'); ok && i >= 0 {
		f := strings.Fields(rest[i+1:])
		if len(f) > 19 && f[0] != "Z" && f[0] != "X" {
			return f[1], relative{head, f[19]}, true
		}
	}
	return "", r, false
}

// noOrphans runs the program, ends it as a host does and looks for what it
// leaves. What it left is not ended: the check does not kill what it did not
// start.
func noOrphans(ctx context.Context, t Target) error {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		return Skip("there is no /proc to look for helpers in")
	}
	return connected(leavesNone)(ctx, t)
}

func leavesNone(_ context.Context, s *session, _ *grpc.ClientConn, _ Target) error {
	helpers := below(s.cmd.Process.Pid)
	_ = s.stdin.Close()
	if err := s.waitExit(time.Second); err != nil {
		return err
	}
	var left []string
	for range 20 { // the kernel's own time to end them
		left = nil
		for _, h := range helpers {
			if _, r, ok := stat("/proc/" + h.pid + "/stat"); ok && r == h {
				left = append(left, h.pid)
			}
		}
		if left == nil {
			return nil
		}
		time.Sleep(25 * time.Millisecond)
	}
	slices.Sort(left)
	return fmt.Errorf("%d helpers outlive it: process %s", len(left), strings.Join(left, ", "))
}
