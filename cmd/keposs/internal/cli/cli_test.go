package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/internal/testenv"
)

var update = flag.Bool("update", false, "write docs/cli.md")

// run runs one command line and returns the status and both outputs.
func run(t *testing.T, dir string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	e := &Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}
	status = Run(context.Background(), append([]string{"--dir", dir}, args...), e)
	return status, out.String(), errs.String()
}

// Every code has exactly one exit status, and no status means two things.
func TestFamiliesCoverEveryCode(t *testing.T) {
	seen := map[core.Code]string{}
	exits := map[int]string{ExitOK: "ok", ExitNo: "no"}
	for _, f := range Families {
		if other, ok := exits[f.Exit]; ok {
			t.Errorf("status %d stands for %s and %s", f.Exit, other, f.Name)
		}
		exits[f.Exit] = f.Name
		if f.Means == "" || f.Advice == "" {
			t.Errorf("%s: no meaning or no advice", f.Name)
		}
		for _, c := range f.Codes {
			if other, ok := seen[c]; ok {
				t.Errorf("%s is in %s and %s", c, other, f.Name)
			}
			seen[c] = f.Name
		}
	}
	for _, c := range core.Codes() {
		if seen[c] == "" {
			t.Errorf("code %s has no exit status", c)
		}
		if got, want := ExitCode(fmt.Errorf("outer: %w", core.Errorf(c, "op", "text"))), familyOf(c).Exit; got != want {
			t.Errorf("%s: exit %d, want %d", c, got, want)
		}
	}
	if ExitCode(nil) != ExitOK || ExitCode(errNo) != ExitNo || ExitCode(errors.New("plain")) != 70 {
		t.Error("ok, no or an untyped error has the wrong status")
	}
}

// docs/cli.md is what the program is.
func TestDocs(t *testing.T) {
	testenv.Document(t, *update, "cli.md", Markdown(), "go test ./cmd/keposs/internal/cli -run Docs -update")
}

// Every command a person can run shows an example, and no flag takes a secret.
func TestHelpTexts(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Name() != "help" && c.Name() != "completion" && !c.Hidden && c.Parent() != nil && c.Parent().Name() != "completion" {
			if c.Example == "" {
				t.Errorf("%s: no example", c.CommandPath())
			}
			if c.Short == "" || strings.HasSuffix(c.Short, ".") {
				t.Errorf("%s: want a short description without a full stop", c.CommandPath())
			}
			for _, line := range strings.Split(strings.Trim(c.Example, "\n"), "\n") {
				if line != "" && !strings.HasPrefix(line, "  ") {
					t.Errorf("%s: example line %q is not indented", c.CommandPath(), line)
				}
			}
		}
		for _, name := range []string{"pin", "password", "gesture", "secret", "key-hex"} {
			if c.Flags().Lookup(name) != nil {
				t.Errorf("%s: --%s would put a secret into the arguments", c.CommandPath(), name)
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(New(NewEnv()))
}

// An error tells what, why and what to do; with --json standard output is one
// object that says the same.
func TestErrorOutput(t *testing.T) {
	status, stdout, stderr := run(t, t.TempDir(), "ersion")
	if status != 2 || stdout != "" || !strings.Contains(stderr, `no command "ersion"`) || !strings.Contains(stderr, "What to do: did you mean `keposs version`?") {
		t.Errorf("status %d, stdout %q, stderr %q", status, stdout, stderr)
	}
	status, stdout, stderr = run(t, t.TempDir(), "version", "extra", "--json")
	var o struct {
		Error struct{ Code, Op, Message, Advice string }
	}
	if err := json.Unmarshal([]byte(stdout), &o); err != nil {
		t.Fatalf("stdout is no object: %v\n%s", err, stdout)
	}
	if status != 2 || o.Error.Code != "usage" || o.Error.Op != "keposs version" || o.Error.Message == "" || o.Error.Advice == "" || stderr == "" {
		t.Errorf("status %d, %+v, stderr %q", status, o, stderr)
	}
	// The lab's commands have a --json of their own.
	status, stdout, stderr = run(t, t.TempDir(), "policy", "explain", "pin &&", "--json")
	o.Error.Code = ""
	if err := json.Unmarshal([]byte(stdout), &o); err != nil || status != 7 || o.Error.Code != "policy" || !strings.Contains(stderr, "mend the policy") {
		t.Errorf("status %d, %v, stdout %q, stderr %q", status, err, stdout, stderr)
	}
	status, stdout, _ = run(t, t.TempDir(), "version", "--no-such-flag")
	if status != 2 || stdout != "" {
		t.Errorf("unknown flag: status %d, stdout %q", status, stdout)
	}
}

func TestRootFolder(t *testing.T) {
	env := func(vars map[string]string, dir string) (string, error) {
		e := &Env{Getenv: func(k string) string { return vars[k] }, dir: dir}
		return e.Root()
	}
	for _, c := range []struct {
		name string
		vars map[string]string
		dir  string
		want string
	}{
		{"flag wins", map[string]string{"XDG_DATA_HOME": "/x", "HOME": "/h"}, "/d", "/d"},
		{"xdg", map[string]string{"XDG_DATA_HOME": "/x", "HOME": "/h"}, "", "/x/keposs"},
		{"relative xdg is ignored", map[string]string{"XDG_DATA_HOME": "x", "HOME": "/h"}, "", "/h/.local/share/keposs"},
		{"home", map[string]string{"HOME": "/h"}, "", "/h/.local/share/keposs"},
	} {
		if got, err := env(c.vars, c.dir); err != nil || got != c.want {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
		}
	}
	if _, err := env(nil, ""); core.CodeOf(err) != core.Usage {
		t.Errorf("no home: %v", err)
	}
}

// One line, its end stripped, nothing of the next one consumed; bounds before use.
func TestReadLine(t *testing.T) {
	r := strings.NewReader("first \r\nsecond\n")
	for _, want := range []string{"first ", "second"} {
		b, err := readLine(r, "password", 3)
		if err != nil || string(b.Bytes()) != want {
			t.Fatalf("got %q, %v; want %q", b.Bytes(), err, want)
		}
		b.Wipe()
	}
	if _, err := readLine(r, "password", 3); core.CodeOf(err) != core.Usage {
		t.Errorf("empty input: %v", err)
	}
	if b, err := readLine(strings.NewReader(strings.Repeat("x", maxPassword)), "password", 3); err != nil || b.Len() != maxPassword {
		t.Errorf("longest allowed line: %v", err)
	}
	if _, err := readLine(strings.NewReader(strings.Repeat("x", maxPassword+1)), "password", 3); core.CodeOf(err) != core.TooLarge {
		t.Errorf("too long: %v", err)
	}
}

// Every command line of the README is one this program takes.
func TestReadme(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(testenv.Root(), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, line := range strings.Split(string(b), "\n") {
		text, _, _ := strings.Cut(line, "#")
		words := strings.Fields(strings.TrimRight(strings.TrimSpace(text), "&"))
		if len(words) > 3 && words[0] == "go" && words[1] == "run" && words[2] == "./cmd/keposs" {
			words = words[2:]
		} else if len(words) < 2 || words[0] != "keposs" {
			continue
		}
		n++
		c, args, err := New(NewEnv()).Find(words[1:])
		if err == nil && !c.Runnable() {
			err = errors.New("it does nothing by itself")
		}
		if err == nil {
			err = c.ParseFlags(args)
		}
		if err == nil && c.Args != nil {
			err = c.Args(c, c.Flags().Args())
		}
		if err != nil {
			t.Errorf("%q: %v", strings.Join(words, " "), err)
		}
	}
	if n < 8 {
		t.Errorf("found %d command lines, want the quickstart and the way by hand", n)
	}
}
