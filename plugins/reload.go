package plugins

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins/internal/glue"
	"github.com/keposs/keposs/plugins/internal/launch"
)

// How long a version that is replaced may go on with what it had begun.
const (
	drainCalls   = 5 * time.Second // a store's calls; its files have one owner, so the next version waits
	drainStreams = 2 * time.Minute // a collection, while the new version serves beside it
	drainLook    = 5 * time.Millisecond
)

// Reload puts e in the place of the plugin of its kind and name: what this
// supervisor gave out goes on with the new version, under config (lent) or, if
// it is nil, the settings of the last Configure, and a sealed set takes e for the one it held. Calls wait for
// it; a collection that has begun ends with the old version. When the new one
// does not start or refuses its settings the old one stays and the error says
// why. The same image under the same settings is no reload.
//
// Only for plugins the operator vouches for: what the vendor approved, and
// what is built in, is part of the module's image and changes with it.
// Integrity otherwise; NotFound for a plugin this supervisor never had.
//
// req: K-10.2.3-01
func (s *Supervisor) Reload(ctx context.Context, e Entry, config *core.Config) error {
	if err := e.check(s.o); err != nil {
		return err
	}
	if e.Trust != TrustLocal {
		return core.Errorf(core.Integrity, "plugins: reload", "%s %s is not in the trust state local: restart to change it", e.Kind, e.label())
	}
	same := func(o Entry) bool { return o.Kind == e.Kind && o.Name == e.Name }
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return core.Errorf(core.Closed, "plugins: reload", "the supervisor is closed")
	}
	held := slices.IndexFunc(s.allowed, same)
	var mine []*child
	known := held >= 0
	for _, c := range s.children {
		if at := c.current(); same(at) {
			known = true
			if at.Trust != TrustLocal {
				s.mu.Unlock()
				return core.Errorf(core.Integrity, "plugins: reload", "%s %s runs in the trust state %s: restart to change it", e.Kind, e.label(), at.Trust)
			}
			mine = append(mine, c)
		}
	}
	if !known || s.sealed && (held < 0 || s.allowed[held].Trust != TrustLocal) {
		s.mu.Unlock()
		return core.Errorf(core.NotFound, "plugins: reload", "no %s %s of trust local is in use", e.Kind, e.label())
	}
	s.mu.Unlock()
	for _, c := range mine {
		if err := c.reload(ctx, e, config); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.IndexFunc(s.allowed, same); i >= 0 {
		s.allowed[i] = e
	}
	return nil
}

// current is the entry as it is now.
func (c *child) current() Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.entry
}

// take makes e what the next start uses; the caller holds mu.
func (c *child) take(e Entry) {
	c.entry.Path, c.entry.Digest, c.entry.Root, c.entry.Files = e.Path, e.Digest, e.Root, e.Files
	c.entry.Args, c.entry.Env = e.Args, e.Env
}

// reload changes one child. It holds the turn: nothing else starts,
// configures or ends its process meanwhile.
func (c *child) reload(ctx context.Context, e Entry, settings *core.Config) (err error) {
	if err := c.lock(ctx); err != nil {
		return err
	}
	defer c.unlock()
	c.mu.Lock()
	state, config, old := c.state, c.config, c.entry
	c.mu.Unlock()
	switch {
	case state == StateClosed:
		return nil // nobody calls it any more
	case old.equal(e) && settings == nil:
		return nil
	}
	if settings != nil {
		config = settings
		defer func() {
			if err == nil {
				c.keep(*settings)
			}
		}()
	}
	image, err := e.image()
	if err != nil {
		return err
	}
	if state != StateRunning {
		c.swap(e, image)()
		return nil
	}
	p, err := c.launch(ctx, e, image)
	if err != nil {
		return errors.Join(err, image.Close())
	}
	if e.Kind == KindBackend {
		return c.handOver(ctx, e, image, p, config)
	}
	h, err := c.attach(ctx, p, config)
	if err != nil {
		p.Close()
		return errors.Join(err, image.Close())
	}
	was, at := c.retire(StateReload)
	release := c.swap(e, image)
	if was == nil { // it crashed in between
		release()
		return c.adopt(p, h, "reloaded")
	}
	c.retired.Go(func() {
		c.idle(at, drainStreams)
		at.Close()
		was.Close()
		release()
	})
	return c.adopt(p, h, "reloaded")
}

// handOver gives a store's files from the running process to p: calls wait,
// those under way finish, the old process closes, the new one opens. If that
// fails the old image is started again at once.
func (c *child) handOver(ctx context.Context, e Entry, image *launch.Image, p *launch.Process, config *core.Config) error {
	h, err := c.attach(ctx, p, nil) // is it what it should be, before anything is closed
	if err != nil {
		p.Close()
		return errors.Join(err, image.Close())
	}
	was, at := c.retire(StateReload)
	if was != nil {
		c.idle(at, drainCalls)
		_ = at.Backend().Close() // what it had acknowledged is durable; its error changes nothing
		at.Close()
		was.Close()
	}
	if config != nil {
		if err = configureHost(ctx, h, *config); err != nil {
			h.Close()
			p.Close()
			c.mu.Lock()
			if c.state == StateReload {
				c.state = StateCrashed
			}
			c.mu.Unlock()
			_, back := c.start(context.WithoutCancel(ctx))
			return errors.Join(core.Errorf(core.CodeOf(err), c.op(), "the new version refused and the old one stays: %w", err), back, image.Close())
		}
	}
	c.swap(e, image)()
	return c.adopt(p, h, "reloaded")
}

// retire takes the process out of use without ending it; nil if none runs.
func (c *child) retire(next State) (*launch.Process, *glue.Host) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != StateRunning {
		return nil, nil
	}
	p, at := c.proc, c.at
	c.plain = c.plain || !at.Sealed()
	c.proc, c.at, c.state = nil, nil, next
	return p, at
}

// swap makes e and its image what is started from now on. release gives the
// old image back; a script of several files may still be read by its process.
func (c *child) swap(e Entry, image *launch.Image) (release func()) {
	c.mu.Lock()
	old := c.image
	c.image = image
	c.take(e)
	c.failures, c.wait = 0, time.Time{}
	c.mu.Unlock()
	return func() {
		if old != nil {
			_ = old.Close()
		}
	}
}

// idle waits until nothing is under way or the child is closed, at most for long.
func (c *child) idle(h *glue.Host, long time.Duration) {
	look := time.NewTicker(drainLook)
	defer look.Stop()
	late := time.After(long)
	for h.Busy() > 0 {
		select {
		case <-look.C:
		case <-late:
			return
		case <-c.ending:
			return
		}
	}
}
