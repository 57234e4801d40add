package faultscmd

import (
	"context"
	"strings"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/escrow/escrowtest"
	"github.com/keposs/keposs/escrow/etcd"
	"github.com/keposs/keposs/escrow/postgres"
	"github.com/keposs/keposs/internal/etcdserver"
	"github.com/keposs/keposs/internal/pgserver"
)

// primaryKill kills the primary of three, promotes a standby, and brings the
// killed one back as a standby.
func primaryKill(ctx context.Context, r *run, rounds int) error {
	c, err := pgserver.Start(ctx, 2)
	if err != nil {
		return err
	}
	defer c.Stop()
	b, err := openPostgres(ctx, c.DSN(), "5s")
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	return r.repeat(ctx, "primary-kill", b, rounds, func() error {
		time.Sleep(moment())
		killed, err := c.Failover(ctx)
		if err != nil {
			return err
		}
		time.Sleep(time.Second)
		return c.Rejoin(ctx, killed)
	})
}

// openPostgres opens a backend whose requests are given up after wait.
func openPostgres(ctx context.Context, at, wait string) (core.Backend, error) {
	b := postgres.New()
	dsn := secret.Copy([]byte(at))
	defer dsn.Wipe()
	return b, b.Configure(ctx, core.Config{Values: map[string]string{"query_timeout": wait}, Secrets: map[string]*secret.Buffer{"dsn": dsn}})
}

// repeat does harm to one store again and again.
func (r *run) repeat(ctx context.Context, name string, b core.Backend, rounds int, harm func() error) error {
	l := escrowtest.NewLoad(clients)
	for range rounds {
		before := l.Acks()
		if err := l.During(ctx, b, harm); err != nil {
			return err
		}
		if err := r.judge(ctx, name, l, b, before); err != nil {
			return err
		}
	}
	return nil
}

// over runs f with three etcd members and a backend over the endpoints f
// chooses from theirs.
func over(ctx context.Context, via func([]string) ([]string, error), f func(*etcdserver.Cluster, core.Backend) error) error {
	c, err := etcdserver.Start(ctx, 3)
	if err != nil {
		return err
	}
	defer c.Stop()
	ends := c.Endpoints()
	if via != nil {
		if ends, err = via(ends); err != nil {
			return err
		}
	}
	b := etcd.New()
	defer func() { _ = b.Close() }()
	if err := b.Configure(ctx, core.Config{Values: map[string]string{"endpoints": strings.Join(ends, ","), "request_timeout": "2s"}}); err != nil {
		return err
	}
	return f(c, b)
}

// leaderKill kills the leader of three and brings it back.
func leaderKill(ctx context.Context, r *run, rounds int) error {
	return over(ctx, nil, func(c *etcdserver.Cluster, b core.Backend) error {
		return r.repeat(ctx, "leader-kill", b, rounds, func() error {
			time.Sleep(moment())
			return c.KillLeader(ctx)
		})
	})
}

// leaderPause has the leader stand still, with all its connections, until
// another one leads.
func leaderPause(ctx context.Context, r *run, rounds int) error {
	return over(ctx, nil, func(c *etcdserver.Cluster, b core.Backend) error {
		return r.repeat(ctx, "leader-pause", b, rounds, func() error {
			time.Sleep(moment())
			return c.PauseLeader(ctx)
		})
	})
}
