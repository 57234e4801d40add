package faultscmd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/keposs/keposs/internal/etcdserver"
	"github.com/keposs/keposs/internal/pgserver"
)

// A place is where an SS-CC keeps its records.
type place struct {
	backend, settings string // settings in TOML
	shared            bool   // other replicas may open it
	// fresh is where records can be moved, for the nth time.
	fresh func(dir string, n int) (backend, settings string)
	// empty forgets every record of an SS-CC that stands still.
	empty func(ctx context.Context, folder string) error
}

// A site starts what a place needs and gives it back when f returns.
type site func(ctx context.Context, f func(place) error) error

// embedded is Badger in SS-CC's own folder.
var embedded site = func(_ context.Context, f func(place) error) error {
	return f(place{
		backend: "badger",
		fresh: func(dir string, n int) (string, string) {
			return "memory", fmt.Sprintf("path = %q\n", filepath.Join(dir, fmt.Sprint("moved", n)))
		},
		empty: func(_ context.Context, folder string) error { return os.RemoveAll(filepath.Join(folder, "db")) },
	})
}

// onPostgres is a database of a PostgreSQL of its own.
var onPostgres site = func(ctx context.Context, f func(place) error) error {
	c, err := pgserver.Start(ctx, 0)
	if err != nil {
		return err
	}
	defer c.Stop()
	dir, err := os.MkdirTemp("", "keposs-replicas-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	dsn := filepath.Join(dir, "dsn")
	if err := os.WriteFile(dsn, []byte(c.DSN()+"\n"), 0o600); err != nil {
		return err
	}
	settings := fmt.Sprintf("dsn_file = %q\n", dsn)
	return f(place{
		backend: "postgres", settings: settings, shared: true,
		fresh: func(_ string, n int) (string, string) {
			return "postgres", settings + fmt.Sprintf("schema = \"moved%d\"\n", n)
		},
		empty: func(ctx context.Context, _ string) error {
			_, err := c.Exec(ctx, 0, "drop schema keposs cascade")
			return err
		},
	})
}

// onEtcd is a prefix of three members.
var onEtcd site = func(ctx context.Context, f func(place) error) error {
	c, err := etcdserver.Start(ctx, 3)
	if err != nil {
		return err
	}
	defer c.Stop()
	settings := fmt.Sprintf("endpoints = %q\n", strings.Join(c.Endpoints(), ","))
	return f(place{
		backend: "etcd", settings: settings, shared: true,
		fresh: func(_ string, n int) (string, string) {
			return "etcd", settings + fmt.Sprintf("prefix = \"moved%d/\"\n", n)
		},
		empty: func(ctx context.Context, _ string) error { return c.Delete(ctx, "keposs/") },
	})
}
