package main

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keposs/keposs/cmd/keposs/internal/needle"
	"github.com/keposs/keposs/ppd/face"
	"github.com/keposs/keposs/ppd/ppdtest"
)

// What a person types and the administrator's password reach no log line, no
// output, no file, no argument and no environment of any process, nor the
// traffic on loopback, from set-up to the lock and at the most talkative level.
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
	// Templates, from files a camera program and a reader's extractor would have written.
	captured := func(label string, record []byte) []string {
		file := filepath.Join(t.TempDir(), label)
		if err := os.WriteFile(file, record, 0o600); err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, needle.Needle{Name: "the template of a " + label, Data: record[len(record)/2 : len(record)/2+24]})
		return []string{"--sample", label + "=" + file}
	}
	var faces, fingers []string
	gen, prints := ppdtest.NewFaces(128, 7), ppdtest.NewFingers(7)
	for i := range 5 {
		faces = append(faces, captured("face", face.EncodeRaw(gen.Capture(1, i+1)))...)
	}
	for i := range 3 {
		fingers = append(fingers, captured("fingerprint", prints.Impression(1, i))...)
	}
	bin := builtBinary(t)
	seen := watch(t, secrets)
	s := newSite(t, bin, "debug")
	tap := newTap(t, s.addr)
	x, provision := s.newTerminal(t)
	ticket := filepath.Join(t.TempDir(), "ticket")
	s.must(t, run{dir: s.dir, args: []string{"admin", "ticket", x.app, "--endpoint", tap.addr, "--out", ticket}})
	provision.args[1] = ticket
	s.must(t, provision)
	with := func(r run, args ...string) run {
		r.args = append(r.args, args...)
		return r
	}
	withFace := func(r run) run { return with(r, faces...) }
	enrol := with(withFace(x.init("2")), fingers...)
	enrol.args = append(enrol.args, "--policy", "pin & gesture & (face | fingerprint)")
	// A busy machine may refuse the finger: either way its template passed.
	finger := with(with(x.sign("answers"), fingers...), "--factors", "pin,gesture,fingerprint")
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
		{"init", enrol}, {"sign", withFace(x.sign("answers"))}, {"finger", finger},
		{"wrong", withFace(x.sign("wrong"))}, {"again", withFace(x.sign("wrong"))},
		{"locked", withFace(x.sign("answers"))}, {"login", run{dir: s.dir, fd3: s.file("wrong"), args: []string{"admin", "login", "--password-fd", "3"}}},
		{"list", run{dir: s.dir, args: []string{"admin", "user", "list", "--json"}}},
		{"audit", run{dir: s.dir, args: []string{"admin", "audit", "show"}}},
	}
	for _, step := range steps {
		if step.r.dir == x.dir {
			step.r.args = append(step.r.args, "--verbose")
		}
		keep(step.name, step.r)
	}
	if _, err := os.Stat(filepath.Join(x.dir, "sig")); err != nil {
		t.Errorf("nothing was signed: %v", err)
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
	wire := t.TempDir()
	if n := len(tap.end()); n < 20_000 {
		t.Errorf("only %d bytes passed between the terminal and SS-CC", n)
	}
	if err := os.WriteFile(filepath.Join(wire, "traffic"), tap.end(), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, dir := range map[string]string{"output": said, "SS-CC's folder": s.dir, "the terminal's folder": x.dir, "temporary files": s.temp, "the traffic with SS-CC": wire} {
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

// A tap relays connections to SS-CC and keeps every byte, both ways.
type tap struct {
	addr string
	l    net.Listener
	mu   sync.Mutex
	seen []byte
}

func newTap(t *testing.T, to string) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	x := &tap{addr: l.Addr().String(), l: l}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				go func() {
					_, _ = io.Copy(way[1], io.TeeReader(way[0], x))
					_ = way[1].Close()
				}()
			}
		}
	}()
	return x
}

func (x *tap) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.seen = append(x.seen, p...)
	return len(p), nil
}

// end returns what passed.
func (x *tap) end() []byte {
	_ = x.l.Close()
	x.mu.Lock()
	defer x.mu.Unlock()
	return append([]byte(nil), x.seen...)
}
