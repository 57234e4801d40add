package mstcc

import (
	"bytes"
	"context"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
)

var makeGolden = flag.Bool("golden", false, "write golden files that are missing; existing ones never change")

// counting fills b with 1, 2, 3 …, so that a field out of place shows.
func counting[T ~[]byte](b T, from byte) T {
	for i := range b {
		b[i] = from + byte(i)
	}
	return b
}

func sampleTries() *tries {
	t := &tries{used: 3, unlockSeq: 1 << 33, alarm: true, own: make([]protocol.Tag, 2)}
	t.seen.Seq = 70000
	counting(t.seen.Head[:], 1)
	counting(t.own[0][:], 0x40)
	counting(t.own[1][:], 0x60)
	return t
}

func sampleJournal() *journal {
	j := &journal{init: true, newGen: 1 << 40}
	counting(j.idem[:], 1)
	counting(j.user[:], 0x20)
	counting(j.policy[:], 0x40)
	counting(j.sealed[:], 0x60)
	counting(j.proof[:], 0x80)
	return j
}

// Files of version 1 parse for ever: what a release wrote yesterday opens today
// and marshals back to the same bytes (docs/protocol.md 3).
func TestGoldenFiles(t *testing.T) {
	device := secret.Own(counting(make([]byte, mf.DeviceSecret), 0xa0))
	defer device.Wipe()
	sealed := func(kind mf.FileKind, body []byte) []byte {
		b, err := mf.SealFile(kind, "device-1", device, body)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	opened := func(kind mf.FileKind, b []byte) []byte {
		body, err := mf.OpenFile(kind, b, device)
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	profile := Profile{Level: 2, VerifyOpen: true, Limit: 7, Mode: protocol.ModeHardened, SlowFloor: 600_000}
	for _, c := range []struct {
		name  string
		write []byte
		again func(b []byte) ([]byte, error)
	}{
		{"tries", sealed(mf.FileFails, sampleTries().marshal()), func(b []byte) ([]byte, error) {
			v, err := parseTries(opened(mf.FileFails, b))
			if err != nil {
				return nil, err
			}
			return sealed(mf.FileFails, v.marshal()), nil
		}},
		{"journal", sealed(mf.FileJournal, sampleJournal().marshal()), func(b []byte) ([]byte, error) {
			v, err := parseJournal(opened(mf.FileJournal, b))
			if err != nil {
				return nil, err
			}
			return sealed(mf.FileJournal, v.marshal()), nil
		}},
		{"profile", sealed(mf.FileProfile, profile.marshal()), func(b []byte) ([]byte, error) {
			v, err := parseProfile(opened(mf.FileProfile, b))
			if err != nil {
				return nil, err
			}
			return sealed(mf.FileProfile, v.marshal()), nil
		}},
		{"key", keyFile(t, device), func(b []byte) ([]byte, error) {
			dir := privateDir(t)
			if err := os.WriteFile(filepath.Join(dir, "device-1"), b, 0o600); err != nil {
				return nil, err
			}
			k, err := NewFileKeyStore(dir)
			if err != nil {
				return nil, err
			}
			v, err := k.Load(context.Background(), "device-1")
			if err != nil {
				return nil, err
			}
			defer v.Wipe()
			return keyFile(t, v), nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join("testdata", "v1", c.name+".hex")
			if _, err := os.Stat(path); *makeGolden && os.IsNotExist(err) {
				if err := os.WriteFile(path, []byte(hex.EncodeToString(c.write)+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			golden, err := hex.DecodeString(strings.TrimSpace(string(text)))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(golden, c.write) {
				t.Errorf("written today: %x\nversion 1:     %x", c.write, golden)
			}
			again, err := c.again(golden)
			if err != nil || !bytes.Equal(again, golden) {
				t.Errorf("read back: %x, %v", again, err)
			}
		})
	}
}

// keyFile is the file a key store writes for s.
func keyFile(t *testing.T, s *secret.Buffer) []byte {
	t.Helper()
	dir := privateDir(t)
	k, err := NewFileKeyStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Store(context.Background(), "device-1", s); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "device-1"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func privateDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Every flipped bit and every cut of a terminal's file is Integrity: it leads to
// recovery and never to "no record".
func TestFlippedLocalFile(t *testing.T) {
	device := secret.Own(counting(make([]byte, mf.DeviceSecret), 0xa0))
	defer device.Wipe()
	good, err := mf.SealFile(mf.FileFails, "device-1", device, sampleTries().marshal())
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		for bit := range 8 {
			b := bytes.Clone(good)
			b[i] ^= 1 << bit
			if _, err := mf.OpenFile(mf.FileFails, b, device); core.CodeOf(err) != core.Integrity {
				t.Fatalf("byte %d bit %d: %v", i, bit, err)
			}
		}
		if _, err := mf.OpenFile(mf.FileFails, good[:i], device); core.CodeOf(err) != core.Integrity {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
}

func fuzzLocal[T any](f *testing.F, seed []byte, parse func([]byte) (*T, error), marshal func(*T) []byte) {
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := parse(b)
		if err != nil {
			if v != nil || core.CodeOf(err) != core.Integrity {
				t.Fatalf("%v beside %v", err, v)
			}
			return
		}
		if again := marshal(v); !bytes.Equal(again, b) {
			t.Fatalf("%x marshals to %x", b, again)
		}
	})
}

// req: TK-12
func FuzzTries(f *testing.F) {
	fuzzLocal(f, sampleTries().marshal(), parseTries, (*tries).marshal)
}

// req: TK-12
func FuzzJournal(f *testing.F) {
	fuzzLocal(f, sampleJournal().marshal(), parseJournal, (*journal).marshal)
}
