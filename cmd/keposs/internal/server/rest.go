package server

import (
	"context"
	"errors"
	"log/slog"

	hclog "github.com/hashicorp/go-hclog"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/transfer"
)

// stopped opens the configured database of an SS-CC that is not running, runs do
// with it and closes it. State when SS-CC runs.
func (f Folder) stopped(ctx context.Context, op string, do func(c *Config, st *store) error) (err error) {
	if !f.exists() {
		return f.missing(op)
	}
	if err := f.private(op); err != nil {
		return err
	}
	unlock, err := f.lock(op)
	if err != nil {
		return err
	}
	defer unlock()
	c, err := f.loadConfig(op)
	if err != nil {
		return err
	}
	st, err := f.openStore(ctx, c, slog.New(slog.DiscardHandler), hclog.Error, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return do(c, st)
}

// atRest runs do with the database of an SS-CC that is not running. It needs no
// password: everything in it is sealed, and stays so.
func (f Folder) atRest(ctx context.Context, op string, do func(transfer.Store) error) error {
	return f.stopped(ctx, op, func(_ *Config, st *store) error {
		s, err := transfer.Of(st.Backend)
		if err != nil {
			return err
		}
		return do(s)
	})
}

// moved refuses to serve a database whose place another one took.
func (f Folder) moved(ctx context.Context, op string, b core.Backend) error {
	to, err := transfer.Moved(ctx, b)
	if err != nil || to == "" {
		return err
	}
	return core.Errorf(core.State, op, "this database was moved to %s: its counters are old, and serving them would give tries back; name %s in config.toml, or move back with `keposs ss-cc migrate`", to, to)
}
