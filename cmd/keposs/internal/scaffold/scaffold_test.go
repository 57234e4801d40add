package scaffold

import (
	"bytes"
	"encoding/base64"
	"errors"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/internal/testenv"
	"github.com/keposs/keposs/plugins/plugintest/check"
)

var pairs = []Plan{
	{Kind: "ppd", Lang: "go"}, {Kind: "sensor", Lang: "go"}, {Kind: "kdf", Lang: "go"}, {Kind: "escrow", Lang: "go"},
	{Kind: "ppd", Lang: "python"}, {Kind: "sensor", Lang: "python"}, {Kind: "kdf", Lang: "python"}, {Kind: "escrow", Lang: "python"},
}

// Every template renders to formatted Go or to a script that names its
// interpreter, with nothing of the template left.
func TestRender(t *testing.T) {
	for _, p := range pairs {
		p.Name = "my-" + p.Kind
		t.Run(p.Lang+"/"+p.Kind, func(t *testing.T) {
			files, err := Render(p)
			if err != nil {
				t.Fatal(err)
			}
			have := map[string]File{}
			for _, f := range files {
				if _, twice := have[f.Path]; twice {
					t.Errorf("%s is there twice", f.Path)
				}
				have[f.Path] = f
				if bytes.Contains(f.Text, []byte("{{")) && filepath.Ext(f.Path) != ".go" || bytes.Contains(f.Text, []byte("<no value>")) {
					t.Errorf("%s holds a piece of its template", f.Path)
				}
				if filepath.Ext(f.Path) == ".go" {
					if nice, err := format.Source(f.Text); err != nil || !bytes.Equal(nice, f.Text) {
						t.Errorf("%s is not formatted: %v", f.Path, err)
					}
				}
			}
			for _, want := range []string{"README.md", "Makefile", ".gitignore", ".github/workflows/ci.yml"} {
				if len(have[want].Text) == 0 {
					t.Errorf("no %s", want)
				}
			}
			if p.Lang == "python" {
				if f := have[p.Name]; f.Mode != 0o755 || !bytes.HasPrefix(f.Text, []byte("#!/usr/bin/python3\n")) {
					t.Errorf("the program has mode %o and begins with %.20q", f.Mode, f.Text)
				}
			} else if !bytes.HasPrefix(have["go.mod"].Text, []byte("module example.org/"+p.Name+"\n")) {
				t.Errorf("go.mod begins with %.40q", have["go.mod"].Text)
			}
		})
	}
}

func TestRenderRefuses(t *testing.T) {
	for _, c := range []struct {
		p    Plan
		code core.Code
	}{
		{Plan{Kind: "camera", Name: "x", Lang: "go"}, core.Usage},
		{Plan{Kind: "ppd", Name: "../x", Lang: "go"}, core.Usage},
		{Plan{Kind: "ppd", Name: "X", Lang: "go"}, core.Usage},
		{Plan{Kind: "ppd", Name: "", Lang: "go"}, core.Usage},
		{Plan{Kind: "ppd", Name: strings.Repeat("x", 33), Lang: "go"}, core.Usage},
		{Plan{Kind: "ppd", Name: "x", Lang: "cobol"}, core.Usage},
		{Plan{Kind: "ppd", Name: "x", Lang: "go", Replace: t.TempDir()}, core.NotFound},
	} {
		if _, err := Render(c.p); !errors.Is(err, c.code) {
			t.Errorf("%+v: %v, want %v", c.p, err, c.code)
		}
	}
	dir := filepath.Join(t.TempDir(), "x")
	p := Plan{Kind: "ppd", Name: "x", Lang: "go"}
	if _, err := Write(dir, p); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(dir, p); !errors.Is(err, core.Conflict) {
		t.Errorf("a folder that is there: %v, want conflict", err)
	}
}

// The messages a Python plugin carries are those of the protocol, each file
// after what it imports.
func TestDescriptors(t *testing.T) {
	text, err := descriptors()
	if err != nil {
		t.Fatal(err)
	}
	var seen, services []string
	for line := range strings.Lines(text) {
		b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(line))
		f := &descriptorpb.FileDescriptorProto{}
		if err = errors.Join(err, proto.Unmarshal(b, f)); err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Dependency {
			if !slices.Contains(seen, d) {
				t.Errorf("%s comes before %s, which it imports", f.GetName(), d)
			}
		}
		seen = append(seen, f.GetName())
		for _, s := range f.Service {
			services = append(services, s.GetName())
		}
	}
	slices.Sort(services)
	if want := []string{"Backend", "Control", "KDF", "Sensor", "Source"}; !slices.Equal(services, want) {
		t.Errorf("services %v, want %v", services, want)
	}
}

// passes runs the check and reports what fails.
func passes(t *testing.T, target check.Target, least int) {
	t.Helper()
	i, err := check.Identify(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	target.Kind, target.Name = i.Kind, i.Name
	passed := 0
	check.Run(t.Context(), target, func(r check.Result) {
		switch r.Outcome() {
		case "failed":
			t.Errorf("%s: %v", r.Case.Name, r.Err)
		case "passed":
			passed++
		}
	})
	if passed < least {
		t.Errorf("only %d cases passed, want %d", passed, least)
	}
}

// What is written in Go builds outside this repository, passes its own test and
// the check of the program.
func TestGoFoldersWork(t *testing.T) {
	testenv.NeedLevel(t, 1)
	if runtime.GOOS != "linux" {
		t.Skip("the check executes sealed images, which only Linux has")
	}
	for _, p := range pairs[:4] {
		p.Name, p.Replace = "my-"+p.Kind, testenv.Root()
		t.Run(p.Kind, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), p.Name)
			if _, err := Write(dir, p); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"vet", "./..."}, {"test", "./..."}, {"build", "-o", p.Name, "."}} {
				c := exec.Command("go", args...)
				c.Dir = dir
				c.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "GOPROXY=off")
				if out, err := c.CombinedOutput(); err != nil {
					t.Fatalf("go %v: %v\n%s", args, err, out)
				}
			}
			passes(t, check.Target{Path: filepath.Join(dir, p.Name), Config: settings(p.Kind, dir)}, 20)
		})
	}
}

func settings(kind, dir string) map[string]string {
	switch kind {
	case "sensor":
		return map[string]string{"folder": filepath.Join(dir, "captures")}
	case "escrow":
		return map[string]string{"path": "{dir}/log"}
	}
	return nil
}

// What is written in Python runs as it is.
func TestPythonFoldersWork(t *testing.T) {
	testenv.NeedLevel(t, 1)
	if err := exec.Command("/usr/bin/python3", "-c", "import grpc, google.protobuf, cryptography").Run(); err != nil {
		t.Skip("no /usr/bin/python3 with grpc, protobuf and cryptography here")
	}
	for _, p := range pairs[4:] {
		p.Name = "my-" + p.Kind
		t.Run(p.Kind, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), p.Name)
			if _, err := Write(dir, p); err != nil {
				t.Fatal(err)
			}
			passes(t, check.Target{Path: filepath.Join(dir, p.Name), Config: settings(p.Kind, dir)}, 20)
		})
	}
}
