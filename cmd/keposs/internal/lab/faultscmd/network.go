package faultscmd

import (
	"context"
	"fmt"
	"strings"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/internal/etcdserver"
)

// Toxics: answers that come late and in drops, and ones that never come while
// the connection stays. Requests arrive all the same.
const (
	slow = `{"name":"harm","type":"latency","stream":"downstream","attributes":{"latency":250,"jitter":200}}`
	hole = `{"name":"harm","type":"timeout","stream":"downstream","attributes":{"timeout":0}}`
)

// slowNetwork makes every member answer late.
func slowNetwork(ctx context.Context, r *run, rounds int) error {
	return network(ctx, r, "slow-network", rounds, slow, true)
}

// halfOpen swallows what one member answers, a different one each round.
func halfOpen(ctx context.Context, r *run, rounds int) error {
	return network(ctx, r, "half-open-network", rounds, hole, false)
}

func network(ctx context.Context, r *run, name string, rounds int, toxic string, all bool) error {
	metrics := toxiproxy.NewMetricsContainer(prometheus.NewRegistry())
	server := toxiproxy.NewServer(metrics, zerolog.Nop())
	var proxies []*toxiproxy.Proxy
	defer func() {
		for _, p := range proxies {
			p.Stop()
		}
	}()
	via := func(ends []string) ([]string, error) {
		out := make([]string, len(ends))
		for i, e := range ends {
			p := toxiproxy.NewProxy(server, fmt.Sprint("member", i), "127.0.0.1:0", e)
			if err := p.Start(); err != nil {
				return nil, err
			}
			proxies = append(proxies, p)
			out[i] = p.Listen
		}
		return out, nil
	}
	round := 0
	return over(ctx, via, func(_ *etcdserver.Cluster, b core.Backend) error {
		return r.repeat(ctx, name, b, rounds, func() error {
			time.Sleep(moment())
			harmed := proxies[round%len(proxies):][:1]
			if round++; all {
				harmed = proxies
			}
			for _, p := range harmed {
				if _, err := p.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
					return err
				}
			}
			time.Sleep(4 * time.Second)
			for _, p := range harmed {
				if err := p.Toxics.RemoveToxic(ctx, "harm"); err != nil {
					return err
				}
			}
			return nil
		})
	})
}
