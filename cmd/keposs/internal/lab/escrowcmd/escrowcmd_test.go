package escrowcmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/keposs/keposs/cmd/keposs/internal/builtins"
	"github.com/keposs/keposs/cmd/keposs/internal/lab/escrowcmd/bench"
	"github.com/keposs/keposs/internal/etcdserver"
	"github.com/keposs/keposs/internal/pgserver"
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
	for name, us := range map[string]float64{"evaluate": r.Us.Evaluate, "evaluate_dleq": r.Us.Proof, "scalar_mult": r.Us.ScalarMult, "echo": r.Us.Echo,
		"echo_each": r.Floors.EchoEach, "commit": r.Floors.Commit, "lane_mult": r.Floors.Lane, "sealing": r.Floors.Sealing} {
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
			if len(r.Growth) != 4 || r.Growth[3].Records != 2400 || r.Growth[3].ColdP50 <= 0 || r.Growth[3].GetP50 <= 0 || r.Growth[3].ExportPS <= 0 || r.Growth[3].DiskRatio <= 0 {
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

// The same over servers; what it made there is gone afterwards.
func TestStoreOverServers(t *testing.T) {
	testenv.NeedLevel(t, 1)
	config := filepath.Join(t.TempDir(), "settings.toml")
	measure := func(t *testing.T, name, settings string) {
		if err := os.WriteFile(config, []byte(settings), 0o600); err != nil {
			t.Fatal(err)
		}
		c := Command()
		var out, errs bytes.Buffer
		c.SetOut(&out)
		c.SetErr(&errs)
		c.SetArgs([]string{"--backend", name, "--config", config, "--rounds", "1", "--slice", "40ms", "--records", "1200", "--json"})
		if err := c.Execute(); err != nil {
			t.Fatalf("%v\n%s", err, errs.String())
		}
		var r bench.Result
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			t.Fatalf("%v: %s", err, out.String())
		}
		for _, ratio := range []string{"fetch_vs_echo", "fetch_plugin_vs_limit", "fetch_vs_engine", "commit_vs_limit", "p99_vs_limit"} {
			if r.Ratios[ratio] <= 0 {
				t.Errorf("%s is %g, skipped %v", ratio, r.Ratios[ratio], r.Skipped)
			}
		}
		if n := len(r.Growth); n == 0 || r.Growth[n-1].ExportPS <= 0 {
			t.Errorf("growth %+v", r.Growth)
		}
	}
	t.Run("postgres", func(t *testing.T) {
		s, err := pgserver.Start(t.Context(), 0)
		if errors.Is(err, pgserver.ErrAbsent) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer s.Stop()
		dsn := filepath.Join(t.TempDir(), "dsn")
		if err := os.WriteFile(dsn, []byte(s.DSN()), 0o600); err != nil {
			t.Fatal(err)
		}
		measure(t, "postgres", fmt.Sprintf("dsn_file = %q\n", dsn))
		left, err := s.Exec(t.Context(), 0, "select (select count(*) from pg_namespace where nspname like 'keposs%') + (select count(*) from pg_class where relname like 'keposs%')")
		if err != nil || left != "0" {
			t.Errorf("left behind: %s, %v", left, err)
		}
	})
	t.Run("etcd", func(t *testing.T) {
		s, err := etcdserver.Start(t.Context(), 1)
		if errors.Is(err, etcdserver.ErrAbsent) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer s.Stop()
		measure(t, "etcd", fmt.Sprintf("endpoints = %q\n", strings.Join(s.Endpoints(), ",")))
		c, err := clientv3.New(clientv3.Config{Endpoints: s.Endpoints()})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if left, err := c.Get(t.Context(), "keposs", clientv3.WithPrefix(), clientv3.WithCountOnly()); err != nil || left.Count != 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
}
