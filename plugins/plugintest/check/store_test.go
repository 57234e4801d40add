package check

import (
	"context"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/escrowtest"
	"github.com/keposs/keposs/escrow/memory"
)

// Each store gets a folder or a name of its own.
func TestFilled(t *testing.T) {
	a, inDir, named := filled(map[string]string{"path": "{dir}/log", "mode": "fast"}, "/tmp/x")
	if a.Values["path"] != "/tmp/x/log" || a.Values["mode"] != "fast" || !inDir || named {
		t.Errorf("%v, in a folder %t, named %t", a.Values, inDir, named)
	}
	config := map[string]string{"prefix": "{place}/", "schema": "{place}"}
	a, inDir, named = filled(config, "/tmp/x")
	b, _, _ := filled(config, "/tmp/x")
	name := a.Values["schema"]
	if inDir || !named || a.Values["prefix"] != name+"/" || b.Values["schema"] == name || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		t.Errorf("%v and %v, in a folder %t, named %t", a.Values, b.Values, inDir, named)
	}
}

// shared opens wherever it is asked to.
type shared struct{ core.Backend }

func (shared) Configure(context.Context, core.Config) error { return nil }

// A store that two may open is told from one that locks.
func TestTwice(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name string
		made func() core.Backend
		want bool
	}{{"locked", memory.New, false}, {"shared", func() core.Backend { return shared{memory.New()} }, true}} {
		h := escrowtest.Harness{
			New: func() (core.Backend, error) { return c.made(), nil },
			Place: func() (*escrowtest.Place, error) {
				return &escrowtest.Place{Config: core.Config{Values: map[string]string{"path": dir + "/" + c.name}}}, nil
			},
		}
		if got := twice(t.Context(), h); got != c.want {
			t.Errorf("%s: opens twice: %t", c.name, got)
		}
	}
}
