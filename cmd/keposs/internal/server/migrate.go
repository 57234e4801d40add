package server

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"time"

	hclog "github.com/hashicorp/go-hclog"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sscc"
	"github.com/keposs/keposs/core/step"
	"github.com/keposs/keposs/escrow/transfer"
)

// MigrateOptions tells Migrate where to.
type MigrateOptions struct {
	From     string // "" or the name of the configured backend
	To       Store
	Progress func(transfer.Progress) // nil = nobody hears
}

// MigrateReport is what a migration did.
type MigrateReport struct {
	From       string  `json:"from"`
	To         string  `json:"to"`
	Live       bool    `json:"live"` // SS-CC served meanwhile
	Records    uint64  `json:"records"`
	Tombstones uint64  `json:"tombstones"`
	Copied     uint64  `json:"copied"` // by this run; less than records after an interruption
	Bytes      uint64  `json:"bytes"`
	Digest     string  `json:"digest,omitempty"` // of both, at rest
	HeldMS     float64 `json:"held_ms"`          // how long calls waited at the switch
	Seconds    float64 `json:"seconds"`
}

// Migrate moves the database to another backend and has config.toml name it. On
// an SS-CC that serves, the process that serves does it and goes on serving;
// calls wait for a moment at the switch and none fails. Killed at any point,
// SS-CC is served from the one that config.toml names, and running the same
// command again copies what is missing.
func (f Folder) Migrate(ctx context.Context, o MigrateOptions) (r MigrateReport, err error) {
	const op = "ss-cc migrate"
	c, to, err := f.target(op, o)
	if err != nil {
		return r, err
	}
	unlock, err := f.lock(op)
	if core.CodeOf(err) == core.State {
		if _, _, rerr := f.Find(op); rerr == nil {
			return f.askMigrate(ctx, o, to)
		}
	}
	if err != nil {
		return r, err
	}
	defer unlock()
	begun := time.Now()
	quiet := slog.New(slog.DiscardHandler)
	from, err := f.openStore(ctx, c, quiet, hclog.Error, nil)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	next := *c
	next.Backend = to
	into, err := f.openStore(ctx, &next, quiet, hclog.Error, nil)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, into.Close()) }()
	a, aerr := transfer.Of(from.Backend)
	b, berr := transfer.Of(into.Backend)
	if err := errors.Join(aerr, berr); err != nil {
		return r, err
	}
	rep, err := transfer.Copy(ctx, a, b, f.copyOptions(to.Name, o.Progress))
	if err != nil {
		return r, err
	}
	if err := f.announce(op, to); err != nil {
		return r, err
	}
	step.At("migrate.announced")
	if err := transfer.Retire(ctx, a, to.Name, time.Now().Unix()); err != nil {
		return r, err
	}
	return f.migrated(c.Backend.Name, to.Name, false, rep, 0, begun), nil
}

func (f Folder) migrated(from, to string, live bool, r transfer.Report, held time.Duration, begun time.Time) MigrateReport {
	return MigrateReport{From: from, To: to, Live: live, Records: r.Records, Tombstones: r.Tombstones, Copied: r.Copied, Bytes: r.Bytes,
		Digest: r.Digest, HeldMS: float64(held.Microseconds()) / 1000, Seconds: time.Since(begun).Seconds()}
}

func (f Folder) copyOptions(name string, progress func(transfer.Progress)) transfer.Options {
	return transfer.Options{Last: sscc.BootKey(), Progress: progress, Name: name, Unix: time.Now().Unix(), Step: step.At}
}

// target checks the request and completes the target's settings.
func (f Folder) target(op string, o MigrateOptions) (c *Config, to Store, err error) {
	if !f.exists() {
		return nil, to, f.missing(op)
	}
	if err := f.private(op); err != nil {
		return nil, to, err
	}
	if c, err = f.loadConfig(op); err != nil {
		return nil, to, err
	}
	if o.From != "" && o.From != c.Backend.Name {
		return nil, to, core.Errorf(core.State, op, "SS-CC is kept in %s, not in %s", c.Backend.Name, o.From)
	}
	to = Store{Name: o.To.Name, Settings: maps.Clone(o.To.Settings)}
	if home, ok := homes[to.Name]; ok && to.Settings[home.setting] == "" {
		if to.Settings == nil {
			to.Settings = map[string]string{}
		}
		to.Settings[home.setting] = f.path("db-" + to.Name)
	}
	if c.Backend.Name == to.Name && maps.Equal(c.Backend.Settings, to.Settings) {
		return nil, to, core.Errorf(core.State, op, "SS-CC is kept there already")
	}
	return c, to, nil
}

// announce makes the target what the next start opens: the one durable moment
// of a migration.
func (f Folder) announce(op string, to Store) error {
	c, err := f.loadConfig(op) // the file's: nothing of flags or environment
	if err != nil {
		return err
	}
	c.Backend = to
	text, err := c.marshal()
	if err != nil {
		return err
	}
	return f.write(op, configFile, text, 0o600)
}

// Files by which a command asks the process that serves, and is told.
const (
	orderFile = "migrate.json"
	newsFile  = "migration.json"
	askEvery  = 100 * time.Millisecond
)

// news is migration.json: how far the serving process is.
type news struct {
	Order   int64          `json:"order"` // of which request
	Phase   string         `json:"phase"`
	Records uint64         `json:"records"`
	Copied  uint64         `json:"copied"`
	Report  *MigrateReport `json:"report,omitempty"`
	Code    string         `json:"code,omitempty"`
	Error   string         `json:"error,omitempty"`
}

type order struct {
	Order int64 `json:"order"`
	To    Store `json:"to"`
}

// askMigrate has the process that serves move the database and waits for it.
func (f Folder) askMigrate(ctx context.Context, o MigrateOptions, to Store) (r MigrateReport, err error) {
	const op = "ss-cc migrate"
	id := time.Now().UnixNano()
	if err := f.writeJSON(op, orderFile, order{id, to}, 0o600); err != nil {
		return r, err
	}
	var last news
	for looks := 1; ; looks++ {
		select {
		case <-ctx.Done():
			return r, core.Errorf(core.Canceled, op, "the serving process goes on; `keposs ss-cc status` tells where SS-CC is kept: %w", ctx.Err())
		case <-time.After(askEvery):
		}
		var n news
		switch err := f.readJSON(op, newsFile, &n); {
		case core.CodeOf(err) == core.NotFound:
		case err != nil:
			return r, err
		}
		if n.Order == id {
			if n.Report != nil {
				return *n.Report, nil
			}
			if code, bad := core.ParseCode(n.Code); bad {
				return r, core.Errorf(code, op, "%s", n.Error)
			}
			if o.Progress != nil && n != last {
				o.Progress(transfer.Progress{Phase: n.Phase, Records: n.Records, Copied: n.Copied})
			}
			last = n
		}
		if looks%20 != 0 {
			continue
		}
		if unlock, err := f.lock(op); err == nil {
			unlock()
			return r, core.Errorf(core.Indeterminate, op, "SS-CC ended meanwhile: run the same command again")
		}
	}
}

// takeOrder returns a request once; ok is false when there is none.
func (f Folder) takeOrder() (o order, ok bool) {
	const op = "ss-cc serve"
	if f.readJSON(op, orderFile, &o) != nil {
		return o, false
	}
	return o, os.Remove(f.path(orderFile)) == nil
}
