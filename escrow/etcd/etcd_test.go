package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sscc/sscctest"
	"github.com/keposs/keposs/escrow/escrowtest"
	"github.com/keposs/keposs/escrow/etcd"
	"github.com/keposs/keposs/internal/etcdserver"
	"github.com/keposs/keposs/internal/testenv"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/plugins/plugintest"
)

func TestMain(m *testing.M) {
	plugintest.Main(m, plugins.Registry{Backend: func(string) (core.Backend, error) { return etcd.New(), nil }})
}

// start runs a cluster until the test ends. At level 0 it takes only a server
// that was built before.
func start(t testing.TB, members int) *etcdserver.Cluster {
	t.Helper()
	if _, err := etcdserver.Binary(); err != nil && testenv.Level() < 1 {
		t.Skipf("%v; KEPOSS_TEST_LEVEL=1 builds it from the Go module proxy", err)
	}
	c, err := etcdserver.Start(t.Context(), members)
	if errors.Is(err, etcdserver.ErrAbsent) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Stop)
	return c
}

var places atomic.Int64

func place(c *etcdserver.Cluster) core.Config {
	return core.Config{Values: map[string]string{
		"endpoints": strings.Join(c.Endpoints(), ","), "prefix": fmt.Sprintf("place%d/", places.Add(1)),
		"request_timeout": "15s", // long enough for a loaded machine: no case is about it
	}}
}

// harness makes each place a prefix of its own in one cluster.
func harness(c *etcdserver.Cluster) escrowtest.Harness {
	return escrowtest.Harness{
		Name: "etcd", Durable: true, Shared: true, Tidy: tidy(c), Records: 100_000,
		New:   func() (core.Backend, error) { return etcd.New(), nil },
		Place: func() (*escrowtest.Place, error) { return &escrowtest.Place{Config: place(c)}, nil },
	}
}

func process(t *testing.T, h escrowtest.Harness) escrowtest.Harness {
	h.Kill = plugintest.KillBackend
	h.New = func() (core.Backend, error) {
		b, _, err := plugintest.OpenBackend(t.Context(), "etcd")
		return b, err
	}
	return h
}

// One member shows the fast part, three the rest.
// req: K-6.2-02a, K-6.2-02b, TK-07
func TestConformance(t *testing.T) {
	members := 1
	if testenv.Level() > 0 {
		members = 3
	}
	h := harness(start(t, members))
	t.Run("value", func(t *testing.T) { escrowtest.Run(t, h) })
	t.Run("process", func(t *testing.T) {
		testenv.NeedLevel(t, 1)
		escrowtest.Run(t, process(t, h))
	})
}

// SS-CC keeps its counter invariants over this engine, through two handles.
// req: K-7.2-D3, TK-10
func TestInvariants(t *testing.T) {
	testenv.NeedLevel(t, 1)
	c := start(t, 3)
	sscctest.Run(t, func(t *testing.T) core.Backend {
		p := place(c)
		return sscctest.Fan(open(t, p), open(t, p))
	})
}

func open(t *testing.T, c core.Config) core.Backend {
	t.Helper()
	b := etcd.New()
	t.Cleanup(func() { _ = b.Close() })
	if err := b.Configure(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	return b
}

// Settings that would risk records or the password are refused before anything is opened.
func TestConfigureRefuses(t *testing.T) {
	here := "127.0.0.1:1"
	for name, c := range map[string]struct {
		values map[string]string
		secret string
	}{
		"no endpoints":     {},
		"scheme":           {values: map[string]string{"endpoints": "http://127.0.0.1:1"}},
		"no port":          {values: map[string]string{"endpoints": "127.0.0.1"}},
		"empty member":     {values: map[string]string{"endpoints": here + ","}},
		"no tls":           {values: map[string]string{"endpoints": here + ",db.example:2379"}},
		"key without cert": {values: map[string]string{"endpoints": here, "tls_key": "/k"}},
		"user alone":       {values: map[string]string{"endpoints": here, "user": "u"}},
		"password alone":   {values: map[string]string{"endpoints": here}, secret: "hunter2"},
		"few operations":   {values: map[string]string{"endpoints": here, "max_txn_ops": "2"}},
		"no prefix":        {values: map[string]string{"endpoints": here, "prefix": ""}},
	} {
		cfg := core.Config{Values: c.values, Secrets: map[string]*secret.Buffer{}}
		if c.secret != "" {
			cfg.Secrets["password"] = secret.Copy([]byte(c.secret))
		}
		if err := etcd.New().Configure(t.Context(), cfg); core.CodeOf(err) != core.Invalid || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
}

// Nobody at the address: certainly not applied, told within the bound.
func TestNobodyThere(t *testing.T) {
	err := etcd.New().Configure(t.Context(), core.Config{Values: map[string]string{"endpoints": "127.0.0.1:1", "request_timeout": "300ms"}})
	if core.CodeOf(err) != core.Unavailable {
		t.Fatalf("%v, want unavailable", err)
	}
}

func BenchmarkKit(b *testing.B) { escrowtest.Bench(b, harness(start(b, 3))) }
