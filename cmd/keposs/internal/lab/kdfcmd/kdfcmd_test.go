package kdfcmd

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/kdf/lab"
)

func run(t *testing.T, c *cobra.Command, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c.SetOut(&out)
	c.SetErr(new(bytes.Buffer))
	c.SetArgs(args)
	c.SilenceErrors, c.SilenceUsage = true, true
	err := c.ExecuteContext(t.Context())
	return out.String(), err
}

func params(t *testing.T, s string) core.Params {
	t.Helper()
	p, err := core.ParseParams(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// saved is a small result in a file.
func saved(t *testing.T) string {
	t.Helper()
	r, err := lab.Run(t.Context(), lab.Options{Plan: []core.Params{params(t, "pbkdf2sm3$i=1024"), params(t, "sm2kdf$")}, Rounds: -1})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "result.json")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A saved result gives every form again without measuring.
func TestFrom(t *testing.T) {
	from := saved(t)
	html, out := filepath.Join(t.TempDir(), "r.html"), filepath.Join(t.TempDir(), "out")
	if err := os.Mkdir(out, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--html", html}, "pbkdf2sm3$i=1024"},
		{[]string{"--out", out, "--json"}, `"schema": "keposs-lab-kdf-1"`},
		{[]string{"--csv"}, "guesses_per_core_second"},
		{[]string{"--figure", "heat"}, "<svg"},
	} {
		text, err := run(t, Command("test"), append([]string{"--from", from}, c.args...)...)
		if err != nil || !strings.Contains(text, c.want) {
			t.Errorf("%v: %v, %.200s", c.args, err, text)
		}
	}
	for _, path := range []string{html, filepath.Join(out, "report.html"), filepath.Join(out, "result.csv"), filepath.Join(out, "result.json")} {
		if st, err := os.Stat(path); err != nil || st.Size() < 100 {
			t.Errorf("%s: %v", path, err)
		}
	}
	text, err := run(t, CompareCommand(), from, from)
	if err != nil || !strings.Contains(text, "no difference shown") {
		t.Errorf("%v: %s", err, text)
	}
	if text, err = run(t, CompareCommand(), from, from, "--json"); err != nil || !strings.Contains(text, `"same_machine": true`) {
		t.Errorf("%v: %s", err, text)
	}
}

func TestSchema(t *testing.T) {
	text, err := run(t, Command("test"), "--schema")
	if err != nil || !json.Valid([]byte(text)) {
		t.Errorf("%v", err)
	}
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	order := filepath.Join(dir, "o.txt")
	if err := os.WriteFile(order, []byte("1234\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		cmd  *cobra.Command
		args []string
		code core.Code
	}{
		{Command("t"), []string{"--json", "--csv"}, core.Usage},
		{Command("t"), []string{"--budget", "-1s"}, core.Usage},
		{Command("t"), []string{"--pins", order}, core.Invalid},
		{Command("t"), []string{"--pins", filepath.Join(dir, "none")}, core.NotFound},
		{Command("t"), []string{"--prices", order}, core.Invalid},
		{Command("t"), []string{"--from", order}, core.Invalid},
		{CompareCommand(), []string{order, order}, core.Invalid},
		{CalibrateCommand(), []string{"md5"}, core.NotFound},
		{CalibrateCommand(), []string{"--target", "0s"}, core.Invalid},
		{CalibrateCommand(), []string{"--target", "2h"}, core.Invalid},
		{CalibrateCommand(), []string{"--floor", "i=-1"}, core.Usage},
		{CalibrateCommand(), []string{"--floor", "i=99999999"}, core.TooLarge},
		{CalibrateCommand(), []string{"argon2id", "--wide", "8"}, core.Usage},
		{CalibrateCommand(), []string{"--runs", "0"}, core.Usage},
		{CalibrateCommand(), []string{"argon2id", "--max-memory", "1"}, core.TooLarge},
	} {
		if out, err := run(t, c.cmd, c.args...); core.CodeOf(err) != c.code {
			t.Errorf("%s %v: %v, want %s; %s", c.cmd.Name(), c.args, err, c.code, out)
		}
	}
}

// What calibration prints is within its own bounds and says why when not near.
func TestCalibrate(t *testing.T) {
	text, err := run(t, CalibrateCommand(), "--target", "20ms", "--floor", "i=1024", "--ceiling", "i=2000", "--runs", "1", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var r calibration
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	if r.Params != "pbkdf2sm3$i=2000" || !r.AtCeil || r.AtFloor || !r.Approved || len(r.TookMs) != 1 {
		t.Errorf("%+v", r)
	}
	text, err = run(t, CalibrateCommand(), "--target", "1ms", "--floor", "i=60000", "--runs", "1", "--check")
	if err != nil || !strings.Contains(text, "a floor is above it") {
		t.Errorf("%v: %s", err, text)
	}
}

func TestList(t *testing.T) {
	for _, args := range [][]string{nil, {"--json"}} {
		text, err := run(t, ListCommand(), args...)
		if err != nil || !strings.Contains(text, "sm3crypt$r=5000") {
			t.Errorf("%v: %s", err, text)
		}
	}
}

func TestExport(t *testing.T) {
	out, answers := filepath.Join(t.TempDir(), "c"), filepath.Join(t.TempDir(), "a.json")
	args := []string{"--out", out, "--kdf", "pbkdf2sm3$i=1024", "--kdf", "sm3crypt$r=1000", "--answers", answers}
	text, err := run(t, ExportCommand(), args...)
	if err != nil || !strings.Contains(text, "4 challenges and 2 sealed records") {
		t.Fatalf("%v: %s", err, text)
	}
	for name, want := range map[string]string{"challenges.txt": "$keposs$v=1$pbkdf2sm3$i=1024$", "crypt.txt": "$sm3$rounds=1000$", "challenge.json": `"device_secret"`} {
		b, err := os.ReadFile(filepath.Join(out, name))
		if err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if st, err := os.Stat(answers); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("answers: %v, %v", st, err)
	}
	if _, err := run(t, ExportCommand(), args...); core.CodeOf(err) != core.Usage {
		t.Errorf("answers are overwritten: %v", err)
	}
	if _, err := run(t, ExportCommand()); core.CodeOf(err) != core.Usage {
		t.Errorf("no folder: %v", err)
	}
	if _, err := run(t, ExportCommand(), "--out", out, "--kdf", "pbkdf2sm3$i=01024"); core.CodeOf(err) != core.Invalid {
		t.Errorf("a cost in another form: %v", err)
	}
}
