package scaffold

import (
	"bytes"
	"errors"
	"io/fs"
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

// noPlugin are the examples that use keposs instead of extending it: an app and
// a study. examples/README.md says so.
var noPlugin = []string{"embed", "kdf-study"}

// plugins lists the folders of examples of plugins below root.
func plugins(t *testing.T, root string) (out []string) {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(root, "examples"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range list {
		if d.IsDir() && !slices.Contains(noPlugin, d.Name()) {
			out = append(out, d.Name())
		}
	}
	if len(out) < 4 {
		t.Fatalf("only the examples %v are plugins", out)
	}
	return out
}

// Each example of a plugin has exactly one executable at its top, before
// anything is built, and the page of the examples names each folder.
func TestExamplesHaveOneProgram(t *testing.T) {
	root := clone(t)
	page, err := os.ReadFile(filepath.Join(root, "examples", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range append(plugins(t, root), noPlugin...) {
		if !bytes.Contains(page, []byte("| ["+dir+"]("+dir+") |")) {
			t.Errorf("examples/README.md has no row of %s", dir)
		}
	}
	for _, dir := range plugins(t, root) {
		path, err := check.Executable(filepath.Join(root, "examples", dir))
		if err != nil {
			t.Error(err)
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		python := bytes.HasPrefix(b, []byte("#!/usr/bin/python3\n"))
		builds := bytes.HasPrefix(b, []byte("#!/bin/sh\n# keposs-program: build/"+filepath.Base(path)+"\n"))
		if strings.HasSuffix(dir, "-python") != python || python == builds {
			t.Errorf("examples/%s/%s begins with %.60q", dir, filepath.Base(path), b)
		}
	}
}

// The one executable of each passes the check on a fresh clone, and leaves it
// with one.
func TestExamplesPass(t *testing.T) {
	testenv.NeedLevel(t, 1)
	if runtime.GOOS != "linux" {
		t.Skip("the check executes sealed images, which only Linux has")
	}
	root := clone(t)
	at := func(names ...string) string { return filepath.Join(append([]string{root, "examples"}, names...)...) }
	targets := map[string]check.Target{
		"sensor-python": {Config: map[string]string{"folder": at("sensor-python", "captures")}},
		"sensor-cpp":    {Config: map[string]string{"file": at("sensor-cpp", "captures.f32")}},
		"plugin-go":     {Samples: at("plugin-go", "samples")},
	}
	for _, dir := range plugins(t, root) {
		t.Run(dir, func(t *testing.T) {
			if strings.HasSuffix(dir, "-python") && exec.Command("/usr/bin/python3", "-c", "import grpc, google.protobuf, cryptography").Run() != nil {
				t.Skip("no /usr/bin/python3 with grpc, protobuf and cryptography here")
			}
			if strings.HasSuffix(dir, "-cpp") && exec.Command("pkg-config", "--exists", "grpc++", "openssl").Run() != nil {
				t.Skip("no gRPC for C++ and OpenSSL here")
			}
			target := targets[dir]
			var said strings.Builder
			var err error
			if target.Path, err = check.Program(t.Context(), at(dir), &said); err != nil {
				t.Fatalf("%v\n%s", err, said.String())
			}
			passes(t, target, 22)
			if _, err := check.Executable(at(dir)); err != nil {
				t.Errorf("afterwards %v", err)
			}
		})
	}
}

// clone copies what belongs to this repository, and nothing that was built in it.
func clone(t *testing.T) string {
	t.Helper()
	list := exec.Command("git", "ls-files", "-z")
	list.Dir = testenv.Root()
	out, err := list.Output()
	if err != nil {
		t.Skipf("this is no checkout of git: %v", err)
	}
	root := t.TempDir()
	for _, name := range strings.Split(strings.TrimRight(string(out), "\x00"), "\x00") {
		from, to := filepath.Join(testenv.Root(), name), filepath.Join(root, name)
		st, err := os.Lstat(from)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed and not yet committed
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(from)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(to), 0o755)
		}
		if err == nil {
			err = os.WriteFile(to, b, st.Mode().Perm())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}
