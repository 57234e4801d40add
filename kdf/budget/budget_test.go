package budget_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/kdf/argon2id"
	"github.com/keposs/keposs/kdf/budget"
)

func params(m uint64) core.Params {
	return core.NewParams(argon2id.Name, core.Param{Key: "m", N: m}, core.Param{Key: "p", N: 1}, core.Param{Key: "t", N: 1})
}

// watched counts how many derivations run at once.
type watched struct {
	core.KDF
	now, most atomic.Int32
}

func (w *watched) Memory(p core.Params) uint64 { return argon2id.New().Memory(p) }

func (w *watched) Derive(ctx context.Context, _ core.Params, _, _, out []byte) error {
	n := w.now.Add(1)
	defer w.now.Add(-1)
	for old := w.most.Load(); n > old && !w.most.CompareAndSwap(old, n); old = w.most.Load() {
	}
	time.Sleep(5 * time.Millisecond)
	clear(out)
	return nil
}

func TestMemoryBoundsConcurrency(t *testing.T) {
	w := &watched{KDF: argon2id.New()}
	k := budget.Wrap(w, budget.New(3<<20, 100))
	errs := make(chan error)
	for range 12 {
		go func() { errs <- k.Derive(t.Context(), params(1<<10), nil, make([]byte, 16), make([]byte, 32)) }()
	}
	for range 12 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := w.most.Load(); n != 3 {
		t.Errorf("%d derivations of 1 MiB at once in a budget of 3 MiB", n)
	}
	if err := k.Derive(t.Context(), params(3<<10+1), nil, make([]byte, 16), make([]byte, 32)); core.CodeOf(err) != core.TooLarge {
		t.Errorf("what never fits: %v", err)
	}
}

// A derivation that was abandoned keeps its share until its library ends.
func TestAbandonedWorkKeepsItsShare(t *testing.T) {
	b := budget.New(64<<20, 1)
	k := budget.Wrap(argon2id.New(), b)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	p := core.NewParams(argon2id.Name, core.Param{Key: "m", N: 64 << 10}, core.Param{Key: "p", N: 1}, core.Param{Key: "t", N: 20})
	start := time.Now()
	if err := k.Derive(ctx, p, nil, make([]byte, 16), make([]byte, 32)); core.CodeOf(err) != core.Canceled {
		t.Fatalf("err = %v", err)
	}
	returned := time.Since(start)
	if err := k.Derive(t.Context(), params(64), nil, make([]byte, 16), make([]byte, 32)); err != nil {
		t.Fatal(err)
	}
	if waited := time.Since(start); waited < 2*returned {
		t.Errorf("returned after %v, the next one got its share after %v: before the work ended", returned, waited)
	}
	late, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	busy := make(chan error)
	go func() { busy <- k.Derive(t.Context(), p, nil, make([]byte, 16), make([]byte, 32)) }()
	time.Sleep(5 * time.Millisecond)
	if err := k.Derive(late, params(64), nil, make([]byte, 16), make([]byte, 32)); core.CodeOf(err) != core.Timeout {
		t.Errorf("waiting for a share past the deadline: %v", err)
	}
	if err := <-busy; err != nil {
		t.Error(err)
	}
}
