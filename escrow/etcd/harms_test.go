package etcd_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/keposs/keposs/escrow/escrowtest"
	"github.com/keposs/keposs/internal/testenv"
)

// Three members lose their leader, have it stand still, and answer late or not
// at all: nothing acknowledged is lost, and all answers fit one order.
// req: K-6.2-02b
func TestConformanceUnderHarm(t *testing.T) {
	testenv.NeedLevel(t, 2)
	c := start(t, 3)
	h := harness(c)
	proxies, ends := between(t, c.Endpoints())
	h.Place = func() (*escrowtest.Place, error) {
		p := place(c)
		p.Values["endpoints"], p.Values["request_timeout"] = strings.Join(ends, ","), "2s"
		return &escrowtest.Place{Config: p}, nil
	}
	h.Harms = map[string]func(context.Context) error{
		"leader-kill":  c.KillLeader,
		"leader-pause": c.PauseLeader,
		"partition": func(ctx context.Context) error {
			return toxic(ctx, proxies[:1], `{"name":"harm","type":"timeout","stream":"downstream","attributes":{"timeout":0}}`)
		},
		"slow-peer": func(ctx context.Context) error {
			return toxic(ctx, proxies, `{"name":"harm","type":"latency","stream":"downstream","attributes":{"latency":250,"jitter":200}}`)
		},
	}
	escrowtest.RunGroup(t, h, "L")
}

// between puts a proxy before each member and returns their addresses.
func between(t *testing.T, ends []string) (proxies []*toxiproxy.Proxy, out []string) {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	for i, e := range ends {
		p := toxiproxy.NewProxy(server, fmt.Sprint("member", i), "127.0.0.1:0", e)
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Stop)
		proxies, out = append(proxies, p), append(out, p.Listen)
	}
	return proxies, out
}

// toxic poisons some proxies for a while.
func toxic(ctx context.Context, proxies []*toxiproxy.Proxy, what string) error {
	for _, p := range proxies {
		if _, err := p.Toxics.AddToxicJson(strings.NewReader(what)); err != nil {
			return err
		}
	}
	time.Sleep(4 * time.Second)
	for _, p := range proxies {
		if err := p.Toxics.RemoveToxic(ctx, "harm"); err != nil {
			return err
		}
	}
	return nil
}
