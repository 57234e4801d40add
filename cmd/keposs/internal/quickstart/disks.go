package quickstart

import (
	"context"
	"errors"
	"slices"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/cmd/keposs/internal/needle"
	"github.com/keposs/keposs/core"
)

// searchDisks stops everything and looks through every file: the server's for
// anything in the clear, the terminal's for the policy and what was typed. The
// search first proves that it finds what is there.
func (r *run) searchDisks(_ context.Context) error {
	const op = "quickstart"
	if err := r.closeAll(); err != nil {
		return err
	}
	r.screen.did("client, SS-CC and every plugin process ended and reaped")
	typed := r.typed()
	names, err := r.names()
	if err != nil {
		return err
	}
	everything := append(append([]needle.Needle{}, typed...), names...)
	if err := needle.Control(r.dir, everything); err != nil {
		return core.Errorf(core.Internal, op, "%w", err)
	}
	r.screen.did("control: all %d values are found where they are planted", len(everything))
	for _, look := range []struct {
		what, dir string
		needles   []needle.Needle
	}{
		{"the server's folder and database", r.serverDir(), everything},
		{"the terminal's folder", r.terminal(), typed},
	} {
		found, err := needle.Search(look.dir, look.needles)
		if err != nil {
			return core.Errorf(core.Internal, op, "%w", err)
		}
		if found.Files == 0 {
			return core.Errorf(core.Internal, op, "nothing to search in %s", look.dir)
		}
		var errs []error
		for _, h := range found.Hits {
			errs = append(errs, core.Errorf(core.Integrity, op, "plaintext in %s: %s", look.what, h))
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
		r.screen.did("%s: %d files, %.1f MB, no plaintext", look.what, found.Files, float64(found.Bytes)/1e6)
	}
	return nil
}

// typed is what must be on no disk at all: what was entered, and what only the
// policy names.
func (r *run) typed() []needle.Needle {
	out := r.witness.needles()
	if slices.Contains(r.first, "gesture") {
		out = append(out, needle.Needle{Name: "a factor's name in the policy", Data: []byte("gesture")})
	}
	return out
}

// names is what the server must not hold in the clear: whom it serves and
// whose keys.
func (r *run) names() ([]needle.Needle, error) {
	out := []needle.Needle{
		{Name: "the user id", Data: r.user.ID[:]},
		{Name: "the message", Data: []byte(message)},
	}
	for name, key := range map[string]func() (client.PublicKey, error){
		"the public signing key": r.user.SignKey, "the public encryption key": r.user.EncKey,
	} {
		k, err := key()
		if err != nil {
			return nil, err
		}
		point := k.Compressed()
		out = append(out, needle.Needle{Name: name, Data: point[1:]})
	}
	return out, nil
}
