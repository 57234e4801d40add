package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// adopt makes this process the parent of every orphan below it, so that a
// process left behind by keposs becomes visible as a child of the test.
func adopt(t testing.TB) {
	t.Helper()
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatalf("become subreaper: %v", err)
	}
}

// process is one line of the process table.
type process struct {
	pid, parent int
	state       byte
	name        string
}

// processes reads the table.
func processes(t testing.TB) map[int]process {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	out := map[int]process{}
	for _, s := range stats {
		b, err := os.ReadFile(s)
		if err != nil {
			continue // it ended meanwhile
		}
		text := string(b)
		open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
		if open < 0 || end < 0 {
			continue
		}
		rest := strings.Fields(text[end+1:])
		pid, _ := strconv.Atoi(strings.TrimSpace(text[:open]))
		parent, _ := strconv.Atoi(rest[1])
		out[pid] = process{pid, parent, rest[0][0], text[open+1 : end]}
	}
	return out
}

// descendants lists the living processes below pid; zombies are reaped when
// they are this process's own.
func descendants(t testing.TB, pid int) []process {
	t.Helper()
	all := processes(t)
	var out []process
	for _, p := range all {
		for at := p.parent; at != 0; at = all[at].parent {
			if at != pid {
				continue
			}
			if p.state == 'Z' && p.parent == os.Getpid() {
				_, _ = unix.Wait4(p.pid, nil, unix.WNOHANG, nil)
			} else {
				out = append(out, p)
			}
			break
		}
	}
	return out
}

// noOrphans fails t when processes of keposs outlive their command by more
// than patience.
func noOrphans(t testing.TB, before []process, patience time.Duration) {
	t.Helper()
	known := map[int]bool{}
	for _, p := range before {
		known[p.pid] = true
	}
	deadline := time.Now().Add(patience)
	for {
		var left []string
		for _, p := range descendants(t, os.Getpid()) {
			if !known[p.pid] {
				left = append(left, fmt.Sprintf("%d (%s, %c)", p.pid, p.name, p.state))
			}
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("processes outlive their command: %s", strings.Join(left, ", "))
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}
