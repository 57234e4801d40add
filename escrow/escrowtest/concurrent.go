package escrowtest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/keposs/keposs/core"
)

var concurrent = []Case{
	{"Linearizable", "Reads and compare-and-sets of concurrent clients, through two handles where the backend is shared, have one order per key that explains every answer.",
		"Cached reads, lost updates and early answers show here.", "F", 0,
		func(ctx context.Context, r *Rig) error { return linearizable(ctx, r, 8, 4, 60) }},
	{"LinearizableLong", "The same over many more operations.", "Cached reads, lost updates and early answers show here.", "F", 1,
		func(ctx context.Context, r *Rig) error { return linearizable(ctx, r, 16, 8, 600) }},
	{"NeverTorn", "Hot and Blob of one answer belong to one state.", "Write and read both in one transaction.", "F", 0, neverTorn},
	{"OneCreator", "Of many clients that create one key exactly one wins; the others get Conflict with version 1.",
		"The first insert decides.", "F", 0, oneCreator},
	{"OneRepetition", "One request sent by many at once is applied once and answered the same to all.",
		"The ReqID must be checked in the transaction that writes.", "F", 0, oneRepetition},
	{"LosersConflict", "Contention is Conflict, never an error of the server.", "Retry serialisation failures inside.", "F", 0, losersConflict},
	{"SecondHandle", "A second handle on the same place either works, and each sees at once what the other wrote, or is refused clearly and harmlessly.",
		"Lock what cannot be shared.", "F", 0, secondHandle},
}

// neverTorn writes Hot and Blob that name their blob's revision and reads both.
func neverTorn(ctx context.Context, r *Rig) error {
	b, err := r.Common(ctx)
	if err != nil {
		return err
	}
	k := newKeys().at(0)
	state := func(n uint64) (hot, blob string) {
		hot = string(binary.BigEndian.AppendUint64(nil, n))
		return hot, strings.Repeat(hot, 200)
	}
	hot, blob := state(1)
	if err := want(ctx, b, put(k, 0, hot, blob), 1); err != nil {
		return err
	}
	var done atomic.Bool
	errs := make([]error, 3)
	var wg sync.WaitGroup
	for c := range 2 {
		wg.Go(func() {
			for errs[c] == nil && !done.Load() {
				rec, err := get(ctx, b, k)
				if err != nil {
					errs[c] = err
				} else if want := strings.Repeat(string(rec.Hot), 200); want != string(rec.Blob) {
					errs[c] = fmt.Errorf("version %d has a hot part of one state and a blob of another", rec.Version)
				}
			}
		})
	}
	for v := core.Version(1); v < 120 && errs[2] == nil; v++ {
		hot, blob := state(uint64(v) + 1)
		errs[2] = want(ctx, b, put(k, v, hot, blob), v+1)
	}
	done.Store(true)
	wg.Wait()
	return errors.Join(errs...)
}

func oneCreator(ctx context.Context, r *Rig) error {
	b, err := r.Common(ctx)
	if err != nil {
		return err
	}
	ks := newKeys()
	for round := range 5 {
		var wins atomic.Int32
		errs := make([]error, 32)
		var wg sync.WaitGroup
		for c := range errs {
			wg.Go(func() {
				v, err := commit(ctx, b, put(ks.at(round), 0, fmt.Sprint(c), "b"))
				switch {
				case err == nil && v == 1:
					wins.Add(1)
				case err == nil:
					errs[c] = fmt.Errorf("created version %d", v)
				default:
					errs[c] = isCode(err, core.Conflict, 1)
				}
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		if wins.Load() != 1 {
			return fmt.Errorf("%d of %d creators won", wins.Load(), len(errs))
		}
	}
	return nil
}

func oneRepetition(ctx context.Context, r *Rig) error {
	b, err := r.Common(ctx)
	if err != nil {
		return err
	}
	k := newKeys().at(0)
	steps := []core.Mutation{put(k, 0, "1", "1"), putHot(k, 1, "2"), del(k, 2), put(k, 0, "4", "4")}
	for i, m := range steps {
		errs := make([]error, 16)
		var wg sync.WaitGroup
		for c := range errs {
			wg.Go(func() { errs[c] = want(ctx, b, m, core.Version(i+1)) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	return holds(ctx, b, k, 4, "4", "4")
}

func losersConflict(ctx context.Context, r *Rig) error {
	b, err := r.Common(ctx)
	if err != nil {
		return err
	}
	k := newKeys().at(0)
	if err := want(ctx, b, put(k, 0, "h", "b"), 1); err != nil {
		return err
	}
	var wins atomic.Int64
	errs := make([]error, 32)
	var wg sync.WaitGroup
	for c := range errs {
		wg.Go(func() {
			v := core.Version(1)
			for range 8 {
				got, err := commit(ctx, b, putHot(k, v, fmt.Sprint(c)))
				var e *core.Error
				switch {
				case err == nil:
					wins.Add(1)
					v = got
				case errors.As(err, &e) && e.Code == core.Conflict && e.Current > v:
					v = e.Current
				default:
					errs[c] = fmt.Errorf("a loser got %w", err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	rec, err := get(ctx, b, k)
	if err != nil {
		return err
	}
	if rec.Version != core.Version(1+wins.Load()) {
		return fmt.Errorf("%d wins led to version %d", wins.Load(), rec.Version)
	}
	return nil
}

func secondHandle(ctx context.Context, r *Rig) error {
	b, err := r.Fresh(ctx)
	if err != nil {
		return err
	}
	k := newKeys().at(0)
	if err := want(ctx, b, put(k, 0, "h1", "b"), 1); err != nil {
		return err
	}
	other, err := b.Second(ctx)
	if !r.Shared {
		if err == nil {
			_ = other.Close()
			if !r.Durable {
				return Skip("this backend keeps nothing another handle could see")
			}
			return errors.New("a place that cannot be shared was opened twice")
		}
		if err := isCode(err, core.Unavailable, 0); err != nil {
			return fmt.Errorf("second handle: %w", err)
		}
		return first(holds(ctx, b, k, 1, "h1", "b"), want(ctx, b, putHot(k, 1, "h2"), 2))
	}
	if err != nil {
		return fmt.Errorf("second handle: %w", err)
	}
	defer other.Close()
	for v := core.Version(1); v < 40; v += 2 {
		if err := first( // each has read the state that the other changes
			want(ctx, b, putHot(k, v, "b"), v+1), holds(ctx, other, k, v+1, "b", "b"), holds(ctx, b, k, v+1, "b", "b"),
			want(ctx, other, putHot(k, v+1, "o"), v+2), holds(ctx, b, k, v+2, "o", "b"), holds(ctx, other, k, v+2, "o", "b")); err != nil {
			return err
		}
	}
	return nil
}
