package escrowtest

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/keposs/keposs/core"
)

var batches = []Case{
	{"EachOnItsOwn", "Each mutation of a call is applied or refused on its own, results in order.",
		"One loser must not undo its neighbours.", "C", 0, eachOnItsOwn},
	{"SameKeyInOrder", "Two mutations of one key in a call are applied in order.",
		"Sorting or mapping by key loses the order.", "C", 0, sameKeyInOrder},
	{"LargestBatch", "1,024 keys or mutations are taken, 1,025 are TooLarge and change nothing.",
		"Check the count first.", "C", 0, largestBatch},
	{"HeavyBatch", "A batch of large blobs is taken whole.", "Look at message and transaction limits.", "C", 0,
		func(ctx context.Context, r *Rig) error { return heavyBatch(ctx, r, 40) }},
	{"HeaviestBatch", "1,024 blobs of 64 KiB in one call are taken whole.", "Look at message and transaction limits.", "C", 1,
		func(ctx context.Context, r *Rig) error { return heavyBatch(ctx, r, core.MaxBatch) }},
	{"GetManyInOrder", "GetMany answers in the order asked, doubled and absent keys included.",
		"Answer by position, not by key.", "C", 0, getManyInOrder},
}

func eachOnItsOwn(ctx context.Context, r *Rig) error {
	b, err := r.Common(ctx)
	if err != nil {
		return err
	}
	ks := newKeys()
	if err := want(ctx, b, put(ks.at(1), 0, "old", "old"), 1); err != nil {
		return err
	}
	res, err := b.CommitMany(ctx, []core.Mutation{
		put(ks.at(0), 0, "a", "a"), put(ks.at(1), 0, "x", "x"), {Key: ks.at(2)},
		putHot(ks.at(3), 1, "x"), put(ks.at(4), 0, "e", "e"), putHot(ks.at(1), 1, "new"),
	})
	if err != nil {
		return err
	}
	if len(res) != 6 {
		return fmt.Errorf("%d results for 6 mutations", len(res))
	}
	for i, w := range []struct {
		v       core.Version
		code    core.Code
		current core.Version
	}{{1, 0, 0}, {0, core.Conflict, 1}, {0, core.Invalid, 0}, {0, core.NotFound, 0}, {1, 0, 0}, {2, 0, 0}} {
		if w.code != 0 {
			if err := isCode(res[i].Err, w.code, w.current); err != nil {
				return fmt.Errorf("mutation %d: %w", i, err)
			}
		} else if res[i].Err != nil || res[i].Version != w.v {
			return fmt.Errorf("mutation %d: version %d, %v; want %d", i, res[i].Version, res[i].Err, w.v)
		}
	}
	return first(holds(ctx, b, ks.at(0), 1, "a", "a"), holds(ctx, b, ks.at(1), 2, "new", "old"),
		holds(ctx, b, ks.at(2), 0, "", ""), holds(ctx, b, ks.at(4), 1, "e", "e"))
}

func sameKeyInOrder(ctx context.Context, r *Rig) error {
	b, err := r.Common(ctx)
	if err != nil {
		return err
	}
	k, other := newKeys().at(0), newKeys().at(0)
	res, err := b.CommitMany(ctx, []core.Mutation{
		put(k, 0, "1", "1"), put(other, 0, "o", "o"), putHot(k, 1, "2"), put(k, 2, "3", "3"),
		del(k, 3), put(k, 3, "x", "x"), put(k, 0, "5", "5"), putHot(k, 5, "6"),
	})
	if err != nil {
		return err
	}
	for i, v := range []core.Version{1, 1, 2, 3, 4, 0, 5, 6} {
		if v == 0 {
			if err := isCode(res[i].Err, core.NotFound, 4); err != nil {
				return fmt.Errorf("mutation %d: %w", i, err)
			}
		} else if res[i].Err != nil || res[i].Version != v {
			return fmt.Errorf("mutation %d: version %d, %v; want %d", i, res[i].Version, res[i].Err, v)
		}
	}
	return first(holds(ctx, b, k, 6, "6", "5"), holds(ctx, b, other, 1, "o", "o"))
}

func largestBatch(ctx context.Context, r *Rig) error {
	b, err := r.Common(ctx)
	if err != nil {
		return err
	}
	ks := newKeys()
	ms, gets := make([]core.Mutation, core.MaxBatch+1), make([]core.Key, core.MaxBatch+1)
	for i := range ms {
		ms[i], gets[i] = put(ks.at(i), 0, "h", "b"), ks.at(i)
	}
	if _, err := b.CommitMany(ctx, ms); isCode(err, core.TooLarge, 0) != nil {
		return fmt.Errorf("1,025 mutations: %v, want too-large", err)
	}
	if err := holds(ctx, b, ks.at(0), 0, "", ""); err != nil {
		return fmt.Errorf("after a refused batch: %w", err)
	}
	if _, err := b.GetMany(ctx, gets, core.ReadOpts{}); isCode(err, core.TooLarge, 0) != nil {
		return fmt.Errorf("1,025 keys: %v, want too-large", err)
	}
	res, err := b.CommitMany(ctx, ms[:core.MaxBatch])
	if err != nil {
		return err
	}
	for i, one := range res {
		if one.Err != nil || one.Version != 1 {
			return fmt.Errorf("mutation %d: version %d, %v", i, one.Version, one.Err)
		}
	}
	rs, err := b.GetMany(ctx, gets[:core.MaxBatch], core.ReadOpts{})
	if err != nil {
		return err
	}
	for i, rec := range rs {
		if rec.Version != 1 || !bytes.Equal(rec.Key, gets[i]) {
			return fmt.Errorf("record %d has version %d", i, rec.Version)
		}
	}
	return nil
}

func heavyBatch(ctx context.Context, r *Rig, n int) error {
	b, err := r.Fresh(ctx)
	if err != nil {
		return err
	}
	ks, blob := newKeys(), strings.Repeat("0123456789abcdef", core.MaxBlob/16)
	ms, gets := make([]core.Mutation, n), make([]core.Key, n)
	for i := range ms {
		ms[i], gets[i] = put(ks.at(i), 0, "h", blob), ks.at(i)
	}
	res, err := b.CommitMany(ctx, ms)
	if err != nil {
		return err
	}
	for i, one := range res {
		if one.Err != nil {
			return fmt.Errorf("mutation %d: %w", i, one.Err)
		}
	}
	rs, err := b.GetMany(ctx, gets, core.ReadOpts{})
	if err != nil {
		return err
	}
	for i, rec := range rs {
		if string(rec.Blob) != blob {
			return fmt.Errorf("record %d has a blob of %d bytes", i, len(rec.Blob))
		}
	}
	return nil
}

func getManyInOrder(ctx context.Context, r *Rig) error {
	b, err := r.Common(ctx)
	if err != nil {
		return err
	}
	ks := newKeys()
	for i := range 4 {
		if err := want(ctx, b, put(ks.at(i), 0, fmt.Sprint(i), ""), 1); err != nil {
			return err
		}
	}
	order := []int{3, 9, 0, 3, 1, 9, 2, 0}
	var gets []core.Key
	for _, i := range order {
		gets = append(gets, ks.at(i))
	}
	rs, err := b.GetMany(ctx, gets, core.ReadOpts{})
	if err != nil {
		return err
	}
	if len(rs) != len(order) {
		return fmt.Errorf("%d records for %d keys", len(rs), len(order))
	}
	for p, i := range order {
		if !bytes.Equal(rs[p].Key, gets[p]) || i == 9 && rs[p].Version != 0 || i != 9 && string(rs[p].Hot) != fmt.Sprint(i) {
			return fmt.Errorf("position %d: version %d, hot %q; asked for record %d", p, rs[p].Version, rs[p].Hot, i)
		}
	}
	return nil
}
