package transfer

import (
	"context"
	"sync"
	"time"

	"github.com/keposs/keposs/core"
)

// Live is a backend whose place another one can take while it is used. The
// caller configures and closes both; Live's own Close closes the one in use.
// Every method may run at once with Move.
type Live struct {
	// mu is held for reading by every call, for writing while the places change,
	// so that no call is under way then.
	mu  sync.RWMutex
	now core.Backend
	// stopped is why nothing is done any more; nil = go on.
	stopped error

	// noted is what was written since a Move began: the key, and the version of
	// its tombstone where it was deleted. nil while nothing moves.
	dirt  sync.Mutex
	noted map[string]core.Version
}

var (
	_ core.Backend  = (*Live)(nil)
	_ core.Healther = (*Live)(nil)
	_ core.Gatherer = (*Live)(nil)
)

// NewLive serves b, which is configured.
func NewLive(b core.Backend) *Live { return &Live{now: b} }

// Now returns the backend in use.
func (l *Live) Now() core.Backend {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.now
}

func (l *Live) use(f func(core.Backend) error) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.stopped != nil {
		return l.stopped
	}
	return f(l.now)
}

// Describe implements core.Backend.
func (l *Live) Describe(ctx context.Context) (i core.BackendInfo, err error) {
	err = l.use(func(b core.Backend) error { i, err = b.Describe(ctx); return err })
	return i, err
}

// Configure is State: what Live serves was configured before.
func (l *Live) Configure(context.Context, core.Config) error {
	return core.Errorf(core.State, "transfer: configure", "already configured")
}

// GetMany implements core.Backend.
func (l *Live) GetMany(ctx context.Context, keys []core.Key, o core.ReadOpts) (out []core.Record, err error) {
	err = l.use(func(b core.Backend) error { out, err = b.GetMany(ctx, keys, o); return err })
	return out, err
}

// CommitMany implements core.Backend.
func (l *Live) CommitMany(ctx context.Context, ms []core.Mutation) (out []core.Result, err error) {
	err = l.use(func(b core.Backend) error {
		out, err = b.CommitMany(ctx, ms)
		l.note(ms, out)
		return err
	})
	return out, err
}

// note remembers what a commit may have changed: it is called before the commit
// is answered, so a switch that waited for the commit knows of it.
func (l *Live) note(ms []core.Mutation, out []core.Result) {
	l.dirt.Lock()
	defer l.dirt.Unlock()
	if l.noted == nil {
		return
	}
	for i, m := range ms {
		v := core.Version(0)
		if m.Op == core.OpDelete && i < len(out) {
			v = out[i].Version
		}
		l.noted[string(m.Key)] = v
	}
}

// Scan implements core.Backend.
func (l *Live) Scan(ctx context.Context, req core.ScanRequest) (p core.Page, err error) {
	err = l.use(func(b core.Backend) error { p, err = b.Scan(ctx, req); return err })
	return p, err
}

// Health implements core.Healther.
func (l *Live) Health(ctx context.Context) error {
	return l.use(func(b core.Backend) error {
		if h, ok := b.(core.Healther); ok {
			return h.Health(ctx)
		}
		_, err := b.GetMany(ctx, []core.Key{markKey()}, core.ReadOpts{HotOnly: true})
		return err
	})
}

// Gathers implements core.Gatherer: whether the backend in use does.
func (l *Live) Gathers() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	g, ok := l.now.(core.Gatherer)
	return ok && g.Gathers()
}

// Close closes the backend in use.
func (l *Live) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now.Close()
}

// Bounds of the switch.
const (
	fewLeft    = 256                     // written since the last look: few enough to switch
	maxRounds  = 200                     // looks before Move gives up
	holdAtMost = 1500 * time.Millisecond // how long calls wait while the places change
	maxHolds   = 5
)

// MoveReport tells what a Move did.
type MoveReport struct {
	Report
	Rounds int           `json:"rounds"` // times what was written meanwhile was copied
	Held   time.Duration `json:"-"`      // how long calls waited at the switch
}

// Move copies the store in use to `to`, which nobody else writes to, while Live
// is used; then holds new calls for a moment, copies what was written last,
// calls announce, which makes the change durable for the next start, and serves
// `to` from then on. No call fails by it. The backend served before is returned
// to the caller's care: it is told that its place was taken, and not closed.
//
// When announce fails nobody knows which of the two the next start would open:
// Live then refuses everything, and the caller has to end.
func (l *Live) Move(ctx context.Context, to Store, o Options, announce func() error) (r MoveReport, err error) {
	const op = "transfer: move"
	from, err := Of(l.Now())
	if err != nil {
		return r, err
	}
	info, err := from.Describe(ctx)
	if err != nil {
		return r, err
	}
	if info.Replicated {
		return r, core.Errorf(core.State, op, "several SS-CC may share %s and this one cannot stop the others: stop them all, then run it again", info.Name)
	}
	l.dirt.Lock()
	if l.noted != nil {
		l.dirt.Unlock()
		return r, core.Errorf(core.State, op, "this store is being moved already")
	}
	l.noted = map[string]core.Version{}
	l.dirt.Unlock()
	defer func() {
		l.dirt.Lock()
		l.noted = nil
		l.dirt.Unlock()
	}()
	p := pass{from: from, to: to, o: o, phase: "copy", after: o.After, fresh: true}
	if err := p.run(ctx); err != nil {
		return r, err
	}
	o.Step.At("migrate.copied")
	copied := p.copied
	for ; ; r.Rounds++ {
		n, err := l.late(ctx, from, to, o)
		copied += n
		if err != nil {
			return r, err
		}
		if l.dirty() <= fewLeft {
			break
		}
		if r.Rounds == maxRounds {
			return r, core.Errorf(core.Throttled, op, "more is written than can be copied: try again when less goes on")
		}
	}
	p = pass{from: from, to: to, o: o, phase: "verify", digest: true, moving: l.isDirty}
	if err := p.run(ctx); err != nil {
		return r, err
	}
	copied += p.copied
	for n := 0; ; n++ {
		late, err := l.late(ctx, from, to, o)
		copied += late
		if err != nil {
			return r, err
		}
		if o.Progress != nil {
			o.Progress(Progress{Phase: "switch", Records: p.seen, Copied: copied})
		}
		late, r.Held, err = l.change(ctx, from, to, o, announce)
		copied += late
		if err == nil {
			break
		}
		if n+1 == maxHolds || l.use(func(core.Backend) error { return nil }) != nil || ctx.Err() != nil {
			return r, err
		}
	}
	r.Report = p.sum.report()
	r.Copied, r.Digest = copied, "" // one of a store that changed meanwhile would be nobody's
	return r, Retire(ctx, from, o.Name, o.Unix)
}

// change is the switch itself.
func (l *Live) change(ctx context.Context, from, to Store, o Options, announce func() error) (late uint64, held time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, holdAtMost)
	defer cancel()
	l.mu.Lock()
	begun := time.Now()
	defer func() {
		held = time.Since(begun)
		l.mu.Unlock()
	}()
	if late, err = l.late(ctx, from, to, o); err != nil {
		return late, 0, err
	}
	if o.Last != nil {
		p := pass{from: from, to: to, o: o}
		n, err := p.one(ctx, o.Last)
		if err != nil {
			return late, 0, err
		}
		late += n
	}
	if err := dropMark(ctx, to); err != nil {
		return late, 0, err
	}
	o.Step.At("migrate.whole")
	if err := announce(); err != nil {
		l.stopped = core.Errorf(core.Unavailable, "transfer: move", "the change of the storage could not be made durable: %w", err)
		return late, 0, l.stopped
	}
	l.now = to
	return late, 0, nil
}

func (l *Live) dirty() int {
	l.dirt.Lock()
	defer l.dirt.Unlock()
	return len(l.noted)
}

func (l *Live) isDirty(k core.Key) bool {
	l.dirt.Lock()
	defer l.dirt.Unlock()
	_, ok := l.noted[string(k)]
	return ok
}

// late copies what was written since the last look, but for Last, and reads it
// back. What could not be copied is noted again.
func (l *Live) late(ctx context.Context, from, to Store, o Options) (copied uint64, err error) {
	l.dirt.Lock()
	todo := l.noted
	l.noted = make(map[string]core.Version, len(todo))
	l.dirt.Unlock()
	defer func() {
		if err == nil {
			return
		}
		l.dirt.Lock()
		defer l.dirt.Unlock()
		for k, v := range todo {
			if _, newer := l.noted[k]; !newer {
				l.noted[k] = v
			}
		}
	}()
	delete(todo, string(o.Last))
	keys := make([]core.Key, 0, len(todo))
	for k := range todo {
		keys = append(keys, core.Key(k))
	}
	for len(keys) > 0 {
		n := min(len(keys), pageSize)
		recs, err := from.GetMany(ctx, keys[:n], core.ReadOpts{})
		if err != nil {
			return copied, err
		}
		var out []core.Record
		var gone []bool
		for _, r := range recs {
			v := todo[string(r.Key)]
			switch {
			case r.Version > 0:
				out, gone = append(out, r), append(gone, false)
			case v > 0:
				out, gone = append(out, core.Record{Key: r.Key, Version: v}), append(gone, true)
			}
		}
		if err := place(ctx, to, out, gone); err != nil {
			return copied, err
		}
		copied += uint64(len(out))
		keys = keys[n:]
	}
	return copied, nil
}
