package badger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/internal/testenv"
)

// late opens a closed store that verifies its tables after it opened.
func late(t *testing.T, set config) (*Store, error) {
	t.Helper()
	s := New().(*Store)
	s.eager = -1
	err := s.Configure(context.Background(), core.Config{Values: map[string]string{"dir": set.dir, "memtable_mb": "16", "watermark_mb": "96", "ballast_mb": "0"}})
	t.Cleanup(func() { _ = s.Close() })
	return s, err
}

func tableOf(t *testing.T, set config) (path string, whole []byte) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(set.dir, "*.sst"))
	if err != nil || len(names) == 0 {
		t.Fatal(err, names)
	}
	if whole, err = os.ReadFile(names[0]); err != nil {
		t.Fatal(err)
	}
	return names[0], whole
}

// change writes a table anew, as nothing but damage does: Badger's are written once.
func change(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func there(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Lstat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

// A whole store that is verified late answers, and says so when it is closed.
func TestLateVerification(t *testing.T) {
	set := filled(t, 2000)
	if !there(t, cleanPath(set.dir)) {
		t.Fatal("a closed store does not say that it is")
	}
	s, err := late(t, set)
	if err != nil {
		t.Fatal(err)
	}
	if there(t, cleanPath(set.dir)) {
		t.Error("an open store says that it is closed")
	}
	if p, err := s.Export(t.Context(), core.ScanRequest{Limit: 1000}); err != nil || len(p.Records) != 1000 {
		t.Fatal(len(p.Records), err)
	}
	for s.tables.left.Load() != 0 {
		time.Sleep(time.Millisecond)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if !there(t, cleanPath(set.dir)) || there(t, s.tables.dir) {
		t.Error("what was verified is not forgotten")
	}
}

// A damaged block is Corrupt to whoever asks for one of its keys, and then to
// everybody.
func TestLateDamageStops(t *testing.T) {
	for name, ask := range map[string]func(*Store, core.Key) error{
		"get": func(s *Store, k core.Key) error {
			_, err := s.GetMany(context.Background(), []core.Key{k}, core.ReadOpts{})
			return err
		},
		"commit": func(s *Store, k core.Key) error {
			_, err := s.CommitMany(context.Background(), []core.Mutation{{Key: k, Op: core.OpPut}})
			return err
		},
		"import": func(s *Store, k core.Key) error {
			return s.Import(context.Background(), []core.Record{{Key: k, Version: 9}}, nil)
		},
		"scan": func(s *Store, _ core.Key) error {
			_, err := s.Scan(context.Background(), core.ScanRequest{Limit: 1000, Hot: true})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			set := filled(t, 200)
			path, whole := tableOf(t, set)
			s, err := late(t, set)
			if err != nil {
				t.Fatal(err)
			}
			for s.tables.left.Load() != 0 {
				time.Sleep(time.Millisecond)
			}
			// The store's own keys are in its only table, so it is verified by now: as if
			// there were another.
			other := t.TempDir()
			whole[len(whole)/3] ^= 1
			path = filepath.Join(other, filepath.Base(path))
			change(t, path, whole)
			s.tables = &unchecked{dir: filepath.Join(other, "unchecked"), fail: s.logger.damage}
			if err := s.tables.keep([]listed{{path: path, level: 6}}); err != nil {
				t.Fatal(err)
			}
			if err := ask(s, make(core.Key, 8)); core.CodeOf(err) != core.Corrupt {
				t.Errorf("%v, want corrupt", err)
			}
			if err := s.Health(t.Context()); core.CodeOf(err) != core.Corrupt {
				t.Errorf("health: %v, want corrupt", err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if there(t, cleanPath(set.dir)) {
				t.Error("a damaged store says that it was closed in order")
			}
		})
	}
}

// A table that a compaction replaced before it was verified is still verified,
// also by the next opening.
func TestReplacedTableIsVerified(t *testing.T) {
	set := filled(t, 200)
	path, whole := tableOf(t, set)
	whole[len(whole)/3] ^= 1
	change(t, path, whole)
	o := set.options(&logger{})
	told := 0
	u, err := checkTables(o, -1, func(error) { told++ })
	if err != nil {
		t.Fatal(err)
	}
	whole[len(whole)/3] ^= 1
	change(t, path, whole)
	for range 2 {
		if err := u.keys(make(core.Key, 8)); core.CodeOf(err) != core.Corrupt {
			t.Errorf("%v, want corrupt", err)
		}
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
	if _, err := checkTables(o, -1, nil); core.CodeOf(err) != core.Corrupt {
		t.Errorf("opened again: %v, want corrupt", err)
	}
}

// Whatever byte of a table changes, a store that verifies it late says Corrupt, or
// is right.
func TestLateDamageAnywhere(t *testing.T) {
	set := filled(t, 60)
	path, whole := tableOf(t, set)
	rnd := rand.New(rand.NewPCG(5, 5))
	tries := 12
	if testenv.Level() > 0 {
		tries = 300
	}
	for range tries {
		bad := append([]byte(nil), whole...)
		at := rnd.IntN(len(bad))
		if rnd.IntN(2) == 0 {
			at = len(bad) - 1 - rnd.IntN(400) // lengths, checksums, index
		}
		bad[at] ^= 1 << rnd.IntN(8)
		change(t, path, bad)
		if err := giveClean(set.dir); err != nil {
			t.Fatal(err)
		}
		if err := lateRead(t, set); core.CodeOf(err) != core.Corrupt {
			t.Errorf("byte %d: %v, want corrupt", at, err)
		}
		if err := os.RemoveAll(filepath.Join(set.dir, "unchecked")); err != nil {
			t.Fatal(err)
		}
	}
	change(t, path, whole)
	if err := lateRead(t, set); err != nil {
		t.Errorf("whole again: %v", err)
	}
}

// lateRead opens a store of 60 records, reads all and closes it.
func lateRead(t *testing.T, set config) error {
	s, err := late(t, set)
	if err != nil {
		return err
	}
	p, err := s.Export(t.Context(), core.ScanRequest{Limit: 1000})
	if err == nil && len(p.Records) != 60 {
		err = fmt.Errorf("%d records of 60 without a word", len(p.Records))
	}
	return errors.Join(err, s.Close())
}

// A folder that is held is left alone.
func TestOpeningAHeldFolderTouchesNothing(t *testing.T) {
	set := filled(t, 200)
	s, err := late(t, set)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := late(t, set); core.CodeOf(err) != core.Unavailable {
		t.Errorf("%v, want unavailable", err)
	}
	if _, err := s.GetMany(t.Context(), []core.Key{make(core.Key, 8)}, core.ReadOpts{}); err != nil {
		t.Error(err)
	}
}
