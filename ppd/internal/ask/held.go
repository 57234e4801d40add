package ask

import (
	"context"
	"sync"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
)

// Hold is a capture of one entry made under rules, which it owns: Recover hands
// it out once, to a helper of the same rules as parse reads them; Close wipes
// what was not handed out. what names the entry in messages.
func Hold[R comparable](what string, rules R, parse func(helper []byte) (R, error), entry *secret.Buffer) core.Capture {
	return &held[R]{what: what, rules: rules, parse: parse, entry: entry}
}

// held has a mutex because Close may come from another goroutine than Recover,
// when a host gives up.
type held[R comparable] struct {
	what  string
	rules R
	parse func([]byte) (R, error)

	mu    sync.Mutex
	entry *secret.Buffer
	used  bool
	shut  bool
}

// Recover implements core.Capture.
func (c *held[R]) Recover(ctx context.Context, req core.RecoverRequest) (*secret.Buffer, error) {
	op := c.what + ": recover"
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.used:
		return nil, core.Errorf(core.State, op, "this capture was already used; capture again")
	case c.shut:
		return nil, core.Errorf(core.Closed, op, "this capture is closed")
	case ctx.Err() != nil:
		return nil, core.Errorf(core.Canceled, op, "%w", ctx.Err())
	}
	r, err := c.parse(req.Helper)
	if err != nil {
		return nil, err
	}
	if r != c.rules {
		return nil, core.Errorf(core.Invalid, op, "the helper is not the one this was captured for")
	}
	c.used = true
	out := c.entry
	c.entry = nil
	return out, nil
}

// Close implements core.Capture.
func (c *held[R]) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shut = true
	c.entry.Wipe()
	return nil
}

// Serves refuses another format of helper than the one a source serves.
func Serves(op string, asked, served uint32) error {
	if asked != 0 && asked != served {
		return core.Errorf(core.Unsupported, op, "format %d, this source serves %d", asked, served)
	}
	return nil
}
