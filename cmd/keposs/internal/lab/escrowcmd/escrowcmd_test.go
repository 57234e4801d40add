package escrowcmd

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keposs/keposs/cmd/keposs/internal/builtins"
	"github.com/keposs/keposs/cmd/keposs/internal/lab/escrowcmd/bench"
	"github.com/keposs/keposs/internal/testenv"
	"github.com/keposs/keposs/plugins"
)

// TestMain lets the test binary be the other processes of a measurement.
func TestMain(m *testing.M) {
	plugins.MainIfPlugin(builtins.Registry())
	if len(os.Args) > 2 && os.Args[1] == "lab" {
		c := Command()
		c.SetArgs(os.Args[3:])
		if c.Execute() != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Every try of every round is answered and measured.
func TestRun(t *testing.T) {
	testenv.NeedLevel(t, 1)
	r, err := Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, us := range map[string]float64{"evaluate": r.Us.Evaluate, "evaluate_dleq": r.Us.Proof, "scalar_mult": r.Us.ScalarMult, "echo": r.Us.Echo} {
		if us <= 0 {
			t.Errorf("%s: %f µs", name, us)
		}
	}
}

// A short measurement of each embedded backend: every figure is there, ratios
// are those of the issue, goals stand beside them, and the report is one page.
func TestStore(t *testing.T) {
	if testing.Short() {
		t.Skip("a measurement, and most of it waiting for the disk")
	}
	for _, name := range []string{"badger", "memory"} {
		t.Run(name, func(t *testing.T) {
			html := filepath.Join(t.TempDir(), "report.html")
			c := Command()
			var out, errs bytes.Buffer
			c.SetOut(&out)
			c.SetErr(&errs)
			c.SetArgs([]string{"--backend", name, "--rounds", "1", "--slice", "40ms", "--records", "2400", "--html", html, "--json"})
			if err := c.Execute(); err != nil {
				t.Fatalf("%v\n%s", err, errs.String())
			}
			var r bench.Result
			if err := json.Unmarshal(out.Bytes(), &r); err != nil {
				t.Fatalf("%v: %s", err, out.String())
			}
			want := []string{"fetch_vs_echo", "fetch_plugin_vs_limit", "commit_vs_limit", "commit_vs_plain", "p99_vs_limit"}
			for _, ratio := range want {
				skipped := strings.Contains(strings.Join(r.Skipped, " "), ratio)
				if v := r.Ratios[ratio]; (v > 0) == skipped {
					t.Errorf("%s is %g, skipped %v", ratio, v, r.Skipped)
				}
			}
			if name == "badger" && (len(r.Skipped) > 0 || r.CommitsPerSync < 1) {
				t.Errorf("skipped %v, %g commits a sync", r.Skipped, r.CommitsPerSync)
			}
			if len(r.Growth) != 4 || r.Growth[3].Records != 2400 || r.Growth[3].GetP50 <= 0 || r.Growth[3].ExportPS <= 0 || r.Growth[3].DiskRatio <= 0 {
				t.Errorf("growth %+v", r.Growth)
			}
			if len(r.Goals) < 4 {
				t.Errorf("goals %+v", r.Goals)
			}
			page, err := os.ReadFile(html)
			if err != nil {
				t.Fatal(err)
			}
			for _, outside := range []string{"http-equiv", "<script", "src=", "<link"} {
				if bytes.Contains(page, []byte(outside)) {
					t.Errorf("the report has %s", outside)
				}
			}
			if !bytes.Contains(page, []byte("<svg")) || !bytes.Contains(page, []byte("fetch_vs_echo")) {
				t.Error("the report lacks its picture or its goals")
			}
		})
	}
}
