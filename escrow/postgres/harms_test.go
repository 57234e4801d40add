package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/escrowtest"
	"github.com/keposs/keposs/escrow/postgres/internal/pgtest"
	"github.com/keposs/keposs/internal/badnet"
	"github.com/keposs/keposs/internal/pgserver"
	"github.com/keposs/keposs/internal/testenv"
)

// A primary with two quorum standbys is killed and a standby promoted, stands
// still, or answers late or not at all, again and again: nothing acknowledged is
// lost, and all answers fit one order. A primary that stood still comes back as
// the primary: promoting another meanwhile takes fencing, which is the operator's.
// req: K-6.2-02b
func TestConformanceUnderHarm(t *testing.T) {
	testenv.NeedLevel(t, 2)
	c := pgtest.With(t, pgserver.Options{Standbys: 2, TCP: true})
	var net badnet.Proxies
	t.Cleanup(func() { net.Stop() })
	at, err := net.Before(c.Addrs())
	if err != nil {
		t.Fatal(err)
	}
	dsn, err := pgserver.DSNAt(at)
	if err != nil {
		t.Fatal(err)
	}
	h := harness(dsn)
	place := h.Place
	h.Place = func() (*escrowtest.Place, error) {
		p, err := place()
		if err == nil {
			p.Config.Values["query_timeout"], p.Config.Values["acquire_timeout"] = "2s", "2s"
		}
		return p, err
	}
	h.Harms = map[string]func(context.Context) error{
		"leader-kill": func(ctx context.Context) error {
			time.Sleep(time.Second)
			killed, err := c.Failover(ctx)
			if err != nil {
				return err
			}
			time.Sleep(time.Second)
			return c.Rejoin(ctx, killed)
		},
		"leader-pause": func(context.Context) error { return c.PausePrimary() },
		"partition":    func(ctx context.Context) error { return net.Harm(ctx, badnet.Hole) },
		"slow-peer":    func(ctx context.Context) error { return net.Harm(ctx, badnet.Slow) },
	}
	escrowtest.RunGroup(t, h, "L")
}

// tidy rewrites a place's table, as an operator's vacuum does.
func tidy(dsn string) func(context.Context, *escrowtest.Place, core.Backend) error {
	return func(ctx context.Context, p *escrowtest.Place, _ core.Backend) error {
		conn, err := pgx.Connect(ctx, dsn)
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, "vacuum full "+pgx.Identifier{p.Config.Values["schema"], "record"}.Sanitize())
		if cerr := conn.Close(ctx); err == nil {
			err = cerr
		}
		return err
	}
}
