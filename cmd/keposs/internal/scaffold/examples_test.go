package scaffold

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/keposs/keposs/internal/testenv"
	"github.com/keposs/keposs/plugins/plugintest/check"
)

func example(name string) string { return filepath.Join(testenv.Root(), "examples", name) }

// The examples in Python are what plugin new writes: a change of the protocol's
// messages reaches them.
func TestExamplesAreCurrent(t *testing.T) {
	files, err := Render(Plan{Kind: "ppd", Name: "digits", Lang: "python"})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		for _, dir := range map[string][]string{"digits": {"plugin-python"}, "keposs_plugin.py": {"plugin-python", "sensor-python"}}[f.Path] {
			have, err := os.ReadFile(filepath.Join(example(dir), f.Path))
			if err != nil || !bytes.Equal(have, f.Text) {
				t.Errorf("examples/%s/%s is not what keposs plugin new ppd digits --lang python writes: %v", dir, f.Path, err)
			}
		}
	}
	for dir, most := range map[string]int{"sensor-python": 40, "plugin-python": 80} {
		path, err := check.Executable(example(dir))
		if err != nil {
			t.Errorf("%v", err) // one at its top
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(b), "\n"); n > most || !bytes.HasPrefix(b, []byte("#!/usr/bin/python3\n")) {
			t.Errorf("%s has %d lines, want %d at most, and begins with %.20q", path, n, most, b)
		}
	}
}

// noPlugin are the examples that use keposs instead of extending it.
var noPlugin = []string{"embed", "kdf-study"}

// Each example of a plugin has exactly one executable at its top, once make has
// run where its language is compiled, and it passes the check.
func TestExamplesPass(t *testing.T) {
	testenv.NeedLevel(t, 1)
	if runtime.GOOS != "linux" {
		t.Skip("the check executes sealed images, which only Linux has")
	}
	list, err := os.ReadDir(filepath.Join(testenv.Root(), "examples"))
	if err != nil {
		t.Fatal(err)
	}
	config := map[string]map[string]string{
		"sensor-python": {"folder": filepath.Join(example("sensor-python"), "captures")},
		"sensor-cpp":    {"file": filepath.Join(example("sensor-cpp"), "captures.f32")},
	}
	for _, d := range list {
		dir := d.Name()
		if !d.IsDir() || slices.Contains(noPlugin, dir) {
			continue
		}
		t.Run(dir, func(t *testing.T) {
			if strings.HasSuffix(dir, "-python") && exec.Command("/usr/bin/python3", "-c", "import grpc, google.protobuf, cryptography").Run() != nil {
				t.Skip("no /usr/bin/python3 with grpc, protobuf and cryptography here")
			}
			if strings.HasSuffix(dir, "-cpp") && exec.Command("pkg-config", "--exists", "grpc++", "openssl").Run() != nil {
				t.Skip("no gRPC for C++ and OpenSSL here")
			}
			if !strings.HasSuffix(dir, "-python") { // its language is compiled
				if _, err := check.Executable(example(dir)); err != nil {
					t.Cleanup(func() { _ = exec.Command("make", "-C", example(dir), "clean").Run() })
				}
				if out, err := exec.Command("make", "-C", example(dir)).CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			}
			path, err := check.Executable(example(dir))
			if err != nil {
				t.Fatal(err)
			}
			passes(t, check.Target{Path: path, Config: config[dir]}, 17)
		})
	}
}
