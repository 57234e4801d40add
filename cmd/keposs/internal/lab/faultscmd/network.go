package faultscmd

import (
	"context"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/internal/badnet"
	"github.com/keposs/keposs/internal/etcdserver"
	"github.com/keposs/keposs/internal/pgserver"
)

// A network is three servers behind proxies and a backend over these.
type network func(ctx context.Context, ps *badnet.Proxies, f func(core.Backend) error) error

// slow makes every server answer late.
func (n network) slow(ctx context.Context, r *run, rounds int) error {
	return n.poisoned(ctx, r, "slow-network", rounds, badnet.Slow, func(ps badnet.Proxies, _ int) badnet.Proxies { return ps })
}

// halfOpen swallows what servers answer: all of them, where only one takes
// writes, or else one, a different one each round.
func (n network) halfOpen(all bool) func(ctx context.Context, r *run, rounds int) error {
	return func(ctx context.Context, r *run, rounds int) error {
		return n.poisoned(ctx, r, "half-open-network", rounds, badnet.Hole, func(ps badnet.Proxies, round int) badnet.Proxies {
			if all {
				return ps
			}
			return ps[round%len(ps):][:1]
		})
	}
}

func (n network) poisoned(ctx context.Context, r *run, name string, rounds int, toxic string, which func(ps badnet.Proxies, round int) badnet.Proxies) error {
	var ps badnet.Proxies
	defer func() { ps.Stop() }()
	round := 0
	return n(ctx, &ps, func(b core.Backend) error {
		return r.repeat(ctx, name, b, rounds, func() error {
			time.Sleep(moment())
			round++
			return which(ps, round-1).Harm(ctx, toxic)
		})
	})
}

// etcdNetwork is three members, each behind a proxy.
func etcdNetwork(ctx context.Context, ps *badnet.Proxies, f func(core.Backend) error) error {
	return over(ctx, ps.Before, func(_ *etcdserver.Cluster, b core.Backend) error { return f(b) })
}

// postgresNetwork is a primary with two standbys, each behind a proxy.
func postgresNetwork(ctx context.Context, ps *badnet.Proxies, f func(core.Backend) error) error {
	c, err := pgserver.StartWith(ctx, pgserver.Options{Standbys: 2, TCP: true})
	if err != nil {
		return err
	}
	defer c.Stop()
	at, err := ps.Before(c.Addrs())
	if err != nil {
		return err
	}
	dsn, err := pgserver.DSNAt(at)
	if err != nil {
		return err
	}
	b, err := openPostgres(ctx, dsn, "2s")
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	return f(b)
}
