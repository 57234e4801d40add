package main

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/internal/testenv"
	"github.com/keposs/keposs/plugins/catalog"
	"github.com/keposs/keposs/plugins/image"
)

// program runs the program path and returns what it printed and its exit status.
func program(t *testing.T, path string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := exec.Command(path, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_DATA_HOME=")
	cmd.Dir = testenv.Root()
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// A release from source: two builds are equal, the program is stripped and
// position independent, its own self-test and version know the manifest, each
// of 100 flipped bytes is found, its results are approved when all that made
// them was, and a changed program or plugin serves nothing.
// req: K-11-01, K-11-02, K-17.1-04, K-17.6-L2, G-7.5-05, G-7.11-05, K-16-03, K-17.1-01, K-17.4-00, G-7.5-03, G-7.11-07, K-5.3-02c, G-7.2-02, G-7.2-03, X-23, G-7.5-02, K-10.2.3-01
func TestReleaseImage(t *testing.T) {
	testenv.NeedLevel(t, 1)
	t.Parallel()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the go tool is not installed")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	keposs := filepath.Join(t.TempDir(), "keposs")
	if err := os.Symlink(self, keposs); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(t.TempDir(), "vendor.pem")
	if _, errs, status := program(t, keposs, "image", "key", key); status != 0 {
		t.Fatal(errs)
	}
	plugin := vendorPlugin(t)
	var digests []string
	dir := ""
	for range 2 {
		dir = filepath.Join(t.TempDir(), "release")
		out, errs, status := program(t, keposs, "image", "build", "--key", key, "--out", dir, "--version", "v0.0.1", "--plugin", plugin, "--json")
		var built struct{ Manifest string }
		if err := json.Unmarshal([]byte(out), &built); status != 0 || err != nil {
			t.Fatalf("%d %v\n%s", status, err, errs)
		}
		digests = append(digests, built.Manifest)
	}
	if digests[0] != digests[1] {
		t.Errorf("two builds differ: %v", digests)
	}
	bin := filepath.Join(dir, "keposs")
	stripped(t, bin)

	var v struct{ Image, Manifest, Commit, Version string }
	out, errs, _ := program(t, bin, "version", "--json")
	if err := json.Unmarshal([]byte(out), &v); err != nil || v.Image != "approved" || v.Manifest != digests[1] || v.Version != "v0.0.1" || v.Commit == "" {
		t.Errorf("version: %s %s %v", out, errs, err)
	}
	if out, errs, status := program(t, bin, "selftest"); status != 0 || !strings.Contains(out, "image-core") {
		t.Errorf("selftest: %d %s %s", status, out, errs)
	}
	if _, errs, status := program(t, keposs, "image", "verify", dir, "--vendor", key+".pub"); status != 0 {
		t.Error(errs)
	}
	flips(t, dir, key+".pub")
	t.Run("Approved", func(t *testing.T) { approvedResults(t, bin, keposs) })
	t.Run("ChangedPlugin", func(t *testing.T) { changedPlugin(t, bin) })

	// A byte of a text nobody executes: the program runs and must say no.
	b, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, []byte("Make a key for a user"))
	if at < 0 {
		t.Fatal("the help text is not in the program")
	}
	b[at] ^= 1
	if err := os.Remove(bin); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bin, b, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, _, status := program(t, bin, "selftest"); status == 0 || !strings.Contains(out, "image-core") || !strings.Contains(out, "FAILED") {
		t.Errorf("a changed program passes its self-test: %d %s", status, out)
	}
	if _, errs, status := program(t, keposs, "image", "verify", dir, "--vendor", key+".pub"); status != 8 || !strings.Contains(errs, "keposs is not the file") {
		t.Errorf("verify: %d %s", status, errs)
	}
}

// stripped fails unless the file has no symbols and no debug information, and
// is position independent.
func stripped(t *testing.T, path string) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Type != elf.ET_DYN {
		t.Errorf("the program is %s, want position independent", f.Type)
	}
	for _, s := range f.Sections {
		if s.Name == ".symtab" || strings.HasPrefix(s.Name, ".debug") || strings.HasPrefix(s.Name, ".zdebug") || s.Name == ".note.go.buildid" && s.Size > 16 {
			t.Errorf("the program has %s of %d bytes", s.Name, s.Size)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, []byte(testenv.Root())) {
		t.Error("the program holds the path of its source")
	}
	if bytes.Contains(b, []byte("net/http/pprof.")) {
		t.Error("net/http/pprof is in the program")
	}
}

// flips changes 100 random bytes, one after the other, in program and manifest.
func flips(t *testing.T, dir, vendor string) {
	t.Helper()
	pem, err := os.ReadFile(vendor)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := sm.ParsePEM(pem)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		name := "keposs"
		if i%4 == 3 {
			name = catalog.ManifestName
		}
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		st, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		at, b := rand.Int64N(st.Size()), make([]byte, 1)
		flip := func() {
			_, _ = f.ReadAt(b, at)
			b[0] ^= byte(1 << (i % 8))
			_, _ = f.WriteAt(b, at)
		}
		flip()
		if _, err := image.Verify(dir, pub); err == nil {
			t.Errorf("the flip of byte %d of %s is not found", at, name)
		}
		flip()
		_ = f.Close()
	}
	if _, err := image.Verify(dir, pub); err != nil {
		t.Errorf("after all was put back: %v", err)
	}
}
