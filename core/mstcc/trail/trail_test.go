package trail

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
)

func open(t *testing.T, dir string) *Log {
	t.Helper()
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func add(t *testing.T, l *Log, kinds ...string) {
	t.Helper()
	for _, k := range kinds {
		if err := l.Add(Event{Kind: k}); err != nil {
			t.Fatal(err)
		}
	}
}

// Events are there after a restart, in order and on one chain; verifying gives
// the head the writer tells.
// req: G-7.6-03
func TestEventsChain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	l := open(t, dir)
	add(t, l, "start", "sign")
	_ = l.Close()
	if err := l.Add(Event{Kind: "late"}); !errors.Is(err, core.Closed) {
		t.Errorf("after Close: %v", err)
	}
	l = open(t, dir)
	if err := l.Add(Event{Kind: "locked", Code: "locked", Text: strings.Repeat("x", 2*MaxText), State: "LOCKED", PID: 7}); err != nil {
		t.Fatal(err)
	}
	seq, head := l.Head()
	r, err := Verify(dir)
	if err != nil || !r.OK || r.Events != 3 || seq != 3 || r.Head != head {
		t.Errorf("%+v, %v; the writer says %d %s", r, err, seq, head)
	}
	got, err := Read(dir, 2, 10)
	if err != nil || len(got) != 2 || got[0].Kind != "sign" || got[1].Seq != 3 || got[1].Code != "locked" || len(got[1].Text) != MaxText {
		t.Errorf("from 2 on: %+v, %v", got, err)
	}
	st, err := os.Stat(filepath.Join(dir, segmentName(0)))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("its file: %v, %v", st.Mode(), err)
	}
}

// A change of one byte, a cut, a log or a head put back, and a missing file are
// found by Verify, and an agent does not start over them.
func TestTamperIsFound(t *testing.T) {
	events := func(dir string) string { return filepath.Join(dir, segmentName(0)) }
	edit := func(file string, f func([]byte) []byte) error {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		return os.WriteFile(file, f(b), 0o600)
	}
	for name, change := range map[string]func(dir string, old []byte) error{
		"a letter of an event": func(dir string, _ []byte) error {
			return edit(events(dir), func(b []byte) []byte { return bytes.Replace(b, []byte("locked"), []byte("unlock"), 1) })
		},
		"an event taken out": func(dir string, _ []byte) error {
			return edit(events(dir), func(b []byte) []byte {
				lines := bytes.SplitAfter(b, []byte{'\n'})
				return bytes.Join(append(lines[:2:2], lines[3:]...), nil)
			})
		},
		"the last events cut off": func(dir string, _ []byte) error {
			return edit(events(dir), func(b []byte) []byte {
				lines := bytes.SplitAfter(b, []byte{'\n'})
				return bytes.Join(lines[:3], nil)
			})
		},
		"the head put back": func(dir string, old []byte) error { return os.WriteFile(filepath.Join(dir, headFile), old, 0o600) },
		"the head gone":     func(dir string, _ []byte) error { return os.Remove(filepath.Join(dir, headFile)) },
		"the head no head": func(dir string, _ []byte) error {
			return os.WriteFile(filepath.Join(dir, headFile), []byte("{}"), 0o600)
		},
		"the log gone": func(dir string, _ []byte) error { return os.Remove(events(dir)) },
		"another log's chain": func(dir string, _ []byte) error {
			return edit(events(dir), func(b []byte) []byte { b[len(opening)] ^= 1; return b })
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l := open(t, dir)
			add(t, l, "start")
			old, err := os.ReadFile(filepath.Join(dir, headFile))
			if err != nil {
				t.Fatal(err)
			}
			add(t, l, "sign", "locked", "stop")
			_ = l.Close()
			if err := change(dir, old); err != nil {
				t.Fatal(err)
			}
			if name != "the head put back" { // which verifying alone allows: it may run while an agent writes
				if r, err := Verify(dir); err != nil || r.OK {
					t.Errorf("verify: %+v, %v", r, err)
				}
			}
			if l, err := Open(dir); !errors.Is(err, core.Integrity) {
				t.Errorf("an agent goes on: %v, %v", l, err)
			}
		})
	}
}

// A line that a power cut left unfinished is cut off and told; a head one event
// behind is what a crash leaves.
func TestCrashLeavesAUsableLog(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	add(t, l, "start")
	behind, err := os.ReadFile(filepath.Join(dir, headFile))
	if err != nil {
		t.Fatal(err)
	}
	add(t, l, "sign")
	if _, err := l.file.WriteString("0123 half a li"); err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if err := os.WriteFile(filepath.Join(dir, headFile), behind, 0o600); err != nil {
		t.Fatal(err)
	}
	add(t, open(t, dir), "start")
	got, err := Read(dir, 0, 10)
	if err != nil || fmt.Sprint(kinds(got)) != "[start sign torn start]" {
		t.Errorf("%v, %v", kinds(got), err)
	}
	if r, err := Verify(dir); err != nil || !r.OK || r.Events != 4 {
		t.Errorf("%+v, %v", r, err)
	}
}

func kinds(es []Event) (out []string) {
	for _, e := range es {
		out = append(out, e.Kind)
	}
	return out
}

// The log goes on in another file, on the same chain.
func TestFilesContinue(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	add(t, l, "start")
	if err := l.begin(); err != nil { // as after perSegment events
		t.Fatal(err)
	}
	add(t, l, "sign")
	_ = l.Close()
	add(t, open(t, dir), "stop")
	got, err := Read(dir, 0, 10)
	if err != nil || fmt.Sprint(kinds(got)) != "[start sign stop]" {
		t.Errorf("%v, %v", kinds(got), err)
	}
	if r, err := Verify(dir); err != nil || !r.OK || r.Events != 3 {
		t.Errorf("%+v, %v", r, err)
	}
	if err := os.Remove(filepath.Join(dir, segmentName(0))); err != nil {
		t.Fatal(err)
	}
	if r, err := Verify(dir); err != nil || r.OK {
		t.Errorf("without the first file: %+v, %v", r, err)
	}
}

// A log that cannot be written says so at once and for good.
func TestUnwritableStaysShut(t *testing.T) {
	l := open(t, t.TempDir())
	add(t, l, "start")
	_ = l.file.Close() // as a disk that is gone
	for range 2 {
		if err := l.Add(Event{Kind: "sign"}); !errors.Is(err, core.Environment) || l.Err() == nil {
			t.Errorf("written to a closed file: %v", err)
		}
	}
}

// What parses chains; what is cut anywhere has no more events than before.
func FuzzSegment(f *testing.F) {
	dir := f.TempDir()
	l, err := Open(dir)
	if err != nil {
		f.Fatal(err)
	}
	for _, k := range []string{"start", "sign"} {
		if err := l.Add(Event{Kind: k}); err != nil {
			f.Fatal(err)
		}
	}
	good, err := os.ReadFile(filepath.Join(dir, segmentName(0)))
	if err != nil {
		f.Fatal(err)
	}
	_ = l.Close()
	f.Add(good)
	f.Add(good[:len(good)-3])
	f.Add([]byte(opening))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSegment(0, b)
		if err != nil {
			return
		}
		if s.good > int64(len(b)) || s.torn != (s.good < int64(len(b))) || len(s.events) != len(s.heads) {
			t.Fatalf("%d events, %d heads, %d of %d bytes, torn %v", len(s.events), len(s.heads), s.good, len(b), s.torn)
		}
		again, err := parseSegment(0, b[:s.good])
		if err != nil || again.head != s.head || again.torn {
			t.Fatalf("the whole lines alone: %v", err)
		}
	})
}
