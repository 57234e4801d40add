package etcd

import (
	"context"
	"errors"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/internal/codec"
	"github.com/keposs/keposs/escrow/internal/rule"
)

// Export implements core.Exporter.
func (s *Store) Export(ctx context.Context, req core.ScanRequest) (core.Page, error) {
	req.Hot, req.Blob, req.Tombs = true, true, true
	return s.Scan(ctx, req)
}

// Import implements core.Exporter. What is not newer than what is there is left
// out; to repeat a failed import is harmless.
func (s *Store) Import(ctx context.Context, recs []core.Record, deleted []bool) error {
	const op = "escrow/etcd: import"
	if err := rule.CheckImport(recs, deleted); err != nil {
		return err
	}
	if err := s.gate.Enter(ctx, op); err != nil {
		return err
	}
	defer s.gate.Leave()
	for len(recs) > 0 {
		var part []*attempt
		size, n, seen := 0, 0, map[string]bool{}
		for ; n < len(recs) && len(part) < s.set.ops-3; n++ {
			r := recs[n]
			size += len(r.Hot) + len(r.Blob) + overhead
			if seen[string(r.Key)] || size > s.set.maxBytes && n > 0 {
				break
			}
			seen[string(r.Key)] = true
			dead := deleted != nil && deleted[n]
			a := &attempt{Mutation: core.Mutation{Key: r.Key, Op: core.OpPut, Blob: r.Blob}, result: &core.Result{},
				next: codec.Meta{Version: r.Version, Deleted: dead, ReqID: r.ReqID, Hot: r.Hot}}
			if dead {
				a.Op = core.OpDelete
			} else {
				a.next.BlobRev = r.Version
			}
			part = append(part, a)
		}
		if err := s.take(ctx, part); err != nil {
			return err
		}
		recs = recs[n:]
		if deleted != nil {
			deleted = deleted[n:]
		}
	}
	return nil
}

// take writes the records that are newer than what is there.
func (s *Store) take(ctx context.Context, part []*attempt) error {
	for range maxTries {
		if err := s.look(ctx, part); err != nil {
			return err
		}
		var newer []*attempt
		for _, a := range part {
			if a.bad != nil {
				return a.bad
			}
			if a.old.Version < a.next.Version {
				newer = append(newer, a)
			}
		}
		lost, err := s.write(ctx, newer)
		if err != nil {
			if errors.Is(err, rpctypes.ErrNoSpace) {
				return core.Errorf(core.Exhausted, commitOp, "the cluster's space quota is used up")
			}
			return err
		}
		if part = lost; len(part) == 0 {
			return nil
		}
	}
	return core.Errorf(core.Unavailable, commitOp, "others change these records without pause; try again")
}
