package ppdcmd

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/ppd/gesture"
	"github.com/keposs/keposs/ppd/lab/guess"
)

func run(t *testing.T, c *cobra.Command, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c.SetOut(&out)
	c.SetErr(&out)
	c.SetArgs(args)
	c.SilenceErrors, c.SilenceUsage = true, true
	err := c.ExecuteContext(t.Context())
	return out.String(), err
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func studies(t *testing.T, text string) []guess.Study {
	t.Helper()
	var o struct{ Studies []guess.Study }
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return o.Studies
}

// Counts give success under every policy; the uniform bound stands last.
func TestPINCounts(t *testing.T) {
	data := file(t, "d.csv", "1234,50\n8264,30\n6073,20\n123456,9\n")
	list := file(t, "l.txt", "8264\n")
	out, err := run(t, PINCommand(), "--json", "--data", data, "--blocklist", list)
	if err != nil {
		t.Fatal(err)
	}
	s := studies(t, out)
	if len(s) != 2 || len(s[0].Curves) != 3 || s[1].Evidence != guess.Uniform {
		t.Fatalf("%+v", s)
	}
	for i, want := range []float64{0.5, 0.6, 50. / 70} {
		if got := s[0].Curves[i].Online[0].Success; got < want-1e-9 || got > want+1e-9 {
			t.Errorf("%s: first try %v, want %v", s[0].Curves[i].Policy, got, want)
		}
	}
	if !strings.Contains(strings.Join(s[0].Warnings, "|"), "1 of 4 values are of another form") {
		t.Errorf("warnings %q", s[0].Warnings)
	}
	if out, err = run(t, PINCommand(), "--csv", "--data", data); err != nil {
		t.Fatal(err)
	}
	if rows, err := csv.NewReader(strings.NewReader(out)).ReadAll(); err != nil || len(rows) < 10 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

// An order is told as an order, loudly, and has no curve.
func TestPINOrder(t *testing.T) {
	data := file(t, "d.txt", "123456\n826491\n111111\n")
	out, err := run(t, PINCommand(), "--length", "6", "--data", data)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "order only") || !strings.Contains(out, "warning: the file has an order and no counts") || strings.Contains(strings.Split(out, "6-digit PINs, uniform")[0], "tries") {
		t.Error(out)
	}
}

func TestGestureHead(t *testing.T) {
	data := file(t, "p.json", `{"patterns":[{"nodes":[1,8,3,2,7,0],"frequency":4},{"nodes":[0,1,2,5],"frequency":2}]}`)
	out, err := run(t, GestureCommand(), "--json", "--data", data, "--total", "10")
	if err != nil {
		t.Fatal(err)
	}
	s := studies(t, out)
	if len(s[0].Curves) != 2 || math.Abs(s[0].Curves[0].Online[0].Success-0.4) > 1e-9 || s[0].Curves[0].Values != allPatterns[3] || !strings.Contains(s[0].Warnings[0], "lower bound") {
		t.Errorf("%+v", s[0])
	}
}

func TestRefusals(t *testing.T) {
	for _, args := range [][]string{{"--length", "3"}, {"--length", "40"}, {"--json", "--csv"}} {
		if out, err := run(t, PINCommand(), args...); core.CodeOf(err) != core.Usage {
			t.Errorf("%v: %v, %s", args, err, out)
		}
	}
	if _, err := run(t, GestureCommand(), "--grid", "5"); core.CodeOf(err) != core.Usage {
		t.Errorf("grid 5: %v", err)
	}
	if _, err := run(t, PINCommand(), "--data", filepath.Join(t.TempDir(), "none")); core.CodeOf(err) != core.NotFound {
		t.Errorf("no file: %v", err)
	}
	if _, err := run(t, PINCommand(), "--data", file(t, "f", "abcd,1\n")); core.CodeOf(err) != core.Invalid {
		t.Errorf("no PIN in the data: %v", err)
	}
}

// Without data both print something, and what is let through is part of all.
func TestWithoutData(t *testing.T) {
	for _, c := range []*cobra.Command{PINCommand(), GestureCommand()} {
		if out, err := run(t, c); err != nil || !strings.Contains(out, "published") {
			t.Errorf("%v: %s", err, out)
		}
	}
	for grid, all := range allPatterns {
		if n := gesture.Allowed(grid, gesture.DefaultMin(grid)); n >= all || n < all/2 {
			t.Errorf("grid %d: %d allowed of %d", grid, n, all)
		}
	}
}
