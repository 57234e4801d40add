package sscc

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
)

// gate is a batch call that waits until it is let go.
type gate struct {
	mu      sync.Mutex
	sizes   []int
	entered chan struct{}
	leave   chan error
}

func (g *gate) call(_ context.Context, in []int) ([]int, error) {
	g.mu.Lock()
	g.sizes = append(g.sizes, len(in))
	g.mu.Unlock()
	g.entered <- struct{}{}
	if err := <-g.leave; err != nil {
		return nil, err
	}
	out := make([]int, len(in))
	for i, v := range in {
		out[i] = v * 10
	}
	return out, nil
}

// What gathers while a call is under way goes into the next one; each caller
// gets its own answers, in order.
func TestBatcherGathers(t *testing.T) {
	g := &gate{entered: make(chan struct{}), leave: make(chan error)}
	b := &batcher[int, int]{call: g.call}
	var wg sync.WaitGroup
	ask := func(in ...int) {
		wg.Go(func() {
			out, err := b.do(context.Background(), in)
			if err != nil || len(out) != len(in) || out[0] != in[0]*10 || out[len(in)-1] != in[len(in)-1]*10 {
				t.Errorf("%v: %v %v", in, out, err)
			}
		})
	}
	ask(1)
	<-g.entered
	for i := range 20 {
		ask(100+i, 200+i)
	}
	waitFor(t, func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.waiting) == 20 })
	g.leave <- nil
	<-g.entered
	g.leave <- nil
	wg.Wait()
	if len(g.sizes) != 2 || g.sizes[0] != 1 || g.sizes[1] != 40 {
		t.Fatalf("batches of %v, want 1 and 40", g.sizes)
	}
}

// A call is bounded by MaxBatch; the rest goes into the next.
func TestBatcherBounds(t *testing.T) {
	g := &gate{entered: make(chan struct{}), leave: make(chan error)}
	b := &batcher[int, int]{call: g.call}
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = b.do(context.Background(), make([]int, 1)) })
	<-g.entered
	for range 3 {
		wg.Go(func() { _, _ = b.do(context.Background(), make([]int, core.MaxBatch/2)) })
	}
	waitFor(t, func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.waiting) == 3 })
	g.leave <- nil
	for range 2 {
		<-g.entered
		g.leave <- nil
	}
	wg.Wait()
	if g.sizes[1] != core.MaxBatch || g.sizes[2] != core.MaxBatch/2 {
		t.Fatalf("batches of %v", g.sizes)
	}
}

// Who gives up before its items were sent knows that nothing happened; after
// it, nobody knows. An error of the call is everybody's.
func TestBatcherGivesUp(t *testing.T) {
	g := &gate{entered: make(chan struct{}), leave: make(chan error)}
	b := &batcher[int, int]{call: g.call}
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := b.do(context.Background(), []int{1}); core.CodeOf(err) != core.Exhausted {
			t.Errorf("the call's error became %v", err)
		}
	})
	<-g.entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := b.do(ctx, []int{2}); core.CodeOf(err) != core.Unavailable {
		t.Errorf("not sent: %v", err)
	}
	ctx, cancel = context.WithCancel(context.Background())
	wg.Go(func() {
		if _, err := b.do(ctx, []int{3}); core.CodeOf(err) != core.Indeterminate {
			t.Errorf("sent: %v", err)
		}
	})
	waitFor(t, func() bool { b.mu.Lock(); defer b.mu.Unlock(); return len(b.waiting) == 1 })
	g.leave <- core.Errorf(core.Exhausted, "test", "full")
	<-g.entered
	cancel()
	time.Sleep(10 * time.Millisecond) // the waiter leaves with its items on the way
	g.leave <- nil
	wg.Wait()
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for range 2000 {
		if ok() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("waited 2 s in vain")
}

// Buckets of devices that left are forgotten; strangers' ids get none.
func TestRatesForget(t *testing.T) {
	now := time.Unix(1000, 0)
	r := newRates(DefaultLimits(), func() time.Time { return now })
	for i := range maxBuckets {
		if err := r.take(protocol.Peer{Device: protocol.ID{byte(i), byte(i >> 8), byte(i >> 16), 1}, App: protocol.ID{byte(i)}}, false); err != nil && core.CodeOf(err) != core.Throttled {
			t.Fatal(err)
		}
	}
	if len(r.m) < maxBuckets {
		t.Fatalf("%d buckets", len(r.m))
	}
	now = now.Add(time.Minute)
	_ = r.take(protocol.Peer{Device: protocol.ID{9, 9, 9, 9}}, false)
	if len(r.m) > 10 {
		t.Fatalf("%d buckets after a minute, want the newest only", len(r.m))
	}
}

// The cache holds what it is told to and wipes it at the end.
func TestBlobCache(t *testing.T) {
	c := newBlobCache(2)
	var kept []*blob
	for i := range 3 {
		b := &blob{oprfKey: []byte{1, 2, 3}}
		kept = append(kept, b)
		c.put(protocol.Hash{byte(i)}, b)
		c.put(protocol.Hash{byte(i)}, &blob{})
	}
	if c.get(protocol.Hash{0}) != nil || c.get(protocol.Hash{1}) != kept[1] || c.get(protocol.Hash{2}) != kept[2] {
		t.Fatal("the oldest entry did not make room")
	}
	c.clear()
	if kept[2].oprfKey[0] != 0 || c.get(protocol.Hash{2}) != nil {
		t.Fatal("an entry outlived clear")
	}
}

// gatherer is a backend that says whether it gathers and counts mutations.
type gatherer struct {
	core.Backend
	gathers bool
	sizes   chan int
	ctx     context.Context
	answers int
}

func (g *gatherer) Gathers() bool { return g.gathers }

func (g *gatherer) CommitMany(ctx context.Context, ms []core.Mutation) ([]core.Result, error) {
	g.ctx = ctx
	g.sizes <- len(ms)
	return []core.Result{{Version: 4}, {}}[:g.answers], nil
}

// A backend that gathers by itself gets each mutation at once, within a bound,
// and an answer of another length is an error.
func TestPutToGatherer(t *testing.T) {
	m := core.Mutation{Key: core.Key("key"), Op: core.OpPutHot, Expect: 3}
	g := &gatherer{gathers: true, sizes: make(chan int, 10), answers: 1}
	s := newStore(g)
	v, err := s.put(context.Background(), m)
	if err != nil || v != 4 || <-g.sizes != 1 {
		t.Fatalf("version %d, %v", v, err)
	}
	if _, bounded := g.ctx.Deadline(); !bounded {
		t.Error("the call is not bounded")
	}
	for i := range s.shards {
		s.shards[i].call = func(context.Context, []core.Mutation) ([]core.Result, error) {
			return []core.Result{{Version: 5}}, nil
		}
	}
	g.gathers = false // another place was taken
	if v, err = s.put(context.Background(), m); err != nil || v != 5 || len(g.sizes) != 0 {
		t.Errorf("version %d, %v: it did not go through a batch", v, err)
	}
	g.gathers, g.answers = true, 2
	if _, err = s.put(context.Background(), m); core.CodeOf(err) != core.Internal {
		t.Errorf("two answers to one mutation: %v", err)
	}
}
