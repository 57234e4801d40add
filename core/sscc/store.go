package sscc

import (
	"context"
	"encoding/binary"
	"runtime"
	"sync"
	"time"

	"github.com/keposs/keposs/core"
)

// A store sends what many requests read and write at the same moment to the
// backend in one call: reads are coalesced into GetMany, writes of different
// users into CommitMany, which an engine makes durable with one sync. A batch
// is what gathered while the one before it was under way: nobody waits for a
// timer. A backend that gathers writes itself gets them as they come: in two
// queues one behind the other fewer meet.
type store struct {
	b      core.Backend
	hots   batcher[core.Key, core.Record]
	fulls  batcher[core.Key, core.Record]
	shards [commitShards]batcher[core.Mutation, core.Result]
}

const (
	commitShards = 2                // batches under way at once; one key is always in the same one
	storeTimeout = 15 * time.Second // of one backend call
)

func newStore(b core.Backend) *store {
	s := &store{b: b}
	get := func(o core.ReadOpts) func(ctx context.Context, keys []core.Key) ([]core.Record, error) {
		return func(ctx context.Context, keys []core.Key) ([]core.Record, error) {
			once, at := distinct(keys)
			recs, err := b.GetMany(ctx, once, o)
			if err != nil || len(recs) != len(once) {
				return nil, err
			}
			out := make([]core.Record, len(keys))
			for i, j := range at {
				out[i] = recs[j]
			}
			return out, nil
		}
	}
	s.hots.call, s.fulls.call = get(core.ReadOpts{HotOnly: true}), get(core.ReadOpts{})
	for i := range s.shards {
		s.shards[i].call = b.CommitMany
	}
	return s
}

// distinct gives each key once and, per key, its place there: the requests of
// a batch share the realm's state and most of them an app.
func distinct(keys []core.Key) (once []core.Key, at []int) {
	seen := make(map[string]int, len(keys))
	once, at = make([]core.Key, 0, len(keys)), make([]int, len(keys))
	for i, k := range keys {
		j, ok := seen[string(k)]
		if !ok {
			j = len(once)
			seen[string(k)] = j
			once = append(once, k)
		}
		at[i] = j
	}
	return once, at
}

// get reads records in order; an absent one has Version 0. What it returns is
// shared by all that asked for the record at the same moment: to be read only.
func (s *store) get(ctx context.Context, hotOnly bool, keys ...core.Key) ([]core.Record, error) {
	if hotOnly {
		return s.hots.do(ctx, keys)
	}
	return s.fulls.do(ctx, keys)
}

// put applies one mutation, durable when it returns nil. An outcome the
// backend leaves open is asked again with the same request id. A lost race is
// Conflict, for the caller to run again, but Unavailable once nobody waits any
// more: over a backend that reads from long ago it would be run for ever.
func (s *store) put(ctx context.Context, m core.Mutation) (core.Version, error) {
	var err error
	for range 4 {
		var res []core.Result
		if res, err = s.commit(ctx, m); err == nil {
			if res[0].Err == nil {
				return res[0].Version, nil
			}
			err = res[0].Err
		}
		if core.CodeOf(err) == core.Conflict && ctx.Err() != nil {
			return 0, core.Errorf(core.Unavailable, "sscc: store", "gave up under contention, nothing was changed: %w", ctx.Err())
		}
		if core.CodeOf(err) != core.Indeterminate || ctx.Err() != nil {
			return 0, err
		}
	}
	return 0, err
}

// commit sends one mutation, alone or with what others send at this moment.
func (s *store) commit(ctx context.Context, m core.Mutation) ([]core.Result, error) {
	if g, ok := s.b.(core.Gatherer); !ok || !g.Gathers() {
		return s.shards[binary.BigEndian.Uint16(m.Key[len(m.Key)-2:])%commitShards].do(ctx, []core.Mutation{m})
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, storeTimeout)
		defer cancel()
	}
	res, err := s.b.CommitMany(ctx, []core.Mutation{m})
	if err == nil && len(res) != 1 {
		err = core.Errorf(core.Internal, "sscc: store", "the backend answered %d of 1 items", len(res))
	}
	return res, err
}

// A batcher gathers items of concurrent callers into calls of at most MaxBatch.
type batcher[In, Out any] struct {
	call    func(context.Context, []In) ([]Out, error)
	mu      sync.Mutex
	waiting []*waiter[In, Out]
	running bool
}

type waiter[In, Out any] struct {
	in   []In
	out  []Out
	err  error
	sent bool
	done chan struct{}
}

// do returns one Out per item. When ctx ends first the answer is Unavailable if
// the items were never sent, else Indeterminate.
func (b *batcher[In, Out]) do(ctx context.Context, in []In) ([]Out, error) {
	w := &waiter[In, Out]{in: in, done: make(chan struct{})}
	b.mu.Lock()
	b.waiting = append(b.waiting, w)
	lead := !b.running
	b.running = true
	b.mu.Unlock()
	if lead {
		// The first caller serves the round it is in itself, and a goroutine the
		// rounds that gather meanwhile: a lone request costs no switch.
		if b.round() {
			go b.run()
		}
		<-w.done
		return w.out, w.err
	}
	select {
	case <-w.done:
		return w.out, w.err
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !w.sent {
		for i, x := range b.waiting {
			if x == w {
				b.waiting = append(b.waiting[:i], b.waiting[i+1:]...)
				break
			}
		}
		return nil, core.Errorf(core.Unavailable, "sscc: store", "not sent: %w", ctx.Err())
	}
	select {
	case <-w.done:
		return w.out, w.err
	default:
		return nil, core.Errorf(core.Indeterminate, "sscc: store", "sent, outcome unknown: %w", ctx.Err())
	}
}

func (b *batcher[In, Out]) run() {
	for b.round() {
	}
}

// round sends one batch and reports whether more is waiting; if not, the
// batcher is at rest.
//
// It first lets run who is ready to: on a busy processor those are requests
// about to ask for the same, and one call for all costs less than the turn
// that is given away; on an idle one nobody takes it.
func (b *batcher[In, Out]) round() (more bool) {
	runtime.Gosched()
	b.mu.Lock()
	n, items := 0, 0
	for n < len(b.waiting) && (n == 0 || items+len(b.waiting[n].in) <= core.MaxBatch) {
		items += len(b.waiting[n].in)
		b.waiting[n].sent = true
		n++
	}
	batch := append([]*waiter[In, Out](nil), b.waiting[:n]...)
	b.waiting = append(b.waiting[:0], b.waiting[n:]...)
	if n == 0 {
		b.running = false
		b.mu.Unlock()
		return false
	}
	b.mu.Unlock()
	all := make([]In, 0, items)
	for _, w := range batch {
		all = append(all, w.in...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	out, err := b.call(ctx, all)
	cancel()
	if err == nil && len(out) != len(all) {
		err = core.Errorf(core.Internal, "sscc: store", "the backend answered %d of %d items", len(out), len(all))
	}
	for _, w := range batch {
		if err != nil {
			w.err = err
		} else {
			w.out, out = out[:len(w.in):len(w.in)], out[len(w.in):]
		}
		close(w.done)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running = len(b.waiting) > 0
	return b.running
}
