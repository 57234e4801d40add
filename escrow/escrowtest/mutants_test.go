package escrowtest_test

import (
	"context"
	"sync"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/memory"
)

// yesSayer takes a compare-and-set that matched nothing for one that did.
type yesSayer struct{ core.Backend }

func (y *yesSayer) CommitMany(ctx context.Context, ms []core.Mutation) ([]core.Result, error) {
	out, err := y.Backend.CommitMany(ctx, ms)
	for i := range out {
		if core.CodeOf(out[i].Err) == core.Conflict {
			out[i] = core.Result{Version: ms[i].Expect + 1}
		}
	}
	return out, err
}

// forgetful deletes without a tombstone: below is, by key, what the versions of
// a key that was made again are too high.
type forgetful struct {
	core.Backend
	mu    sync.Mutex
	below map[string]core.Version
}

func (f *forgetful) CommitMany(ctx context.Context, ms []core.Mutation) ([]core.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.below == nil {
		f.below = map[string]core.Version{}
	}
	var all []core.Result
	for _, m := range ms { // one by one, since a deletion changes what follows it
		below := f.below[string(m.Key)]
		if m.Expect > 0 {
			m.Expect += below
		}
		out, err := f.Backend.CommitMany(ctx, []core.Mutation{m})
		if err != nil {
			return nil, err
		}
		one := out[0]
		if m.Op == core.OpDelete && one.Err == nil {
			f.below[string(m.Key)] = one.Version
		}
		if one.Err == nil {
			one.Version -= below
		}
		if e, ok := one.Err.(*core.Error); ok && e.Current > 0 {
			c := *e
			c.Current -= below
			one.Err = &c
		}
		all = append(all, one)
	}
	return all, nil
}

func (f *forgetful) GetMany(ctx context.Context, keys []core.Key, o core.ReadOpts) ([]core.Record, error) {
	out, err := f.Backend.GetMany(ctx, keys, o)
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range out {
		if out[i].Version > 0 {
			out[i].Version -= f.below[string(out[i].Key)]
		}
	}
	return out, err
}

// skipper names the first key of the next page as the one to go on after.
type skipper struct{ core.Backend }

func (s skipper) Scan(ctx context.Context, req core.ScanRequest) (core.Page, error) {
	p, err := s.Backend.Scan(ctx, req)
	if err != nil || p.Next == nil {
		return p, err
	}
	next, err := s.Backend.Scan(ctx, core.ScanRequest{After: p.Next, Limit: 1, Tombs: req.Tombs})
	if err == nil && len(next.Records) > 0 {
		p.Next = next.Records[0].Key
	}
	return p, err
}

// torn writes the blob of an existing record a little after its hot part.
type torn struct {
	core.Backend
	mu   sync.Mutex
	late map[string][]byte // blobs that are still the old ones
}

func (x *torn) CommitMany(ctx context.Context, ms []core.Mutation) ([]core.Result, error) {
	if len(ms) != 1 || ms[0].Op != core.OpPut || ms[0].Expect == 0 {
		return x.Backend.CommitMany(ctx, ms)
	}
	key := string(ms[0].Key)
	old, err := x.Backend.GetMany(ctx, []core.Key{ms[0].Key}, core.ReadOpts{})
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	out, err := x.Backend.CommitMany(ctx, ms)
	if err == nil && out[0].Err == nil {
		x.late[key] = old[0].Blob
	}
	x.mu.Unlock()
	time.Sleep(2 * time.Millisecond)
	x.mu.Lock()
	delete(x.late, key)
	x.mu.Unlock()
	return out, err
}

func (x *torn) GetMany(ctx context.Context, keys []core.Key, o core.ReadOpts) ([]core.Record, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	out, err := x.Backend.GetMany(ctx, keys, o)
	for i := range out {
		if blob, ok := x.late[string(out[i].Key)]; ok && out[i].Version > 0 && !o.HotOnly {
			out[i].Blob = append([]byte{}, blob...)
		}
	}
	return out, err
}

// deaf does not hear that a sync failed.
type deaf struct{ core.Backend }

func (d *deaf) CommitMany(ctx context.Context, ms []core.Mutation) ([]core.Result, error) {
	out, err := d.Backend.CommitMany(ctx, ms)
	if code := core.CodeOf(err); code == core.Indeterminate || code == core.Unavailable {
		out = make([]core.Result, len(ms))
		for i, m := range ms {
			out[i].Version = m.Expect + 1
		}
		return out, nil
	}
	return out, err
}

// hasty answers from a map and writes its log much later, if it is still there.
type hasty struct {
	core.Backend // the map
	log          core.Backend
	mu           sync.Mutex
}

const lag = 10 * time.Second

func (h *hasty) Configure(ctx context.Context, c core.Config) error {
	h.log = memory.New()
	if err := h.Backend.Configure(ctx, core.Config{}); err != nil {
		return err
	}
	if err := h.log.Configure(ctx, c); err != nil {
		return err
	}
	for req := (core.ScanRequest{Limit: 100}); ; {
		p, err := h.log.(core.Exporter).Export(ctx, req)
		if err == nil {
			err = h.Backend.(core.Exporter).Import(ctx, p.Records, p.Deleted)
		}
		if err != nil || p.Next == nil {
			return err
		}
		req.After = p.Next
	}
}

func (h *hasty) CommitMany(ctx context.Context, ms []core.Mutation) ([]core.Result, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	out, err := h.Backend.CommitMany(ctx, ms)
	if err == nil {
		time.AfterFunc(lag, func() { _, _ = h.log.CommitMany(context.WithoutCancel(ctx), ms) })
	}
	return out, err
}

func (h *hasty) Close() error {
	if h.log != nil {
		_ = h.log.Close()
	}
	return h.Backend.Close()
}
