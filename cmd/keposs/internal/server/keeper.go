package server

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/transfer"
)

// orderEvery is how often a serving process looks for an order to migrate.
const orderEvery = 300 * time.Millisecond

// newsEvery bounds how often progress is written down.
const newsEvery = 200 * time.Millisecond

// A keeper holds the database of a serving SS-CC and moves it to another one
// when the operator asks. One move at a time.
type keeper struct {
	folder Folder
	log    *slog.Logger
	open   func(context.Context, *Config) (*store, error)
	moved  func() // hears that another backend is in use

	live   *transfer.Live
	moving sync.WaitGroup

	mu   sync.Mutex
	now  *store
	stop context.CancelFunc // of the move under way; nil = none
}

// begin opens what c names. The caller closes the keeper when it returns nil.
func (k *keeper) begin(ctx context.Context, op string, c *Config) error {
	_ = os.Remove(k.folder.path(orderFile)) // asked of a process that ended
	st, err := k.open(ctx, c)
	if err != nil {
		return err
	}
	if err := k.folder.moved(ctx, op, st.Backend); err != nil {
		return errors.Join(err, st.Close())
	}
	k.now, k.live = st, transfer.NewLive(st.Backend)
	return nil
}

// store is the database in use.
func (k *keeper) store() *store {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now
}

// close closes the database in use.
func (k *keeper) close() error {
	k.wait()
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now.Close()
}

// wait ends a move under way: the source stays in use, and the next run of the
// command goes on.
func (k *keeper) wait() {
	k.mu.Lock()
	if k.stop != nil {
		k.stop()
	}
	k.mu.Unlock()
	k.moving.Wait()
}

// obey starts the move that was asked for, if any.
func (k *keeper) obey(ctx context.Context) {
	o, ok := k.folder.takeOrder()
	if !ok {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stop != nil {
		k.tell(news{Order: o.Order, Code: core.State.String(), Error: "a migration is under way already"})
		return
	}
	ctx, k.stop = context.WithCancel(ctx)
	k.moving.Go(func() {
		defer func() {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.stop()
			k.stop = nil
		}()
		r, err := k.move(ctx, o)
		if err != nil {
			k.log.Error("migration ended", "to", o.To.Name, "code", core.CodeOf(err).String(), "error", err.Error())
			k.tell(news{Order: o.Order, Code: core.CodeOf(err).String(), Error: err.Error()})
			return
		}
		k.log.Info("migrated", "from", r.From, "to", r.To, "records", r.Records, "held_ms", r.HeldMS, "seconds", r.Seconds)
		k.tell(news{Order: o.Order, Phase: "done", Records: r.Records, Copied: r.Copied, Report: &r})
	})
}

func (k *keeper) move(ctx context.Context, o order) (r MigrateReport, err error) {
	const op = "ss-cc migrate"
	c, to, err := k.folder.target(op, MigrateOptions{To: o.To})
	if err != nil {
		return r, err
	}
	begun := time.Now()
	next := *c
	next.Backend = to
	into, err := k.open(ctx, &next)
	if err != nil {
		return r, err
	}
	b, err := transfer.Of(into.Backend)
	if err != nil {
		return r, errors.Join(err, into.Close())
	}
	var told time.Time
	opts := k.folder.copyOptions(to.Name, func(p transfer.Progress) {
		if time.Since(told) >= newsEvery {
			told = time.Now()
			k.tell(news{Order: o.Order, Phase: p.Phase, Records: p.Records, Copied: p.Copied})
		}
	})
	k.log.Info("migrating", "from", c.Backend.Name, "to", to.Name)
	rep, err := k.live.Move(ctx, b, opts, func() error { return k.folder.announce(op, to) })
	if k.live.Now() != core.Backend(b) {
		return r, errors.Join(err, into.Close())
	}
	k.mu.Lock()
	was := k.now
	k.now = into
	k.mu.Unlock()
	k.moved()
	if err := errors.Join(err, was.Close()); err != nil { // the switch is made all the same
		k.log.Warn("the database left behind", "error", err.Error())
	}
	return k.folder.migrated(c.Backend.Name, to.Name, true, rep.Report, rep.Held, begun), nil
}

// tell writes down how far the move is, for the command that waits.
func (k *keeper) tell(n news) {
	if err := k.folder.writeJSON("ss-cc migrate", newsFile, n, 0o600); err != nil {
		k.log.Warn("migration.json", "error", err.Error())
	}
}
