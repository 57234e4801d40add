package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keposs/keposs/plugins"
)

// Every call of a plugin is shown, and no secret.
func TestPluginDebug(t *testing.T) {
	onLinux(t)
	for kind, c := range map[string]struct {
		name string
		args []string
		want []string
	}{
		plugins.KindKDF:     {"pbkdf2sm3", nil, []string{"→ KDF/Derive", "length: 32", "secret: ‹sealed secret›"}},
		plugins.KindSource:  {"pin", nil, []string{"→ Source/Enroll", "‹sealed secret›", "ok: recover as the same person: the secret of the enrolment", "ok: recover as a stranger: another secret"}},
		plugins.KindBackend: {"memory", []string{"--config", "path={dir}/log"}, []string{"→ Backend/CommitMany", "blob: ‹4 bytes›", "ok: put it", "ok: delete it"}},
	} {
		status, stdout, stderr := run(t, t.TempDir(), append([]string{"plugin", "debug", os.Args[0], "--kind", kind, "--name", c.name}, c.args...)...)
		if status != ExitOK {
			t.Errorf("%s: status %d: %s%s", kind, status, stdout, stderr)
		}
		for _, want := range c.want {
			if !strings.Contains(stdout, want) {
				t.Errorf("%s: the trace lacks %q:\n%s", kind, want, stdout)
			}
		}
		for _, secret := range []string{"made-up password", "plain: ‹", "sealed: ‹"} {
			if strings.Contains(stdout, secret) {
				t.Errorf("%s: the trace tells %q", kind, secret)
			}
		}
	}
	status, stdout, _ := run(t, t.TempDir(), "plugin", "debug", program(t, "mute", "#!/bin/sh\nexit 3\n"), "--kind", "sensor", "--json")
	var out debugged
	if err := json.Unmarshal([]byte(stdout), &out); err != nil || status != ExitNo || out.OK || out.Error == "" || len(out.Trace) == 0 {
		t.Errorf("status %d, %v: %s", status, err, stdout)
	}
}

// What is missing is named with what to do.
func TestPluginDoctor(t *testing.T) {
	onLinux(t)
	home := t.TempDir()
	status, stdout, stderr := run(t, home, "plugin", "doctor")
	if status != ExitOK || !strings.Contains(stdout, "nothing is missing") {
		t.Fatalf("a sound machine: status %d: %s%s", status, stdout, stderr)
	}
	ask := func(path string) (int, finding) {
		t.Helper()
		status, stdout, _ := run(t, home, "plugin", "doctor", "--json", path)
		var d diagnosis
		if err := json.Unmarshal([]byte(stdout), &d); err != nil || len(d.Findings) == 0 {
			t.Fatalf("%v: %s", err, stdout)
		}
		return status, d.Findings[len(d.Findings)-1]
	}
	for _, c := range []struct{ text, found, advice string }{
		{"#!/no/such/python9\n", "/no/such/python9, its interpreter, is not on this machine", "first line"},
		{"#!/bin/sh\necho \"ModuleNotFoundError: No module named 'grpc'\" >&2; exit 1\n", "the Python module grpc is missing", "python3-grpcio"},
		{"#!/bin/sh\nexit 1\n", "", "plugin check"},
	} {
		status, f := ask(program(t, "ill", c.text))
		if status != ExitNo || f.State != "missing" || !strings.Contains(f.Found, c.found) || !strings.Contains(f.Advice, c.advice) {
			t.Errorf("%q: status %d, %+v", c.text, status, f)
		}
	}
	if status, f := ask(filepath.Join(home, "nothing")); status != ExitNo || !strings.Contains(f.Found, "does not exist") {
		t.Errorf("no such path: %d, %+v", status, f)
	}
}
