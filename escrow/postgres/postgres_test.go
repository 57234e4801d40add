package postgres_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sscc/sscctest"
	"github.com/keposs/keposs/escrow/escrowtest"
	"github.com/keposs/keposs/escrow/postgres"
	"github.com/keposs/keposs/escrow/postgres/internal/pgtest"
	"github.com/keposs/keposs/internal/pgserver"
	"github.com/keposs/keposs/internal/testenv"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/plugins/plugintest"
)

func TestMain(m *testing.M) {
	plugintest.Main(m, plugins.Registry{Backend: func(string) (core.Backend, error) { return postgres.New(), nil }})
}

var places atomic.Int64

// harness makes each place a schema of its own on one server.
func harness(dsn string) escrowtest.Harness {
	return escrowtest.Harness{
		Name: "postgres", Durable: true, Shared: true, Tidy: tidy(dsn),
		New: func() (core.Backend, error) { return postgres.New(), nil },
		Place: func() (*escrowtest.Place, error) {
			return &escrowtest.Place{Config: core.Config{
				// Waits long enough for a loaded machine: no case is about them.
				Values:  map[string]string{"schema": fmt.Sprintf("place%d", places.Add(1)), "acquire_timeout": "15s", "query_timeout": "15s"},
				Secrets: map[string]*secret.Buffer{"dsn": secret.Copy([]byte(dsn))},
			}}, nil
		},
	}
}

// One server serves all: starting it is most of what a short test costs.
// req: K-6.2-02a, K-6.2-02b, TK-07
func TestConformance(t *testing.T) {
	dsn := pgtest.Start(t)
	t.Run("value", func(t *testing.T) { escrowtest.Run(t, harness(dsn)) })
	t.Run("halves", func(t *testing.T) { exportsInHalves(t, placed(t, harness(dsn))) })
	t.Run("process", func(t *testing.T) {
		h := harness(dsn)
		h.Kill = plugintest.KillBackend
		h.New = func() (core.Backend, error) {
			b, _, err := plugintest.OpenBackend(t.Context(), "postgres")
			return b, err
		}
		escrowtest.Run(t, h)
	})
}

// SS-CC keeps its counter invariants over this engine, through two handles.
// req: K-7.2-D3, TK-10
func TestInvariants(t *testing.T) {
	testenv.NeedLevel(t, 1)
	h := harness(pgtest.Start(t))
	sscctest.Run(t, func(t *testing.T) core.Backend {
		place, err := h.Place()
		if err != nil {
			t.Fatal(err)
		}
		return sscctest.Fan(opened(t, place.Config), opened(t, place.Config))
	})
}

func opened(t *testing.T, c core.Config) core.Backend {
	t.Helper()
	b := postgres.New()
	t.Cleanup(func() { _ = b.Close() })
	if err := b.Configure(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	return b
}

// Twenty races of 64 clients with 20 guesses each: exactly five answers in each.
func TestRaces(t *testing.T) {
	testenv.NeedLevel(t, 1)
	h := harness(pgtest.Start(t))
	sscctest.Races(t, 20, func(t *testing.T) core.Backend { return placed(t, h) })
}

// placed is a configured backend of its own schema.
func placed(t *testing.T, h escrowtest.Harness) core.Backend {
	t.Helper()
	place, err := h.Place()
	if err != nil {
		t.Fatal(err)
	}
	return opened(t, place.Config)
}

// Settings that would risk records or the password are refused before anything is opened.
func TestConfigureRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		dsn    string
		values map[string]string
	}{
		"no dsn":           {},
		"not a dsn":        {dsn: "postgres://u:hunter2@h:port/d"},
		"no tls":           {dsn: "postgres://u:hunter2@db.example/d?sslmode=disable"},
		"unchecked tls":    {dsn: "postgres://u:hunter2@db.example/d?sslmode=require"},
		"tls if it likes":  {dsn: "postgres://u:hunter2@db.example/d?sslmode=prefer"},
		"schema":           {dsn: "host=/nowhere", values: map[string]string{"schema": `a"; drop`}},
		"pool":             {dsn: "host=/nowhere", values: map[string]string{"pool_min": "9", "pool_max": "3"}},
		"key without cert": {dsn: "host=/nowhere", values: map[string]string{"tls_key": "/k"}},
	} {
		cfg := core.Config{Values: c.values, Secrets: map[string]*secret.Buffer{}}
		if c.dsn != "" {
			cfg.Secrets["dsn"] = secret.Copy([]byte(c.dsn))
		}
		err := postgres.New().Configure(t.Context(), cfg)
		if core.CodeOf(err) != core.Invalid {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
}

func BenchmarkKit(b *testing.B) {
	escrowtest.Bench(b, harness(pgtest.With(b, pgserver.Options{}).DSN()))
}
