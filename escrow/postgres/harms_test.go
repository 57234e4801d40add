package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/escrowtest"
	"github.com/keposs/keposs/escrow/postgres/internal/pgtest"
	"github.com/keposs/keposs/internal/testenv"
)

// A primary with two quorum standbys is killed and a standby promoted, again
// and again: nothing acknowledged is lost, and all answers fit one order.
// req: K-6.2-02b
func TestConformanceUnderHarm(t *testing.T) {
	testenv.NeedLevel(t, 2)
	c := pgtest.Cluster(t, 2)
	h := harness(c.DSN())
	h.Harms = map[string]func(context.Context) error{"leader-kill": func(ctx context.Context) error {
		time.Sleep(time.Second)
		killed, err := c.Failover(ctx)
		if err != nil {
			return err
		}
		time.Sleep(time.Second)
		return c.Rejoin(ctx, killed)
	}}
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
