package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keposs/keposs/cmd/keposs/internal/needle"
)

// What a person types and the administrator's password reach no log line, no
// output, no file, no argument and no environment of any process, from set-up
// to the lock and at the most talkative level.
// req: K-5.3-02d, K-15.4-02b, TK-02
func TestNoSecretLeaks(t *testing.T) {
	adopt(t)
	secrets := []needle.Needle{
		{Name: "the PIN", Data: []byte(sitePIN)},
		{Name: "the gesture", Data: []byte(siteGesture)},
		{Name: "the gesture's dots", Data: []byte("215968")},
		{Name: "the wrong PIN", Data: []byte("314159")},
		{Name: "the password", Data: []byte(sitePassword)},
	}
	bin := builtBinary(t)
	seen := watch(t, secrets)
	s := newSite(t, bin, "debug")
	x := s.terminal(t)
	said := t.TempDir() // every output of every command
	keep := func(name string, r run) {
		t.Helper()
		res := s.run(t, r)
		if err := os.WriteFile(filepath.Join(said, name), []byte(res.out+res.errs), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	steps := []struct {
		name string
		r    run
	}{
		{"init", x.init("2")}, {"sign", x.sign("answers")}, {"wrong", x.sign("wrong")}, {"again", x.sign("wrong")},
		{"locked", x.sign("answers")}, {"login", run{dir: s.dir, fd3: s.file("wrong"), args: []string{"admin", "login", "--password-fd", "3"}}},
		{"list", run{dir: s.dir, args: []string{"admin", "user", "list", "--json"}}},
		{"audit", run{dir: s.dir, args: []string{"admin", "audit", "show"}}},
	}
	for _, step := range steps {
		if step.r.dir == x.dir {
			step.r.args = append(step.r.args, "--verbose")
		}
		keep(step.name, step.r)
	}
	if st := x.status(t); st.State != "LOCKED" {
		t.Errorf("the journey ends in %s, want LOCKED", st.State)
	}
	s.stop(t)
	if n := seen.end(); n < 10 {
		t.Errorf("only %d processes were looked at: the watch is blind", n)
	}
	for _, hit := range seen.hits {
		t.Error(hit)
	}
	log, err := os.ReadFile(s.file("log"))
	if err != nil || !strings.Contains(string(log), `"DEBUG"`) {
		t.Errorf("SS-CC logged nothing at debug: %v", err)
	}
	if err := os.WriteFile(filepath.Join(said, "ss-cc"), log, 0o600); err != nil {
		t.Fatal(err)
	}
	for what, dir := range map[string]string{"output": said, "SS-CC's folder": s.dir, "the terminal's folder": x.dir, "temporary files": s.temp} {
		if err := needle.Control(dir, secrets); err != nil {
			t.Fatal(err)
		}
		found, err := needle.Search(dir, secrets)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range found.Hits {
			t.Errorf("%s: %s", what, h)
		}
	}
}

// A watcher reads the arguments and environment of every process below the
// test, again and again.
type watcher struct {
	stop chan struct{}
	done sync.WaitGroup
	pids map[int]bool
	hits []string
}

func watch(t *testing.T, secrets []needle.Needle) *watcher {
	w := &watcher{stop: make(chan struct{}), pids: map[int]bool{}}
	w.done.Go(func() {
		for {
			all := processes(t)
			for _, p := range all {
				if !below(all, p, os.Getpid()) {
					continue
				}
				for _, file := range []string{"cmdline", "environ"} {
					b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.pid), file))
					if err != nil {
						continue
					}
					w.pids[p.pid] = true
					for _, n := range secrets {
						if strings.Contains(string(b), string(n.Data)) {
							w.hits = append(w.hits, n.Name+" in the "+file+" of "+p.name)
						}
					}
				}
			}
			select {
			case <-w.stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	return w
}

// below reports whether p descends from pid. It reaps nothing: the exit
// statuses belong to whoever waits for the commands.
func below(all map[int]process, p process, pid int) bool {
	for at := p.parent; at != 0; at = all[at].parent {
		if at == pid {
			return true
		}
	}
	return false
}

// end stops watching and tells how many processes were seen.
func (w *watcher) end() int {
	close(w.stop)
	w.done.Wait()
	return len(w.pids)
}
