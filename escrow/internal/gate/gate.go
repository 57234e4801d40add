// Package gate is the life of a backend that core.Backend demands of each:
// configured once, closed at most once and only while no call is under way,
// and before, after and with an ended context every call is refused.
package gate

import (
	"context"
	"sync"

	"github.com/keposs/keposs/core"
)

// A Gate is a backend's. The zero Gate waits to be opened.
type Gate struct {
	mu     sync.RWMutex // held for reading by every call, for writing by Open and Close
	opened bool
	closed bool
}

// Open runs open, which configures the backend; only one that succeeded makes
// calls possible. Closed and State as core.Backend has them, and open's error.
func (g *Gate) Open(op string, open func() error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		return closed(op)
	case g.opened:
		return core.Errorf(core.State, op, "already configured")
	}
	if err := open(); err != nil {
		return err
	}
	g.opened = true
	return nil
}

// Enter keeps the backend open for one call, which then calls Leave. Closed,
// State before Open, Unavailable when ctx has ended; then Leave is not called.
func (g *Gate) Enter(ctx context.Context, op string) error {
	g.mu.RLock()
	var err error
	switch {
	case g.closed:
		err = closed(op)
	case !g.opened:
		err = core.Errorf(core.State, op, "not configured")
	case ctx.Err() != nil:
		err = core.Errorf(core.Unavailable, op, "not started: %w", ctx.Err())
	default:
		return nil
	}
	g.mu.RUnlock()
	return err
}

// Leave ends a call that Enter let in.
func (g *Gate) Leave() { g.mu.RUnlock() }

// Close waits for calls under way and lets no other in. It runs release when
// the backend was open; a second Close does nothing.
func (g *Gate) Close(release func() error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	was := g.opened && !g.closed
	g.closed = true
	if !was {
		return nil
	}
	return release()
}

func closed(op string) error { return core.Errorf(core.Closed, op, "the store is closed") }
