package faultscmd

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/internal/etcdserver"
	"github.com/keposs/keposs/internal/pgserver"
)

// Toxics: answers that come late and in drops, and ones that never come while
// the connection stays. Requests arrive all the same.
const (
	slow = `{"name":"harm","type":"latency","stream":"downstream","attributes":{"latency":250,"jitter":200}}`
	hole = `{"name":"harm","type":"timeout","stream":"downstream","attributes":{"timeout":0}}`
)

// proxies stand before servers.
type proxies []*toxiproxy.Proxy

// before starts a proxy for each address and returns where they listen.
func (ps *proxies) before(ends []string) ([]string, error) {
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

func (ps proxies) stop() {
	for _, p := range ps {
		p.Stop()
	}
}

// harm poisons some connections for four seconds.
func (ps proxies) harm(ctx context.Context, toxic string) error {
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

// A network is three servers behind proxies and a backend over these.
type network func(ctx context.Context, ps *proxies, f func(core.Backend) error) error

// slow makes every server answer late.
func (n network) slow(ctx context.Context, r *run, rounds int) error {
	return n.poisoned(ctx, r, "slow-network", rounds, slow, func(ps proxies, _ int) proxies { return ps })
}

// halfOpen swallows what servers answer: all of them, where only one takes
// writes, or else one, a different one each round.
func (n network) halfOpen(all bool) func(ctx context.Context, r *run, rounds int) error {
	return func(ctx context.Context, r *run, rounds int) error {
		return n.poisoned(ctx, r, "half-open-network", rounds, hole, func(ps proxies, round int) proxies {
			if all {
				return ps
			}
			return ps[round%len(ps):][:1]
		})
	}
}

func (n network) poisoned(ctx context.Context, r *run, name string, rounds int, toxic string, which func(ps proxies, round int) proxies) error {
	var ps proxies
	defer func() { ps.stop() }()
	round := 0
	return n(ctx, &ps, func(b core.Backend) error {
		return r.repeat(ctx, name, b, rounds, func() error {
			time.Sleep(moment())
			round++
			return which(ps, round-1).harm(ctx, toxic)
		})
	})
}

// etcdNetwork is three members, each behind a proxy.
func etcdNetwork(ctx context.Context, ps *proxies, f func(core.Backend) error) error {
	return over(ctx, ps.before, func(_ *etcdserver.Cluster, b core.Backend) error { return f(b) })
}

// postgresNetwork is a primary with two standbys, each behind a proxy.
func postgresNetwork(ctx context.Context, ps *proxies, f func(core.Backend) error) error {
	c, err := pgserver.StartWith(ctx, pgserver.Options{Standbys: 2, TCP: true})
	if err != nil {
		return err
	}
	defer c.Stop()
	at, err := ps.before(c.Addrs())
	if err != nil {
		return err
	}
	hosts, ports := make([]string, len(at)), make([]string, len(at))
	for i, a := range at {
		if hosts[i], ports[i], err = net.SplitHostPort(a); err != nil {
			return err
		}
	}
	b, err := openPostgres(ctx, "host="+strings.Join(hosts, ",")+" port="+strings.Join(ports, ",")+" user=postgres dbname=postgres", "2s")
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	return f(b)
}
