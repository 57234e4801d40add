package catalog

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/plugins"
)

func TestMain(m *testing.M) {
	plugins.MainIfPlugin(plugins.Registry{Sensor: func(name string) (core.Sensor, error) { return still{name}, nil }})
	os.Exit(m.Run())
}

type still struct{ name string }

func (s still) Describe(context.Context) (core.SensorInfo, error) {
	return core.SensorInfo{Name: s.name, Version: "1"}, nil
}
func (still) Configure(context.Context, core.Config) error { return nil }
func (still) Sample(context.Context, core.Prompt) (core.Sample, error) {
	return core.Sample{}, core.Unsupported
}

func newKey(t testing.TB) *sm.PrivateKey {
	t.Helper()
	k, err := sm.GenerateKey(sm.Rand())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Wipe)
	return k
}

func put(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o700); err != nil {
		t.Fatal(err)
	}
}

func list(t *testing.T, root string) []Plugin {
	t.Helper()
	put(t, filepath.Join(root, "bin/pin"), []byte("pin program"))
	put(t, filepath.Join(root, "cam/main"), []byte("cam program"))
	put(t, filepath.Join(root, "cam/model"), []byte("weights"))
	a, err := Measure(root, plugins.KindSource, "pin", "1.0", "bin/pin")
	if err != nil {
		t.Fatal(err)
	}
	b, err := Measure(root, plugins.KindSensor, "cam", "2.1", "cam/main", "cam/model")
	if err != nil {
		t.Fatal(err)
	}
	return []Plugin{a, b}
}

// req: K-10.2.3-01, X-01, G-7.5-02, K-11-03, G-7.10-07, K-8.2-01, G-7.5-01, G-7.2-05
func TestSignedManifestHolds(t *testing.T) {
	root, key := t.TempDir(), newKey(t)
	if err := Write(root, key, list(t, root)); err != nil {
		t.Fatal(err)
	}
	c, err := Open(root, Keys{Vendor: key.Public(), Local: newKey(t).Public()})
	if err != nil || c.Trust != plugins.TrustApproved || len(c.Manifest.Plugins) != 2 {
		t.Fatalf("%+v %v", c, err)
	}
	if err := c.Manifest.Verify(root); err != nil {
		t.Fatal(err)
	}
	e := c.Entry(plugins.KindSensor, "cam")
	if e.Trust != plugins.TrustApproved || len(e.Files) != 2 || e.Digest != sm.SM3([]byte("cam program")) {
		t.Fatalf("%+v", e)
	}
	put(t, filepath.Join(root, "cam/model"), []byte("Weights"))
	if err := c.Manifest.Verify(root); core.CodeOf(err) != core.Integrity || !strings.Contains(err.Error(), "cam/model") {
		t.Fatalf("a changed file: %v", err)
	}
	if _, err := Open(root, Keys{Local: newKey(t).Public()}); core.CodeOf(err) != core.Integrity {
		t.Fatalf("a stranger's manifest: %v", err)
	}
	if c, err := Open(root, Keys{Local: key.Public()}); err != nil || c.Trust != plugins.TrustLocal {
		t.Fatalf("the operator's: %v", err)
	}
	if c, err := Open(t.TempDir(), Keys{}); err != nil || c.Trust != plugins.TrustNone {
		t.Fatalf("no manifest: %v", err)
	}
}

// req: K-11-01, K-6.1-05a, G-7.5-01, G-7.5-02, K-11-03
func TestEveryByteCounts(t *testing.T) {
	root := t.TempDir()
	b, err := Sign(newKey(t), list(t, root))
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 1
		if _, err := Parse(bad); err == nil {
			t.Fatalf("byte %d (%q) changed and nothing noticed", i, b[i])
		}
	}
	for _, bad := range [][]byte{nil, b[:len(b)-1], append(bytes.Clone(b), '\n'), bytes.Replace(b, []byte(" 1.0 "), []byte("  1.0 "), 1), bytes.ToUpper(b)} {
		if _, err := Parse(bad); err == nil {
			t.Fatalf("another form is taken: %.60q", bad)
		}
	}
}

func TestPinAndUnpin(t *testing.T) {
	root, key := t.TempDir(), newKey(t)
	ps := list(t, root)
	for _, p := range ps {
		if err := Pin(root, key, p); err != nil {
			t.Fatal(err)
		}
	}
	ps[0].Version = "1.1"
	if err := Pin(root, key, ps[0]); err != nil {
		t.Fatal(err)
	}
	if err := Pin(root, newKey(t), ps[0]); core.CodeOf(err) != core.Integrity {
		t.Fatalf("another operator: %v", err)
	}
	c, err := Open(root, Keys{Local: key.Public()})
	if err != nil {
		t.Fatal(err)
	}
	if p, ok := c.Manifest.Find(plugins.KindSource, "pin"); !ok || p.Version != "1.1" || len(c.Manifest.Plugins) != 2 {
		t.Fatalf("%+v", c.Manifest)
	}
	if err := Unpin(root, key, plugins.KindSource, "pin"); err != nil {
		t.Fatal(err)
	}
	if err := Unpin(root, key, plugins.KindSource, "pin"); core.CodeOf(err) != core.NotFound {
		t.Fatalf("twice: %v", err)
	}
}

func TestPathsStayInside(t *testing.T) {
	root := t.TempDir()
	for _, p := range []string{"", ".", "..", "../x", "/etc/passwd", "a/../../x", "a//b", "./a", `a\b`, "a b", "c:x"} {
		if _, err := Measure(root, plugins.KindSource, "x", "1", p); core.CodeOf(err) != core.Invalid {
			t.Errorf("%q: %v", p, err)
		}
	}
	if err := os.Symlink("/etc/hostname", filepath.Join(root, "link")); err != nil {
		t.Skipf("no links here: %v", err)
	}
	if _, err := Measure(root, plugins.KindSource, "x", "1", "link"); err == nil {
		t.Error("a link out of the folder is followed")
	}
}

// A plugin of one file is approved under the vendor's signature; one of
// several runs, measured at each start, and is not.
func TestTrustReachesTheProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("approved images need sealed memory files")
	}
	root, key := t.TempDir(), newKey(t)
	exe, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(root, "one"), exe)
	put(t, filepath.Join(root, "many/run"), []byte("#!/bin/sh\nexec \"$(dirname \"$0\")/lib/real\"\n"))
	put(t, filepath.Join(root, "many/lib/real"), exe)
	one, err := Measure(root, plugins.KindSensor, "one", "1", "one")
	if err != nil {
		t.Fatal(err)
	}
	many, err := Measure(root, plugins.KindSensor, "many", "1", "many/run", "many/lib/real")
	if err != nil {
		t.Fatal(err)
	}
	self, err := MeasureSelf("1")
	if err != nil {
		t.Fatal(err)
	}
	if err := Write(root, key, []Plugin{one, many, self}); err != nil {
		t.Fatal(err)
	}
	c, err := Open(root, Keys{Vendor: key.Public()})
	if err != nil {
		t.Fatal(err)
	}
	sup := plugins.NewSupervisor(plugins.Options{})
	defer sup.Close()
	for name, approved := range map[string]bool{"one": true, "many": false, "built-in": true} {
		s, err := sup.Sensor(t.Context(), c.Entry(plugins.KindSensor, name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Describe(t.Context()); err != nil {
			t.Fatal(err)
		}
		if i, _ := plugins.InfoOf(s); i.Approved != approved || i.Trust != plugins.TrustApproved || !i.Sealed {
			t.Errorf("%s: %+v", name, i)
		}
	}
	put(t, filepath.Join(root, "many/lib/real"), append(exe, 0))
	s, err := sup.Sensor(t.Context(), c.Entry(plugins.KindSensor, "many"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Describe(t.Context()); core.CodeOf(err) != core.Integrity {
		t.Fatalf("a second file that was changed: %v", err)
	}
}

// req: TK-12, G-7.3-05
func FuzzParse(f *testing.F) {
	k, err := sm.GenerateKey(sm.Rand())
	if err != nil {
		f.Fatal(err)
	}
	b, err := Sign(k, []Plugin{{Kind: "kdf", Name: "x", Version: "1", Main: "x", Files: []File{{Path: "x", Size: 3}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(header + "\nsigner 00\nsignature 00\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		m, err := Parse(in)
		if err == nil && !bytes.HasPrefix(in, m.body()) {
			t.Fatal("a manifest in two forms")
		}
	})
}
