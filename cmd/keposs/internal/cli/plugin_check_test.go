package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/keposs/keposs/cmd/keposs/internal/builtins"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/plugins/plugintest"
)

// The test binary is also the good plugin.
func TestMain(m *testing.M) {
	if which := os.Getenv("KEPOSS_PLUGIN"); which != "" && os.Getenv("KEPOSS_PLUGIN_COOKIE") == "" {
		fmt.Fprintln(os.Stderr, "this is a plugin of keposs")
		os.Exit(1)
	}
	r := builtins.Registry()
	r.Sensor = func(string) (core.Sensor, error) { return mine{}, nil }
	plugintest.Main(m, r)
}

func onLinux(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the check executes sealed images, which only Linux has")
	}
}

// program writes an executable script.
func program(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func checkJSON(t *testing.T, args ...string) (status int, out checked) {
	t.Helper()
	status, stdout, stderr := run(t, t.TempDir(), append([]string{"plugin", "check", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(stdout), &out); err != nil {
		t.Fatalf("status %d, no object (%v): %s%s", status, err, stdout, stderr)
	}
	return status, out
}

func TestPluginCheckPasses(t *testing.T) {
	onLinux(t)
	// Under the race detector a program lingers for a second when it ends, unless
	// told not to, and a plugin gets none of our environment.
	path := program(t, "plugin", fmt.Sprintf("#!/bin/sh\nGORACE=atexit_sleep_ms=0 exec '%s'\n", os.Args[0]))
	status, out := checkJSON(t, path, "--kind", plugins.KindKDF, "--name", "pbkdf2sm3")
	if status != ExitOK || !out.OK || len(out.Plugins) != 1 || out.Plugins[0].Failed != 0 || out.Plugins[0].Passed < 20 {
		t.Fatalf("status %d: %+v", status, out)
	}
	if p := out.Plugins[0]; p.Kind != plugins.KindKDF || p.Name != "pbkdf2sm3" || p.Version == "" {
		t.Errorf("it is %s %s %s", p.Kind, p.Name, p.Version)
	}
}

// One line names what is missing, whatever the program wanted.
func TestPluginCheckNamesWhatIsMissing(t *testing.T) {
	onLinux(t)
	for name, c := range map[string]struct{ text, found, advice string }{
		"interpreter": {"#!/no/such/python9\n", "/no/such/python9, its interpreter, is not on this machine", "first line"},
		"env":         {"#!/usr/bin/env python99\n", "python99, its interpreter, is not in PATH", "install python99"},
		"module":      {"#!/bin/sh\necho \"ModuleNotFoundError: No module named 'grpc'\" >&2; exit 1\n", "the Python module grpc is missing", "python3-grpcio"},
		"library":     {"#!/bin/sh\necho 'x: libfoo.so.3: cannot open shared object file: No such file' >&2; exit 127\n", "libfoo.so.3 is missing", "link it"},
		"dos":         {"#!/bin/sh\r\n", "carriage return", "line ends"},
		"text":        {"hello\n", "neither a program", "#!"},
		"elf":         {"\x7fELF\x02\x01\x01 and no more\n", "it begins as a program", "again"},
	} {
		t.Run(name, func(t *testing.T) {
			status, out := checkJSON(t, program(t, name, c.text))
			if status != ExitNo || out.OK || len(out.Plugins) != 1 {
				t.Fatalf("status %d: %+v", status, out)
			}
			for _, got := range out.Plugins[0].Cases {
				if got.Outcome == "failed" {
					if !strings.Contains(got.Found, c.found) || !strings.Contains(got.Advice, c.advice) {
						t.Errorf("%s: found %q, what to do %q", got.Name, got.Found, got.Advice)
					}
					return
				}
			}
			t.Error("nothing failed")
		})
	}
}

func TestPluginCheckTable(t *testing.T) {
	onLinux(t)
	path := program(t, "chatty", "#!/bin/sh\necho hello\n")
	status, stdout, stderr := run(t, t.TempDir(), "plugin", "check", path, "--kind", "sensor")
	if status != ExitNo {
		t.Fatalf("status %d: %s", status, stderr)
	}
	for _, want := range []string{"FAILED  handshake Handshake", "found:      the handshake has 1 fields", "what to do: Print that line", "more rules: the program does not", "it breaks what is marked FAILED"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the table lacks %q:\n%s", want, stdout)
		}
	}
}

func TestPluginCheckUsage(t *testing.T) {
	empty := t.TempDir()
	for _, c := range []struct {
		args []string
		want string
		exit int
	}{
		{nil, "one or more PATHs", 2},
		{[]string{filepath.Join(empty, "nothing")}, "does not exist", 5},
		{[]string{empty}, "0 executables at its top", 2},
		{[]string{empty, "--kind", "camera"}, "source, sensor, kdf or backend", 2},
		{[]string{empty, "--config", "nothing"}, "name=value", 2},
	} {
		status, _, stderr := run(t, empty, append([]string{"plugin", "check"}, c.args...)...)
		if status != c.exit || !strings.Contains(stderr, c.want) {
			t.Errorf("%v: status %d, want %d: %s", c.args, status, c.exit, stderr)
		}
	}
}
