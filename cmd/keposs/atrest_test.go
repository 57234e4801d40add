package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keposs/keposs/internal/testenv"
)

// What the operator has at rest, by command: a log that no answer overtakes, its
// head on another disk, and a database put back, which that head gives away:
// users are frozen, the log and status say so, an unlock lets each go on.
// req: G-7.6-03, X-15
func TestDatabasePutBack(t *testing.T) {
	testenv.NeedLevel(t, 1)
	s := newSite(t, builtBinary(t), "warn")
	x := s.terminal(t)
	s.must(t, x.init("5"))
	s.stop(t)
	folder := filepath.Join(s.dir, "ss-cc")
	config := filepath.Join(folder, "config.toml")
	b, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(b), "audit_fail_closed = false", "audit_fail_closed = true", 1)
	text = strings.Replace(text, `audit_head = ""`, `audit_head = "`+s.file("elsewhere")+`"`, 1)
	if strings.Count(text, "audit_fail_closed = true") != 1 || !strings.Contains(text, "elsewhere") {
		t.Fatalf("config.toml has other names:\n%s", b)
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	copyDB := func(from, to string) {
		t.Helper()
		if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	s.start(t)
	s.must(t, x.sign("answers"))
	s.stop(t)
	copyDB(filepath.Join(folder, "db"), s.file("old"))
	s.start(t)
	if r := s.run(t, x.sign("wrong")); r.status != 3 {
		t.Fatal(r)
	}
	s.stop(t)
	if _, err := os.Stat(s.file("elsewhere")); err != nil {
		t.Fatalf("the head is not where the configuration says: %v", err)
	}
	if err := os.RemoveAll(filepath.Join(folder, "db")); err != nil {
		t.Fatal(err)
	}
	copyDB(s.file("old"), filepath.Join(folder, "db"))
	s.start(t)
	if r := s.run(t, x.sign("answers")); r.status != 4 {
		t.Fatalf("a sign over the old database: %s", r)
	}
	var st struct{ Freezes int }
	if s.object(t, &st, run{dir: s.dir, args: []string{"admin", "status"}}); st.Freezes != 1 {
		t.Fatalf("status tells %d freezes", st.Freezes)
	}
	if log := s.must(t, run{dir: s.dir, args: []string{"admin", "audit", "show"}}); !strings.Contains(log, `"rollback"`) {
		t.Fatalf("the log does not tell the rollback:\n%s", log)
	}
	s.must(t, run{dir: s.dir, args: []string{"admin", "user", "unlock", x.status(t).UserID}})
	s.must(t, x.sign("answers"))
}
