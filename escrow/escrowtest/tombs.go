package escrowtest

import (
	"context"
	"fmt"
	"strings"

	"github.com/keposs/keposs/core"
)

var tombstones = []Case{
	{"DeadAfterTidying", "A deleted key stays dead, and its version known, while the store compacts and collects, and after reopening.",
		"A tombstone is a record: keep it through every rewrite.", "N", 1, deadAfterTidying},
	{"DeadAfterRestore", "An older state imported over a deleted key does not bring it back, whichever of the two comes first.",
		"Export tombstones, and compare versions with them.", "N", 1, deadAfterRestore},
}

// churn makes n records and deletes every second one, some after being made
// again. tomb tells the versions of the tombstones.
func churn(ctx context.Context, b core.Backend, ks keys, n int) (tomb map[int]core.Version, err error) {
	tomb = map[int]core.Version{}
	blob := strings.Repeat("dead or alive", 150)
	for from := 0; from < n; from += 100 {
		var ms []core.Mutation
		for i := from; i < min(n, from+100); i++ {
			k := ks.at(i)
			ms = append(ms, put(k, 0, "h", blob), putHot(k, 1, "h2"))
			switch i % 4 {
			case 1:
				ms = append(ms, del(k, 2))
				tomb[i] = 3
			case 3:
				ms = append(ms, del(k, 2), put(k, 0, "again", blob), del(k, 4))
				tomb[i] = 5
			}
		}
		res, err := b.CommitMany(ctx, ms)
		if err != nil {
			return nil, err
		}
		for i, one := range res {
			if one.Err != nil {
				return nil, fmt.Errorf("mutation %d: %w", i, one.Err)
			}
		}
	}
	return tomb, nil
}

// buried expects the tombstones, and the other records alive.
func buried(ctx context.Context, b core.Backend, ks keys, n int, tomb map[int]core.Version) error {
	for _, tombs := range []bool{false, true} {
		seen := map[string]core.Version{}
		if err := walk(ctx, b, core.ScanRequest{Limit: 90, Tombs: tombs}, func(r core.Record, dead bool) error {
			if dead {
				seen[string(r.Key)] = r.Version
			} else {
				seen[string(r.Key)] = 0
			}
			return nil
		}); err != nil {
			return err
		}
		for i := range n {
			v, there := seen[string(ks.at(i))]
			switch dead := tomb[i]; {
			case dead == 0 && (!there || v != 0):
				return fmt.Errorf("record %d is alive and not shown so", i)
			case dead != 0 && there != tombs, dead != 0 && there && v != dead:
				return fmt.Errorf("record %d was deleted by version %d; a scan (tombstones: %t) shows it: %t, version %d", i, dead, tombs, there, v)
			}
		}
	}
	for i, v := range tomb {
		if err := first(holds(ctx, b, ks.at(i), 0, "", ""), refused(ctx, b, putHot(ks.at(i), v, "x"), core.NotFound, v)); err != nil {
			return fmt.Errorf("record %d, deleted: %w", i, err)
		}
	}
	return nil
}

func deadAfterTidying(ctx context.Context, r *Rig) error {
	f, err := r.Fresh(ctx)
	if err != nil {
		return err
	}
	const n = 200
	ks := newKeys()
	tomb, err := churn(ctx, f, ks, n)
	if err != nil {
		return err
	}
	for range r.rounds(2) {
		if _, err := churn(ctx, f, newKeys(), n); err != nil { // something for the engine to move
			return err
		}
		if r.Tidy != nil {
			if err := r.Tidy(ctx, f.Place, f.Backend); err != nil {
				return fmt.Errorf("harness: tidy: %w", err)
			}
			if err := buried(ctx, f, ks, n, tomb); err != nil {
				return fmt.Errorf("after tidying: %w", err)
			}
		}
		if !r.Durable {
			continue
		}
		if err := f.Reopen(ctx); err != nil {
			return err
		}
		if err := buried(ctx, f, ks, n, tomb); err != nil {
			return fmt.Errorf("after reopening: %w", err)
		}
	}
	if err := buried(ctx, f, ks, n, tomb); err != nil {
		return err
	}
	for i, v := range tomb { // and goes on when it is made again
		return want(ctx, f, put(ks.at(i), 0, "h", "b"), v+1)
	}
	return nil
}

func deadAfterRestore(ctx context.Context, r *Rig) error {
	f, x, err := freshExporter(ctx, r)
	if err != nil {
		return err
	}
	const n = 60
	ks := newKeys()
	if err := fill(ctx, f, ks, n, "b"); err != nil {
		return err
	}
	type snapshot struct {
		recs []core.Record
		dead []bool
	}
	take := func() (s snapshot, err error) {
		err = export(ctx, x, 500, func(one core.Record, gone bool) error {
			s.recs, s.dead = append(s.recs, one), append(s.dead, gone)
			return nil
		})
		return s, err
	}
	before, err := take()
	if err != nil {
		return err
	}
	tomb := map[int]core.Version{}
	for i := 0; i < n; i += 2 {
		if err := want(ctx, f, del(ks.at(i), 1), 2); err != nil {
			return err
		}
		tomb[i] = 2
	}
	after, err := take()
	if err != nil {
		return err
	}
	if err := first(bring(ctx, x, before.recs, before.dead), buried(ctx, f, ks, n, tomb)); err != nil {
		return fmt.Errorf("an older state imported over it: %w", err)
	}
	for _, order := range [][]snapshot{{before, after}, {after, before}} {
		g, y, err := freshExporter(ctx, r)
		if err != nil {
			return err
		}
		for _, s := range order {
			if err := bring(ctx, y, s.recs, s.dead); err != nil {
				return err
			}
		}
		if err := buried(ctx, g, ks, n, tomb); err != nil {
			return fmt.Errorf("restored elsewhere: %w", err)
		}
	}
	return nil
}
