package escrowtest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/keposs/keposs/core"
)

var versions = []Case{
	{"Ladder", "A create makes version 1, a success Expect+1, and a CAS on any other version is Conflict that tells the current one.",
		"The store must count the rows it matched.", "B", 0,
		func(ctx context.Context, r *Rig) error {
			b, err := r.Common(ctx)
			if err != nil {
				return err
			}
			k := newKeys().at(0)
			return first(
				want(ctx, b, put(k, 0, "1", "1"), 1), refused(ctx, b, put(k, 0, "x", "x"), core.Conflict, 1),
				want(ctx, b, put(k, 1, "2", "2"), 2), refused(ctx, b, put(k, 1, "x", "x"), core.Conflict, 2),
				refused(ctx, b, put(k, 3, "x", "x"), core.Conflict, 2), refused(ctx, b, putHot(k, 1, "x"), core.Conflict, 2),
				refused(ctx, b, del(k, 1), core.Conflict, 2), want(ctx, b, putHot(k, 2, "3"), 3),
				refused(ctx, b, put(k, 1<<62, "x", "x"), core.Conflict, 3),
				holds(ctx, b, k, 3, "3", "2"))
		}},
	{"AbsentIsNotFound", "Put with Expect, PutHot and Delete on a key never seen are NotFound with Current 0.",
		"Nothing matched is not Conflict.", "B", 0,
		func(ctx context.Context, r *Rig) error {
			b, err := r.Common(ctx)
			if err != nil {
				return err
			}
			k := newKeys().at(0)
			return first(
				refused(ctx, b, put(k, 1, "x", "x"), core.NotFound, 0), refused(ctx, b, putHot(k, 1, "x"), core.NotFound, 0),
				refused(ctx, b, del(k, 1), core.NotFound, 0), holds(ctx, b, k, 0, "", ""))
		}},
	{"NeverReused", "Versions grow strictly across delete and re-create; NotFound tells the tombstone's.",
		"Keep a tombstone with its version for ever.", "B", 0, neverReused},
	{"RepeatSameAnswer", "The same ReqID gives the same result and applies once, for create, put, put-hot and delete.",
		"Store the ReqID with the version it made.", "B", 0, repeatSame},
	{"RepeatOtherContent", "The same ReqID with other content is Invalid and changes nothing.",
		"Compare content when the ReqID matches.", "B", 0, repeatOther},
	{"OldRequestConflicts", "A ReqID that is no longer the key's latest loses like any other mutation.",
		"Only the latest ReqID is remembered.", "B", 0,
		func(ctx context.Context, r *Rig) error {
			b, err := r.Common(ctx)
			if err != nil {
				return err
			}
			k := newKeys().at(0)
			create := put(k, 0, "1", "1")
			return first(
				want(ctx, b, create, 1), want(ctx, b, putHot(k, 1, "2"), 2),
				refused(ctx, b, create, core.Conflict, 2), holds(ctx, b, k, 2, "2", "1"))
		}},
	{"ZeroRequestID", "The zero ReqID names no request: a mutation with it is never taken for a repetition.",
		"Treat it as absent.", "B", 0,
		func(ctx context.Context, r *Rig) error {
			b, err := r.Common(ctx)
			if err != nil {
				return err
			}
			k := newKeys().at(0)
			create, hot := put(k, 0, "1", "1"), putHot(k, 1, "1")
			create.ReqID, hot.ReqID = core.ReqID{}, core.ReqID{}
			return first(
				want(ctx, b, create, 1), refused(ctx, b, create, core.Conflict, 1),
				want(ctx, b, hot, 2), refused(ctx, b, hot, core.Conflict, 2))
		}},
	{"Counters", "Increments by many clients through compare-and-set add up exactly.",
		"A lost update or a doubled repetition shows here.", "B", 0,
		func(ctx context.Context, r *Rig) error { return counters(ctx, r, 16, 8, 320) }},
	{"CountersFull", "10,000 increments by 64 clients are 10,000.",
		"A lost update or a doubled repetition shows here.", "B", 1,
		func(ctx context.Context, r *Rig) error { return counters(ctx, r, 64, 64, 10000) }},
}

func neverReused(ctx context.Context, r *Rig) error {
	b, err := r.Common(ctx)
	if err != nil {
		return err
	}
	k := newKeys().at(0)
	var v core.Version
	for round := range 3 {
		hot := fmt.Sprint(round)
		if err := first(
			want(ctx, b, put(k, 0, hot, hot), v+1), want(ctx, b, putHot(k, v+1, "h"), v+2),
			want(ctx, b, del(k, v+2), v+3), refused(ctx, b, del(k, v+2), core.NotFound, v+3),
			refused(ctx, b, putHot(k, v+3, "x"), core.NotFound, v+3), refused(ctx, b, put(k, v+3, "x", "x"), core.NotFound, v+3),
			holds(ctx, b, k, 0, "", "")); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		v += 3
	}
	return nil
}

func repeatSame(ctx context.Context, r *Rig) error {
	b, err := r.Common(ctx)
	if err != nil {
		return err
	}
	k := newKeys().at(0)
	steps := []core.Mutation{put(k, 0, "1", "1"), putHot(k, 1, "2"), put(k, 2, "3", "3"), del(k, 3), put(k, 0, "5", "5")}
	for i, m := range steps {
		for try := range 3 {
			if err := want(ctx, b, m, core.Version(i+1)); err != nil {
				return fmt.Errorf("time %d: %w", try+1, err)
			}
		}
		// A repetition inside the same call is one too.
		res, err := b.CommitMany(ctx, []core.Mutation{m, m})
		if err != nil {
			return err
		}
		for _, one := range res {
			if one.Err != nil || one.Version != core.Version(i+1) {
				return fmt.Errorf("repeated twice in one call: version %d, %v; want %d", one.Version, one.Err, i+1)
			}
		}
	}
	return holds(ctx, b, k, 5, "5", "5")
}

func repeatOther(ctx context.Context, r *Rig) error {
	b, err := r.Common(ctx)
	if err != nil {
		return err
	}
	k := newKeys().at(0)
	m := put(k, 0, "hot", "blob")
	if err := want(ctx, b, m, 1); err != nil {
		return err
	}
	hot, blob, gone := m, m, m
	hot.Hot = []byte("other")
	blob.Blob = []byte("other")
	gone.Op, gone.Hot, gone.Blob, gone.Expect = core.OpDelete, nil, nil, 1
	for name, bad := range map[string]core.Mutation{"hot": hot, "blob": blob, "op": gone} {
		if err := refused(ctx, b, bad, core.Invalid, 0); err != nil {
			return fmt.Errorf("repeated with another %s: %w", name, err)
		}
	}
	return holds(ctx, b, k, 1, "hot", "blob")
}

// increment adds one to the counter in k's Hot, retrying as callers of a
// backend do, and returns the attempts it took.
func increment(ctx context.Context, b core.Backend, k core.Key) error {
	for {
		rec, err := get(ctx, b, k)
		if err != nil {
			return err
		}
		if len(rec.Hot) != 8 {
			return fmt.Errorf("the counter was acknowledged and reads as %d bytes", len(rec.Hot))
		}
		m := core.Mutation{Key: k, Expect: rec.Version, Op: core.OpPutHot, ReqID: reqID(),
			Hot: binary.BigEndian.AppendUint64(nil, binary.BigEndian.Uint64(rec.Hot)+1)}
		for {
			_, err = commit(ctx, b, m)
			if !errors.Is(err, core.Indeterminate) || ctx.Err() != nil {
				break
			}
		}
		switch {
		case err == nil:
			return nil
		case errors.Is(err, core.Conflict), errors.Is(err, core.Unavailable) && ctx.Err() == nil, errors.Is(err, core.Throttled):
		default:
			return err
		}
	}
}

func counters(ctx context.Context, r *Rig, clients, spread, total int) error {
	b, err := r.Common(ctx)
	if err != nil {
		return err
	}
	ks := newKeys()
	for i := range spread {
		if err := want(ctx, b, put(ks.at(i), 0, string(make([]byte, 8)), "b"), 1); err != nil {
			return err
		}
	}
	var wg sync.WaitGroup
	errs := make([]error, clients)
	for c := range clients {
		wg.Go(func() {
			for n := c; n < total && errs[c] == nil; n += clients {
				errs[c] = increment(ctx, b, ks.at(n%spread))
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	var sum uint64
	for i := range spread {
		rec, err := get(ctx, b, ks.at(i))
		if err != nil {
			return err
		}
		n := binary.BigEndian.Uint64(rec.Hot)
		if rec.Version != core.Version(n+1) {
			return fmt.Errorf("counter %d is %d at version %d", i, n, rec.Version)
		}
		sum += n
	}
	if sum != uint64(total) {
		return fmt.Errorf("%d increments count %d", total, sum)
	}
	return nil
}
