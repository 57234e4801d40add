package image

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/plugins/catalog"
)

// release writes a small image: a program, one plugin of two files, a manifest.
func release(t *testing.T) (dir string, key *sm.PrivateKey) {
	t.Helper()
	dir = t.TempDir()
	key, err := sm.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(key.Wipe)
	for name, size := range map[string]int{"keposs": 4000, "plugins/source-cam/main": 900, "plugins/source-cam/model": 1500} {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(rand.Uint32())
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	core, err := catalog.Measure(dir, catalog.KindCore, "keposs", "1", "keposs")
	if err != nil {
		t.Fatal(err)
	}
	cam, err := catalog.Measure(dir, "source", "cam", "1", "plugins/source-cam/main", "plugins/source-cam/model")
	if err != nil {
		t.Fatal(err)
	}
	if err := catalog.Write(dir, key, []catalog.Plugin{core, cam}); err != nil {
		t.Fatal(err)
	}
	return dir, key
}

// Every one of 100 random flipped bits in program, plugins and manifest is
// found, and the file is named.
// req: K-11-01, K-17.6-L2, K-6.1-05a
func TestFlippedBytes(t *testing.T) {
	dir, key := release(t)
	if _, err := Verify(dir, key.Public()); err != nil {
		t.Fatal(err)
	}
	files := []string{"keposs", "plugins/source-cam/main", "plugins/source-cam/model", catalog.ManifestName}
	for i := range 100 {
		name := files[i%len(files)]
		path := filepath.Join(dir, name)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		bad := append([]byte(nil), good...)
		at := rand.IntN(len(bad))
		bad[at] ^= 1 << rand.IntN(8)
		if err := os.WriteFile(path, bad, 0o755); err != nil {
			t.Fatal(err)
		}
		_, err = Verify(dir, key.Public())
		if !errors.Is(err, core.Integrity) || name != catalog.ManifestName && !strings.Contains(err.Error(), name) {
			t.Errorf("byte %d of %s: %v", at, name, err)
		}
		if err := os.WriteFile(path, good, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Verify(dir, key.Public()); err != nil {
		t.Errorf("after all was put back: %v", err)
	}
}

// req: K-8.2-01, G-7.5-01
func TestWhatIsNoImage(t *testing.T) {
	dir, key := release(t)
	other, err := sm.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Wipe()
	refused := func(what, part string, key sm.PublicKey, change func(dir string)) {
		t.Helper()
		change(dir)
		if _, err := Verify(dir, key); !errors.Is(err, core.Integrity) || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("another vendor", "counts for nothing", other.Public(), func(string) {})
	refused("a file more", "plugins/extra", key.Public(), func(d string) {
		_ = os.WriteFile(filepath.Join(d, "plugins", "extra"), []byte("x"), 0o600)
	})
	_ = os.Remove(filepath.Join(dir, "plugins", "extra"))
	refused("a file less", "source-cam/model", key.Public(), func(d string) { _ = os.Remove(filepath.Join(d, "plugins/source-cam/model")) })
	refused("no manifest", catalog.ManifestName, key.Public(), func(d string) { _ = os.Remove(filepath.Join(d, catalog.ManifestName)) })
}

// A program without a stamp belongs to no image; a stamp that is no key, and a
// stamp without the image beside the program, are failures of the self-test.
func TestStamp(t *testing.T) {
	if c, err := Running(); c != nil || err != nil || len(Tests()) != 0 || Entry("source", "pin").Trust != "none" {
		t.Fatalf("an unstamped test program: %v, %v", c, err)
	}
	defer func(v string) { vendor = v }(vendor)
	vendor = "02ff"
	if list := Tests(); len(list) != 1 || !errors.Is(list[0].Run(), core.Integrity) {
		t.Error("a damaged stamp passes")
	}
	_, key := release(t)
	flags := StampFlags(key.Public(), "abc")
	_, vendor, _ = strings.Cut(flags[1], "=")
	if got, ok, err := Vendor(); err != nil || !ok || got != key.Public() {
		t.Fatalf("the stamp is read as %v, %v", ok, err)
	}
	for _, c := range Tests() {
		if err := c.Run(); !errors.Is(err, core.Integrity) {
			t.Errorf("%s of a program outside its image: %v", c.Name, err)
		}
	}
}
