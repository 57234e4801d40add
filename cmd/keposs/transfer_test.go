package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/keposs/keposs/internal/testenv"
)

type snapshotResult struct {
	Records       uint64
	Digest, Store string
}

type migrateResult struct {
	From, To, Digest string
	Live             bool
	Records, Copied  uint64
	HeldMS           float64 `json:"held_ms"`
}

// The database moves under a serving SS-CC, is written to a file, lost, and put
// back: signing goes on after each, and no try comes back.
func TestStoreMoves(t *testing.T) {
	s := newSite(t, builtBinary(t), "warn")
	x := s.terminal(t)
	s.must(t, x.init("5"))
	var m migrateResult
	s.object(t, &m, run{dir: s.dir, args: []string{"ss-cc", "migrate", "--from", "badger", "--to", "memory"}})
	if !m.Live || m.From != "badger" || m.To != "memory" || m.Records == 0 || m.Copied < m.Records {
		t.Fatalf("%+v", m)
	}
	s.must(t, x.sign("answers"))
	if r := s.run(t, run{dir: s.dir, args: []string{"ss-cc", "migrate", "--to", "memory"}}); r.status != 5 {
		t.Fatalf("a migration to where it is: %s", r)
	}
	if r := s.run(t, run{dir: s.dir, args: []string{"ss-cc", "snapshot", "--out", s.file("early")}}); r.status != 5 {
		t.Fatalf("a snapshot of a serving SS-CC: %s", r)
	}
	s.stop(t)

	file := s.file("snapshot")
	var made, read, store snapshotResult
	s.object(t, &made, run{dir: s.dir, args: []string{"ss-cc", "snapshot", "--out", file}})
	s.object(t, &read, run{dir: s.dir, args: []string{"ss-cc", "verify", file}})
	s.object(t, &store, run{dir: s.dir, args: []string{"ss-cc", "verify"}})
	if made != read || made.Store != store.Store || made.Records != store.Records {
		t.Fatalf("made %+v, read %+v, store %+v", made, read, store)
	}
	if r := s.run(t, run{dir: s.dir, args: []string{"ss-cc", "restore", "--in", file}}); r.status != 5 {
		t.Fatalf("a restore over an SS-CC: %s", r)
	}

	// Tries are answered after the snapshot; then the database is lost.
	s.start(t)
	if r := s.run(t, x.sign("wrong")); r.status != 3 {
		t.Fatalf("a wrong PIN: %s", r)
	}
	s.stop(t)
	for _, part := range []string{"db-memory", "db-memory.head"} {
		if err := os.Remove(filepath.Join(s.dir, "ss-cc", part)); err != nil {
			t.Fatal(err)
		}
	}
	flipped, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	flipped[len(flipped)/2] ^= 1
	if err := os.WriteFile(s.file("flipped"), flipped, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := s.run(t, run{dir: s.dir, args: []string{"ss-cc", "restore", "--in", s.file("flipped")}}); r.status != 8 {
		t.Fatalf("a changed snapshot: %s", r)
	}
	s.must(t, run{dir: s.dir, args: []string{"ss-cc", "restore", "--in", file}})
	s.start(t)
	if r := s.run(t, x.sign("answers")); r.status != 4 {
		t.Fatalf("a sign after the restore, before the administrator: %s", r)
	}
	s.must(t, run{dir: s.dir, args: []string{"admin", "user", "unlock", x.status(t).UserID}})
	s.must(t, x.sign("answers"))
	s.must(t, run{dir: s.dir, args: []string{"admin", "audit", "show"}})

	// The first database is refused: its counters are old.
	s.stop(t)
	config := filepath.Join(s.dir, "ss-cc", "config.toml")
	if err := os.WriteFile(config, []byte("version = 1\n[backend]\nname = \"badger\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := s.run(t, run{dir: s.dir, args: []string{"ss-cc", "serve"}}); r.status != 5 {
		t.Fatalf("serve of a database that was moved: %s", r)
	}
}

// kill -9 of a migration at every named point, at rest and of the serving
// process: SS-CC is kept where config.toml says, a sign works there, the
// command run again ends it, and no counter is lower than before.
func TestMigrateKilled(t *testing.T) {
	testenv.NeedLevel(t, 1)
	bin := crashBinary(t)
	for _, live := range []bool{false, true} {
		for _, point := range []string{"migrate.copied", "migrate.whole", "migrate.announced"} {
			if live && point == "migrate.announced" {
				continue // the switch announces under its hold and has no point after
			}
			s := newSite(t, bin, "warn")
			x := s.terminal(t)
			s.must(t, x.init("9"))
			if r := s.run(t, x.sign("wrong")); r.status != 3 {
				t.Fatal(r)
			}
			before := x.status(t).Server.Used
			env := []string{"KEPOSS_CRASH_AT=" + point}
			move := run{dir: s.dir, args: []string{"ss-cc", "migrate", "--to", "memory"}}
			if live {
				s.restart(t, env...)
				if r := s.run(t, move); r.status != 6 {
					t.Fatalf("%s, serving: %s", point, r)
				}
				s.restart(t)
			} else {
				s.stop(t)
				killed := move
				killed.env = env
				if r := s.run(t, killed); !r.killed {
					t.Fatalf("%s: %s", point, r)
				}
				s.start(t)
			}
			if got := x.status(t).Server.Used; got < before {
				t.Fatalf("%s: %d tries counted, %d before", point, got, before)
			}
			if r := s.run(t, x.sign("wrong")); r.status != 3 {
				t.Fatal(r)
			}
			s.stop(t)
			r := s.run(t, move)
			if point == "migrate.announced" && r.status != 5 || point != "migrate.announced" && r.status != 0 {
				t.Fatalf("%s: the command run again: %s", point, r)
			}
			s.start(t)
			if got := x.status(t).Server.Used; got < before+1 {
				t.Fatalf("%s: %d tries counted, %d before", point, got, before+1)
			}
			s.must(t, x.sign("answers"))
			s.stop(t)
		}
	}
}

// crashBinary is a keposs that can be told to die.
func crashBinary(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "keposs")
	build := exec.Command("go", "build", "-tags", "keposs_crash", "-o", bin, "./cmd/keposs")
	build.Dir = testenv.Root()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return bin
}

// kill -9 of SS-CC while it rotates its keys: terminals sign before the rotation
// is ended, the same command ends it, and nothing of the old keys is left.
// req: K-10.1-02
func TestRotateKilled(t *testing.T) {
	testenv.NeedLevel(t, 1)
	s := newSite(t, crashBinary(t), "warn")
	x := s.terminal(t)
	s.must(t, x.init("9"))
	for _, point := range []string{"rotate.ring", "rotate.rewrapped"} {
		s.restart(t, "KEPOSS_CRASH_AT="+point)
		if r := s.run(t, run{dir: s.dir, args: []string{"admin", "rotate"}}); r.status != 6 {
			t.Fatalf("%s: %s", point, r)
		}
		s.restart(t)
		s.must(t, x.sign("answers"))
		var st struct {
			Gens int `json:"key_generations"`
		}
		if s.object(t, &st, run{dir: s.dir, args: []string{"admin", "status"}}); st.Gens != 2 {
			t.Fatalf("%s: %d generations after the kill", point, st.Gens)
		}
		var rotated struct {
			Old int `json:"old_generations"`
		}
		if s.object(t, &rotated, run{dir: s.dir, args: []string{"admin", "rotate"}}); rotated.Old != 0 {
			t.Fatalf("%s: %d old generations left", point, rotated.Old)
		}
		s.must(t, x.sign("answers"))
	}
}
