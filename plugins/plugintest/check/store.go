package check

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/escrowtest"
	"github.com/keposs/keposs/plugins/plugintest"
)

// What a setting of a backend is filled in with, for each store anew.
const (
	dirMark   = "{dir}"   // a folder
	placeMark = "{place}" // a name that no other store has
)

// filled are the settings of one store, and whether dir and the name stand in them.
func filled(config map[string]string, dir string) (c core.Config, inDir, named bool) {
	name := fmt.Sprintf("keposs%016x", rand.Uint64())
	c.Values = map[string]string{}
	for k, v := range config {
		inDir, named = inDir || strings.Contains(v, dirMark), named || strings.Contains(v, placeMark)
		c.Values[k] = strings.NewReplacer(dirMark, dir, placeMark, name).Replace(v)
	}
	return c, inDir, named
}

func backendKit(t Target) []Case {
	if t.Config == nil {
		return refusal("The backend opens a store.", Skip("no settings for a store were given"))
	}
	_, inDir, named := filled(t.Config, "")
	h := escrowtest.Harness{
		Name: t.Name, Kill: plugintest.KillBackend, Durable: inDir || named,
		New: func() (core.Backend, error) {
			sup, e, err := supervised(t)
			if err != nil {
				return nil, err
			}
			b, err := sup.Backend(context.Background(), e)
			if err != nil {
				return nil, errors.Join(err, sup.Close())
			}
			return b, nil // its Close ends the process
		},
		Place: func() (*escrowtest.Place, error) {
			dir, err := os.MkdirTemp("", "keposs-check-")
			p := &escrowtest.Place{Remove: func() { _ = os.RemoveAll(dir) }}
			p.Config, _, _ = filled(t.Config, dir)
			if inDir || !named {
				p.Dir = dir
			}
			return p, err
		},
	}
	if inDir && !named {
		h.In = func(dir string) core.Config { c, _, _ := filled(t.Config, dir); return c }
	}
	var r *escrowtest.Rig
	var out []Case
	for _, c := range escrowtest.Cases() {
		out = append(out, Case{Name: c.Name, Rule: c.Rule, Advice: c.Advice, Group: "kit", Level: c.Level,
			Run: func(ctx context.Context, _ Target) error {
				if r == nil {
					h.Shared = named && twice(ctx, h)
					r = escrowtest.NewRig(h, t.Level)
				}
				return escrowtest.RunCase(ctx, r, c)
			}})
	}
	return append(out, Case{Name: "Ends", Rule: "B4 Close is followed by the end of the process.", Group: "kit",
		Advice: "Return from main when the server has stopped.", Run: func(context.Context, Target) error {
			if r != nil {
				r.Close()
			}
			return nil
		}})
}

// twice tells whether a second handle opens on a place of h: whether what it
// sees is right, the kit finds out.
func twice(ctx context.Context, h escrowtest.Harness) bool {
	r := escrowtest.NewRig(h, 0)
	defer r.Close()
	f, err := r.Fresh(ctx)
	if err != nil {
		return false
	}
	b, err := f.Second(ctx)
	if err != nil {
		return false
	}
	_ = b.Close()
	return true
}
