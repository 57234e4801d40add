// Package badnet puts proxies before servers, for tests and for the laboratory,
// and has the connections through them answer late or not at all.
package badnet

import (
	"context"
	"fmt"
	"strings"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// Toxics: answers that come late and in drops, and ones that never come while
// the connection stays. Requests arrive all the same.
const (
	Slow = `{"name":"harm","type":"latency","stream":"downstream","attributes":{"latency":250,"jitter":200}}`
	Hole = `{"name":"harm","type":"timeout","stream":"downstream","attributes":{"timeout":0}}`
)

// Proxies stand before servers, in their order.
type Proxies []*toxiproxy.Proxy

// Before starts a proxy on 127.0.0.1 for each address and returns where they
// listen. Stop also after an error.
func (ps *Proxies) Before(ends []string) ([]string, error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	out := make([]string, len(ends))
	for i, e := range ends {
		p := toxiproxy.NewProxy(server, fmt.Sprint("server", i), "127.0.0.1:0", e)
		if err := p.Start(); err != nil {
			return nil, err
		}
		*ps = append(*ps, p)
		out[i] = p.Listen
	}
	return out, nil
}

// Stop ends all proxies.
func (ps Proxies) Stop() {
	for _, p := range ps {
		p.Stop()
	}
}

// Harm poisons the connections through ps for four seconds.
func (ps Proxies) Harm(ctx context.Context, toxic string) error {
	for _, p := range ps {
		if _, err := p.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
			return err
		}
	}
	time.Sleep(4 * time.Second)
	for _, p := range ps {
		if err := p.Toxics.RemoveToxic(ctx, "harm"); err != nil {
			return err
		}
	}
	return nil
}
