package postgres_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/escrow/escrowtest"
	"github.com/keposs/keposs/escrow/postgres"
	"github.com/keposs/keposs/escrow/postgres/internal/pgtest"
	"github.com/keposs/keposs/internal/testenv"
)

func open(t *testing.T, dsn, wait string) core.Backend {
	t.Helper()
	b := postgres.New()
	t.Cleanup(func() { _ = b.Close() })
	err := b.Configure(context.Background(), core.Config{
		Values:  map[string]string{"query_timeout": wait},
		Secrets: map[string]*secret.Buffer{"dsn": secret.Copy([]byte(dsn))},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func commit(ctx context.Context, b core.Backend, m core.Mutation) (core.Version, error) {
	res, err := b.CommitMany(ctx, []core.Mutation{m})
	if err != nil {
		return 0, err
	}
	return res[0].Version, res[0].Err
}

func create(n byte) core.Mutation {
	return core.Mutation{Key: core.Key{'k', n}, Op: core.OpPut, Hot: []byte("h"), Blob: []byte("b"), ReqID: core.ReqID{n}}
}

// No standby has it: not acknowledged, whoever ends the wait, and not when it
// is repeated either; with a standby back the repetition is answered.
func TestCancelledWaitIsIndeterminate(t *testing.T) {
	testenv.NeedLevel(t, 1)
	c := pgtest.Cluster(t, 1)
	b, slow := open(t, c.DSN(), "1s"), open(t, c.DSN(), "20s")
	if _, err := commit(t.Context(), b, create(1)); err != nil {
		t.Fatal(err)
	}
	c.Kill(1)
	// The standby's receiver outlives its killed postmaster for a moment, in which it
	// may still confirm.
	for alive := "1"; alive != "0"; time.Sleep(20 * time.Millisecond) {
		var err error
		if alive, err = c.Exec(t.Context(), 0, "select count(*) from pg_stat_replication"); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if _, err := commit(t.Context(), b, create(2)); core.CodeOf(err) != core.Indeterminate {
			t.Fatalf("the wait timed out: %v, want indeterminate", err)
		}
	}
	for what, call := range map[string]func() error{
		"commit": func() error { _, err := commit(context.WithoutCancel(t.Context()), slow, create(3)); return err },
		"import": func() error {
			r := core.Record{Key: core.Key("imported"), Version: 7, Hot: []byte("h"), Blob: []byte("b")}
			return slow.(core.Exporter).Import(context.WithoutCancel(t.Context()), []core.Record{r}, nil)
		},
	} {
		heard := make(chan error)
		go func() { heard <- call() }()
		for range 100 {
			n, err := c.Exec(t.Context(), 0, "select count(pg_cancel_backend(pid)) from pg_stat_activity where wait_event = 'SyncRep'")
			if err != nil {
				t.Fatal(err)
			}
			if n != "0" {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		if err := <-heard; core.CodeOf(err) != core.Indeterminate {
			t.Fatalf("the wait of the %s was cancelled: %v, want indeterminate", what, err)
		}
	}
	if err := c.Run(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for n := byte(2); n <= 3; n++ {
		if v, err := commit(t.Context(), slow, create(n)); err != nil || v != 1 {
			t.Fatalf("repeated with a standby: version %d, %v; want 1", v, err)
		}
	}
}

// Clients count while the primary is killed and a standby promoted, twice: no
// acknowledged step is lost, none is made twice.
func TestPrimaryKill(t *testing.T) {
	testenv.NeedLevel(t, 1)
	c := pgtest.Cluster(t, 2)
	b := open(t, c.DSN(), "5s")
	acks, err := escrowtest.Steps(t.Context(), b, 8, func() error {
		for range 2 {
			time.Sleep(time.Second)
			killed, err := c.Failover(t.Context())
			if err == nil {
				time.Sleep(time.Second)
				err = c.Rejoin(t.Context(), killed)
			}
			if err != nil {
				return err
			}
		}
		time.Sleep(time.Second)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if acks < 80 {
		t.Errorf("only %d steps acknowledged", acks)
	}
	t.Logf("%d acknowledged, 2 failovers", acks)
}

// Two that lock the same records in opposite order: PostgreSQL aborts one, the
// backend runs it again, the caller hears of neither.
func TestDeadlocksAreRunAgain(t *testing.T) {
	testenv.NeedLevel(t, 1)
	c := pgtest.Cluster(t, 0)
	b := open(t, c.DSN(), "15s")
	const keys = 40
	for n := range byte(keys) {
		if _, err := commit(t.Context(), b, create(n)); err != nil {
			t.Fatal(err)
		}
	}
	met := func() bool {
		n, err := c.Exec(t.Context(), 0, "select deadlocks from pg_stat_database where datname = 'postgres'")
		if err != nil {
			t.Fatal(err)
		}
		return n != "0"
	}
	for round := range 60 {
		errs := make([]error, 4)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() {
				ms := make([]core.Mutation, keys)
				for n := range ms {
					at := n
					if i%2 == 1 {
						at = keys - 1 - n
					}
					ms[n] = core.Mutation{Key: core.Key{'k', byte(at)}, Expect: core.Version(round + 1), Op: core.OpPutHot, ReqID: core.ReqID{byte(round), byte(i), byte(at), 9}}
				}
				res, err := b.CommitMany(t.Context(), ms)
				errs[i] = err
				for _, r := range res {
					if r.Err != nil && core.CodeOf(r.Err) != core.Conflict {
						errs[i] = r.Err
					}
				}
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if met() {
			return
		}
	}
	t.Skip("the server met no deadlock")
}
