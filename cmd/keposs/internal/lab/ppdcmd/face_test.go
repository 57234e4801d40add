package ppdcmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/ppd/face"
	"github.com/keposs/keposs/ppd/ppdtest"
)

// files writes people with captures each, the last with two only, without a
// role column.
func files(t *testing.T, people, captures int) (data, labels string) {
	t.Helper()
	gen := ppdtest.NewFaces(128, 12)
	a := &face.Array{Cols: 128}
	var csv strings.Builder
	csv.WriteString("row,id,capture\n")
	for p := range people {
		n := captures
		if p == people-1 {
			n = 2
		}
		for c := range n {
			fmt.Fprintf(&csv, "%d,p%d,%d\n", a.Rows, p, c)
			a.Data = append(a.Data, gen.Capture(p, c)...)
			a.Rows++
		}
	}
	dir := t.TempDir()
	data, labels = filepath.Join(dir, "f.npy"), filepath.Join(dir, "f.csv")
	var b bytes.Buffer
	if err := face.WriteNPY(&b, a); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(data, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(labels, []byte(csv.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return data, labels
}

func runFace(args ...string) error {
	c := FaceCommand()
	c.SetOut(new(bytes.Buffer))
	c.SetErr(new(bytes.Buffer))
	c.SetArgs(args)
	c.SilenceUsage, c.SilenceErrors = true, true
	return c.Execute()
}

func output(t *testing.T, args ...string) map[string]any {
	t.Helper()
	c := FaceCommand()
	var out, log bytes.Buffer
	c.SetOut(&out)
	c.SetErr(&log)
	c.SetArgs(append(args, "--json"))
	if err := c.Execute(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), " of ") {
		t.Error("no progress was told")
	}
	var m map[string]any
	if err := json.Unmarshal(out.Bytes(), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// The names of the JSON are a promise; two runs agree but for the times.
func TestFaceJSON(t *testing.T) {
	data, labels := files(t, 8, 9)
	page := filepath.Join(t.TempDir(), "r.html")
	args := []string{"--data", data, "--labels", labels, "--seeds", "1", "--html", page}
	m := output(t, args...)
	for _, name := range []string{"fte", "fnmr_captures", "fnmr_captures_balanced", "false_accepts", "impostor_trials", "fmr_log2", "fmr_interval", "offline_bits", "per_try", "helper_bytes", "ms", "ceiling", "sessions"} {
		if _, ok := m[name]; !ok {
			t.Errorf("no field %q", name)
		}
	}
	for _, name := range []string{"enrol", "decode", "answer"} {
		if v, _ := m["ms"].(map[string]any)[name].(float64); v <= 0 {
			t.Errorf("ms.%s is %v", name, v)
		}
	}
	for _, name := range []string{"fnmr_captures", "fnmr_captures_balanced"} {
		if v, _ := m[name].([]any); len(v) != 3 {
			t.Errorf("%s: %v, want three rates", name, v)
		}
	}
	if m["people"] != 7.0 || m["too_few"] != 1.0 || m["impostors"] != 0.0 {
		t.Errorf("people %v, too few %v, impostors %v; want 7, 1, 0", m["people"], m["too_few"], m["impostors"])
	}
	// Seven records; 7 × 9 + 2 rows, of which nine are the record's own.
	if m["impostor_trials"] != 7.0*(6*9+2) {
		t.Errorf("%v impostor trials, want every record against every other row", m["impostor_trials"])
	}
	if n, _ := m["helper_bytes"].(float64); n < 1 || n > 160 {
		t.Errorf("helper of %v bytes", n)
	}
	if _, err := os.Stat(page); err != nil {
		t.Error(err)
	}
	again := output(t, args...)
	delete(m, "ms")
	delete(again, "ms")
	a, _ := json.Marshal(m)
	b, _ := json.Marshal(again)
	if !bytes.Equal(a, b) {
		t.Errorf("two runs differ:\n%s\n%s", a, b)
	}
}

func TestFaceRefusals(t *testing.T) {
	data, labels := files(t, 4, 9)
	for name, c := range map[string]struct {
		code core.Code
		args []string
	}{
		"no labels":       {core.Usage, []string{"--data", data}},
		"bits":            {core.Usage, []string{"--data", data, "--labels", labels, "--bits", "30"}},
		"enrol":           {core.Usage, []string{"--data", data, "--labels", labels, "--enrol", "2"}},
		"seeds":           {core.Usage, []string{"--data", data, "--labels", labels, "--seeds", "-1"}},
		"plugin alone":    {core.Usage, []string{"--data", data, "--labels", labels, "--plugin", "x"}},
		"few to protect":  {core.Usage, []string{"--data", data, "--labels", labels, "--protection"}},
		"no data":         {core.NotFound, []string{"--data", data + "x", "--labels", labels}},
		"no profile":      {core.NotFound, []string{"--data", data, "--labels", labels, "--profile", data + "x"}},
		"profile no npz":  {core.Invalid, []string{"--data", data, "--labels", labels, "--profile", data}},
		"calibrate few":   {core.Invalid, []string{"calibrate", "--data", data, "--labels", labels, "--out", data + ".npz"}},
		"calibrate usage": {core.Usage, []string{"calibrate", "--data", data}},
	} {
		if err := runFace(c.args...); core.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
}

// A profile made by the command is used by the command, and not overwritten.
func TestCalibrateCommand(t *testing.T) {
	data, labels := files(t, 61, 9)
	out := filepath.Join(t.TempDir(), "camera.npz")
	args := []string{"calibrate", "--data", data, "--labels", labels, "--out", out, "--model", "m-1"}
	if err := runFace(args...); err != nil {
		t.Fatal(err)
	}
	if err := runFace(args...); err == nil {
		t.Error("a profile was overwritten")
	}
	small, of := files(t, 5, 9)
	m := output(t, "--data", small, "--labels", of, "--profile", out, "--seeds", "1")
	if name, _ := m["profile"].(string); !strings.HasPrefix(name, "sm3:") {
		t.Errorf("profile %v", m["profile"])
	}
}
