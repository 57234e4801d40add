package escrowtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/keposs/keposs/core"
)

var contexts = []Case{
	{"EndedBefore", "A call whose context has ended does nothing and says Unavailable (or Canceled, Timeout).",
		"Look at ctx first.", "E", 0, endedBefore},
	{"EndedDuring", "A deadline during a commit gives Unavailable only if it is certainly not applied, else Indeterminate; the same ReqID then gives the one true answer.",
		"Once the mutation was sent, only the store knows.", "E", 0, endedDuring},
	{"CodesOnly", "Every error is a *core.Error with a code of the contract.", "Map driver errors in one table.", "E", 0, codesOnly},
	{"ErrorsTellNoContent", "No error text holds a key, Hot or Blob.", "Drivers quote their arguments; do not pass those on.", "E", 0, errorsTellNothing},
	{"CloseDuringCalls", "Close during calls lets each end with its answer or with Closed, Unavailable or Indeterminate.",
		"Hold a read lock during calls.", "E", 0, closeDuringCalls},
	{"Fences", "With Fencer, a mutation with a fence below the raised one is Fenced and changes nothing; a fence never falls, also across reopening.",
		"Check the fence in the same transaction.", "E", 0, fences},
	{"Healthy", "With Healther, a working store is healthy and a closed one is not.", "Ask the engine, not a flag.", "E", 0,
		func(ctx context.Context, r *Rig) error {
			b, err := r.Fresh(ctx)
			if err != nil {
				return err
			}
			h, ok := b.Backend.(core.Healther)
			if !ok {
				return Skip("this backend does not report health")
			}
			if err := h.Health(ctx); errors.Is(err, core.Unsupported) {
				return Skip("this backend does not report health")
			} else if err != nil {
				return fmt.Errorf("working store: %w", err)
			}
			if err := b.Close(); err != nil {
				return err
			}
			if h.Health(ctx) == nil {
				return errors.New("a closed store calls itself healthy")
			}
			return nil
		}},
}

func notApplied(err error) bool {
	return errors.Is(err, core.Unavailable) || errors.Is(err, core.Canceled) || errors.Is(err, core.Timeout)
}

func endedBefore(ctx context.Context, r *Rig) error {
	b, err := r.Common(ctx)
	if err != nil {
		return err
	}
	k := newKeys().at(0)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	late, cancel := context.WithDeadline(ctx, time.Now().Add(-time.Second))
	defer cancel()
	for _, c := range []context.Context{gone, late} {
		if _, err := commit(c, b, put(k, 0, "h", "b")); !notApplied(err) {
			return fmt.Errorf("CommitMany: %v, want unavailable", err)
		}
		if _, err := get(c, b, k); !notApplied(err) {
			return fmt.Errorf("read: %v, want unavailable", err)
		}
		if _, err := b.Scan(c, core.ScanRequest{Limit: 1}); !notApplied(err) {
			return fmt.Errorf("scan: %v, want unavailable", err)
		}
	}
	return holds(ctx, b, k, 0, "", "")
}

func endedDuring(ctx context.Context, r *Rig) error {
	b, err := r.Common(ctx)
	if err != nil {
		return err
	}
	ks := newKeys()
	const clients = 32
	errs := make([]error, clients)
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for n := range 3 {
				m := put(ks.at(c*3+n), 0, "h", "b")
				short, cancel := context.WithTimeout(ctx, time.Duration(c*80+n*30)*time.Microsecond)
				_, err := commit(short, b, m)
				cancel()
				switch {
				case err == nil:
				case notApplied(err):
					time.Sleep(5 * time.Millisecond) // if it were still on its way, it would land now
					rec, gerr := get(ctx, b, m.Key)
					if gerr != nil || rec.Version != 0 {
						errs[c] = fmt.Errorf("answered %v, yet the record is at version %d (%v)", err, rec.Version, gerr)
						return
					}
				case errors.Is(err, core.Indeterminate):
				default:
					errs[c] = fmt.Errorf("deadline gave %w", err)
					return
				}
				if v, err := commit(ctx, b, m); err != nil || v != 1 {
					errs[c] = fmt.Errorf("same request again: version %d, %v; want 1", v, err)
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// contractCodes are what core.Backend may answer with; State only around Configure.
var contractCodes = map[core.Code]bool{
	core.NotFound: true, core.Conflict: true, core.TooLarge: true, core.Invalid: true, core.Exhausted: true,
	core.Throttled: true, core.Unavailable: true, core.Indeterminate: true, core.Corrupt: true, core.Fenced: true,
	core.Unsupported: true, core.Closed: true, core.State: true, core.Canceled: true, core.Timeout: true,
}

// provoke collects the errors a store can be made to give.
func provoke(ctx context.Context, b core.Backend, mark string) []error {
	k := core.Key(mark + "-key")
	gone, cancel := context.WithCancel(ctx)
	cancel()
	var errs []error
	for _, m := range []core.Mutation{
		put(k, 0, mark, mark), put(k, 0, mark, mark), putHot(k, 9, mark), del(k, 9), {Key: k, Op: 77, Hot: []byte(mark)},
		{Key: k, Expect: 1, Op: core.OpPutHot, Hot: []byte(strings.Repeat(mark, 90))}, {Key: core.Key(strings.Repeat(mark, 9)), Op: core.OpPut},
		putHot(core.Key(mark+"-absent"), 1, mark),
	} {
		_, err := commit(ctx, b, m)
		_, late := commit(gone, b, m)
		errs = append(errs, err, late)
	}
	_, e1 := get(gone, b, k)
	_, e2 := b.GetMany(ctx, []core.Key{core.Key(strings.Repeat(mark, 9))}, core.ReadOpts{})
	_, e3 := b.Scan(ctx, core.ScanRequest{After: k, Limit: -1})
	return append(errs, e1, e2, e3)
}

func codesOnly(ctx context.Context, r *Rig) error {
	b, err := r.Common(ctx)
	if err != nil {
		return err
	}
	for _, err := range provoke(ctx, b, "codesonly") {
		if err == nil {
			continue
		}
		var e *core.Error
		if !errors.As(err, &e) || !contractCodes[e.Code] {
			return fmt.Errorf("error %q is not of the contract", err)
		}
	}
	return nil
}

func errorsTellNothing(ctx context.Context, r *Rig) error {
	b, err := r.Common(ctx)
	if err != nil {
		return err
	}
	const mark = "PLANTED7c1f"
	for _, err := range provoke(ctx, b, mark) {
		if err == nil {
			continue
		}
		text := fmt.Sprintf("%v %+v %x", err, err, err.Error())
		if strings.Contains(text, mark) || strings.Contains(text, fmt.Sprintf("%x", mark)) {
			return fmt.Errorf("an error tells what it was given: %w", err)
		}
	}
	return nil
}

func closeDuringCalls(ctx context.Context, r *Rig) error {
	b, err := r.Fresh(ctx)
	if err != nil {
		return err
	}
	ks := newKeys()
	const clients = 16
	errs := make([]error, clients)
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for n := 0; ; n++ {
				_, err := commit(ctx, b, put(ks.at(c*100000+n), 0, "h", "b"))
				if err == nil {
					_, err = get(ctx, b, ks.at(c*100000+n))
				}
				if err == nil {
					continue
				}
				if code := core.CodeOf(err); code != core.Closed && code != core.Unavailable && code != core.Indeterminate {
					errs[c] = err
				}
				return
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	err = b.Close()
	wg.Wait()
	return errors.Join(append(errs, err)...)
}

func fences(ctx context.Context, r *Rig) error {
	b, err := r.Fresh(ctx)
	if err != nil {
		return err
	}
	f, ok := b.Backend.(core.Fencer)
	if !ok {
		return Skip("this backend has no fence")
	}
	k := newKeys().at(0)
	fenced := func(m core.Mutation, fence uint64) core.Mutation { m.Fence = fence; return m }
	if err := f.RaiseFence(ctx, 5); err != nil {
		if errors.Is(err, core.Unsupported) {
			return Skip("this backend has no fence")
		}
		return err
	}
	if err := first(
		refused(ctx, b, fenced(put(k, 0, "x", "x"), 4), core.Fenced, 0), holds(ctx, b, k, 0, "", ""),
		want(ctx, b, fenced(put(k, 0, "h", "b"), 5), 1), want(ctx, b, fenced(putHot(k, 1, "h"), 6), 2),
		want(ctx, b, putHot(k, 2, "h"), 3)); err != nil {
		return err
	}
	if err := f.RaiseFence(ctx, 4); !errors.Is(err, core.Fenced) {
		return fmt.Errorf("lowering the fence: %v, want fenced", err)
	}
	if !r.Durable {
		return nil
	}
	if err := b.Reopen(ctx); err != nil {
		return err
	}
	return refused(ctx, b, fenced(putHot(k, 3, "x"), 4), core.Fenced, 0)
}
