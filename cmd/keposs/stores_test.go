package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/keposs/keposs/internal/cutdisk"
	"github.com/keposs/keposs/internal/etcdserver"
	"github.com/keposs/keposs/internal/pgserver"
	"github.com/keposs/keposs/internal/testenv"
)

// SS-CC as an operator sets it up over a database of its own process, used by a person.
// req: K-6.2-02a
func TestStores(t *testing.T) {
	testenv.NeedLevel(t, 1)
	t.Parallel()
	for name, settings := range map[string]func(*testing.T, string) string{
		"postgres": func(t *testing.T, dir string) string {
			c, err := pgserver.Start(t.Context(), 0)
			absent(t, err, pgserver.ErrAbsent)
			t.Cleanup(c.Stop)
			dsn := filepath.Join(dir, "dsn")
			if err := os.WriteFile(dsn, []byte(c.DSN()+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			return fmt.Sprintf("dsn_file = %q\n", dsn)
		},
		"etcd": func(t *testing.T, _ string) string {
			c, err := etcdserver.Start(t.Context(), 3)
			absent(t, err, etcdserver.ErrAbsent)
			t.Cleanup(c.Stop)
			return fmt.Sprintf("endpoints = %q\n", strings.Join(c.Endpoints(), ","))
		},
	} {
		t.Run(name, func(t *testing.T) {
			text := settings(t, t.TempDir())
			place := map[string]string{"postgres": "schema = \"moved\"\n", "etcd": "prefix = \"moved/\"\n"}[name]
			scripts := []string{filepath.Join("testdata", "stores", "life.txt"), filepath.Join("testdata", "stores", "move.txt")}
			p := params(scripts, func(env *testscript.Env) error {
				env.Setenv("BACKEND", name)
				return errors.Join(os.WriteFile(filepath.Join(env.WorkDir, "settings.toml"), []byte(text), 0o600),
					os.WriteFile(filepath.Join(env.WorkDir, "moved.toml"), []byte(text+place), 0o600))
			})
			testscript.Run(t, p)
		})
	}
}

// absent skips without the server and fails for another reason.
func absent(t *testing.T, err, want error) {
	t.Helper()
	if errors.Is(err, want) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// power tells whether a power cut can be made here.
func power() bool {
	d, err := cutdisk.New(16)
	return err == nil && d.Remove() == nil
}

func TestFaultsQuick(t *testing.T) {
	testenv.NeedLevel(t, 1)
	t.Parallel()
	testscript.Run(t, params([]string{filepath.Join("testdata", "stores", "faults.txt")}, nil))
}
