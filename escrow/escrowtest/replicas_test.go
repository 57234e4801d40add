package escrowtest_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/escrowtest"
	"github.com/keposs/keposs/escrow/memory"
)

// A weakness is what a pair does wrong.
type weakness int

const (
	none    weakness = iota
	tardy            // the follower is told later than the client
	deposed          // a leader that was paused goes on answering reads
)

// behind is how many mutations the follower of a tardy pair lags at least, once
// there were so many, and half of what it lags at most.
const behind = 32

// busy is how many mutations are acknowledged before harm is done, and after.
const busy = 2 * behind

// pair is a store of two members: the leader answers, the follower has what was
// acknowledged, and takes its place when harm is done to it.
type pair struct {
	weakness
	mu               sync.Mutex
	leader, follower core.Backend
	lag              []core.Mutation // acknowledged, and not yet the follower's
	old              core.Backend    // the leader that was deposed, if it still answers
	reads            int
	acks             atomic.Int64
}

func member(ctx context.Context) (core.Backend, error) {
	b := memory.New()
	return b, b.Configure(ctx, core.Config{})
}

// Describe implements core.Backend.
func (p *pair) Describe(ctx context.Context) (core.BackendInfo, error) {
	return memory.New().Describe(ctx)
}

// Configure implements core.Backend.
func (p *pair) Configure(ctx context.Context, _ core.Config) (err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.leader, err = member(ctx); err == nil {
		p.follower, err = member(ctx)
	}
	return err
}

// CommitMany implements core.Backend.
func (p *pair) CommitMany(ctx context.Context, ms []core.Mutation) ([]core.Result, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	time.Sleep(100 * time.Microsecond) // the network, so that clients are at work when harm comes
	out, err := p.leader.CommitMany(ctx, ms)
	if err != nil {
		return out, err
	}
	for i, m := range ms {
		if out[i].Err == nil {
			p.lag = append(p.lag, m)
			p.acks.Add(1)
		}
	}
	told := len(p.lag)
	if p.weakness == tardy {
		if told -= behind; told < behind {
			return out, nil
		}
	}
	if _, err := p.follower.CommitMany(context.WithoutCancel(ctx), p.lag[:told]); err != nil {
		return nil, err
	}
	p.lag = p.lag[told:]
	return out, nil
}

// GetMany implements core.Backend.
func (p *pair) GetMany(ctx context.Context, keys []core.Key, o core.ReadOpts) ([]core.Record, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reads++
	if p.old != nil && p.reads%2 == 0 {
		return p.old.GetMany(ctx, keys, o)
	}
	return p.leader.GetMany(ctx, keys, o)
}

// Scan implements core.Backend.
func (p *pair) Scan(ctx context.Context, req core.ScanRequest) (core.Page, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leader.Scan(ctx, req)
}

// Close implements core.Backend.
func (p *pair) Close() error { return nil }

// promote has the follower lead, and a new follower begin with what it has.
func (p *pair) promote(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	next, err := member(ctx)
	if err != nil {
		return err
	}
	for req := (core.ScanRequest{Limit: 100}); ; {
		page, err := p.follower.(core.Exporter).Export(ctx, req)
		if err == nil {
			err = next.(core.Exporter).Import(ctx, page.Records, page.Deleted)
		}
		if err != nil {
			return err
		}
		if page.Next == nil {
			break
		}
		req.After = page.Next
	}
	if p.weakness == deposed {
		p.old = p.leader
	}
	p.leader, p.follower, p.lag = p.follower, next, nil
	return nil
}

// replicated is a pair to which harm can be done, or one without its weakness.
func replicated(w weakness) func(*testing.T, bool) escrowtest.Harness {
	return func(_ *testing.T, faulty bool) escrowtest.Harness {
		if faulty {
			return harmable(w)
		}
		return harmable(none)
	}
}

func harmable(w weakness) escrowtest.Harness {
	var now *pair // of the case that runs
	written := func(ctx context.Context) {
		for end := now.acks.Load() + busy; now.acks.Load() < end && ctx.Err() == nil; {
			time.Sleep(time.Millisecond)
		}
	}
	harm := func(ctx context.Context) error {
		written(ctx)
		err := now.promote(ctx)
		written(ctx)
		return err
	}
	h := volatile(func(core.Backend) core.Backend { now = &pair{weakness: w}; return now })
	h.Harms = map[string]func(context.Context) error{"leader-pause": harm}
	if w != deposed { // who is killed answers nobody
		h.Harms["leader-kill"] = harm
	}
	return h
}
