// Package postgres is the backend for more than one machine: several SS-CC may
// share one PostgreSQL, version 13 or later.
//
// A mutation is one statement that compares and sets; a call's mutations travel
// in one round trip and one READ COMMITTED transaction, so that they share a
// sync, yet none depends on another: a refused one changes no row and aborts
// nothing. What the server certainly did not commit is Unavailable; what it may
// have committed before the deadline or the loss of the connection is
// Indeterminate. Serialization failures and deadlocks are run again here.
//
// It refuses a server that runs with fsync off, a standby, and a server on
// another machine that shows no checked certificate.
package postgres

import (
	"context"
	"embed"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/tern/v2/migrate"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/internal/gate"
)

// A Store is a schema of a PostgreSQL database. Make it with New.
type Store struct {
	gate gate.Gate
	set  config
	pool *pgxpool.Pool
}

var (
	_ core.Backend  = (*Store)(nil)
	_ core.Fencer   = (*Store)(nil)
	_ core.Healther = (*Store)(nil)
)

// New returns an unconfigured Store.
func New() core.Backend { return &Store{} }

// Describe implements core.Backend.
func (s *Store) Describe(context.Context) (core.BackendInfo, error) {
	return core.BackendInfo{Name: "postgres", Version: "1", Replicated: true, Schema: schema}, nil
}

// Configure implements core.Backend. It brings the tables up to date.
func (s *Store) Configure(ctx context.Context, c core.Config) error {
	const op = "escrow/postgres: configure"
	return s.gate.Open(op, func() error { return s.open(ctx, op, c) })
}

func (s *Store) open(ctx context.Context, op string, c core.Config) error {
	set, err := readConfig(op, c)
	if err != nil {
		return err
	}
	if err := prepare(ctx, op, set); err != nil {
		return err
	}
	if s.pool, err = pgxpool.NewWithConfig(context.WithoutCancel(ctx), set.pool); err != nil {
		return readError(op, err)
	}
	s.set = set
	return nil
}

//go:embed migrations/*.sql
var migrations embed.FS

// migrationLock keeps two SS-CC from making the schema at once.
const migrationLock = 0x6b65706f7373

// prepare checks the server and migrates the schema on a connection of its own.
func prepare(ctx context.Context, op string, set config) error {
	conn, err := pgx.ConnectConfig(ctx, set.pool.ConnConfig.Copy())
	if err != nil {
		return readError(op, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var sync string
	if err := conn.QueryRow(ctx, `select current_setting('fsync')`).Scan(&sync); err != nil {
		return readError(op, err)
	}
	if sync != "on" {
		return core.Errorf(core.Invalid, op, "the server runs with fsync off and would lose acknowledged tries: turn it on")
	}
	if _, err := conn.Exec(ctx, `select pg_advisory_lock($1)`, int64(migrationLock)); err != nil {
		return readError(op, err)
	}
	var there bool
	if err := conn.QueryRow(ctx, `select exists (select from pg_namespace where nspname = $1)`, set.schema).Scan(&there); err != nil {
		return readError(op, err)
	}
	if !there { // asked first: a user without the right to create schemas may be given one
		if _, err := conn.Exec(ctx, `create schema `+pgx.Identifier{set.schema}.Sanitize()); err != nil {
			return readError(op, err)
		}
	}
	m, err := migrate.NewMigrator(ctx, conn, set.schema+".schema_version")
	if err != nil {
		return readError(op, err)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return readError(op, err)
	}
	if err := m.LoadMigrations(files); err != nil {
		return readError(op, err)
	}
	now, err := m.GetCurrentVersion(ctx)
	if err != nil {
		return readError(op, err)
	}
	if int(now) > len(m.Migrations) {
		return core.Errorf(core.Unsupported, op, "the schema is of version %d, made by a newer keposs; this one knows %d", now, len(m.Migrations))
	}
	if err := m.Migrate(ctx); err != nil {
		return readError(op, err)
	}
	return nil
}

// with runs f on a connection. A wait for one longer than acquire_timeout is
// Unavailable; f's context ends after query_timeout.
func (s *Store) with(ctx context.Context, op string, f func(context.Context, *pgxpool.Conn) error) error {
	wait, cancel := context.WithTimeout(ctx, s.set.acquire)
	conn, err := s.pool.Acquire(wait)
	cancel()
	if err != nil {
		return core.Errorf(core.Unavailable, op, "no connection to the database: %s", cause(err))
	}
	defer conn.Release()
	ctx, cancel = context.WithTimeout(ctx, s.set.query)
	defer cancel()
	return f(ctx, conn)
}

// Health implements core.Healther: the server answers.
func (s *Store) Health(ctx context.Context) error {
	const op = "escrow/postgres: health"
	if err := s.gate.Enter(ctx, op); err != nil {
		return err
	}
	defer s.gate.Leave()
	return s.with(ctx, op, func(ctx context.Context, conn *pgxpool.Conn) error {
		if err := conn.Ping(ctx); err != nil {
			return readError(op, err)
		}
		return nil
	})
}

// Close implements core.Backend. It waits for calls under way.
func (s *Store) Close() error {
	return s.gate.Close(func() error {
		s.pool.Close()
		return nil
	})
}
