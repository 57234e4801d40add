package etcd

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/internal/codec"
	"github.com/keposs/keposs/escrow/internal/rule"
)

const commitOp = "escrow/etcd: commit"

// Bounds: tries of a mutation whose key others change between read and write,
// and what a mutation takes in a transaction besides its content.
const (
	maxTries = 2 * core.MaxBatch
	overhead = 512
)

// CommitMany implements core.Backend. Mutations of different keys travel
// together; those of one key follow each other.
func (s *Store) CommitMany(ctx context.Context, ms []core.Mutation) ([]core.Result, error) {
	if err := rule.CheckBatch(commitOp, len(ms)); err != nil {
		return nil, err
	}
	if err := s.gate.Enter(ctx, commitOp); err != nil {
		return nil, err
	}
	defer s.gate.Leave()
	out, pending := rule.Sound(ms)
	for len(pending) > 0 {
		var later []int
		var part []*attempt
		size, seen := 0, map[string]bool{}
		for _, i := range pending {
			m, k := ms[i], string(ms[i].Key)
			n := len(m.Hot) + len(m.Blob) + overhead
			if seen[k] || len(part) == s.set.ops-3 || size+n > s.set.maxBytes && len(part) > 0 {
				seen[k] = true // what follows on this key must wait as well
				later = append(later, i)
				continue
			}
			seen[k], size = true, size+n
			part = append(part, &attempt{Mutation: m, result: &out[i]})
		}
		pending = later
		if err := s.settle(ctx, part); err != nil {
			if core.CodeOf(err) == core.Indeterminate { // these were not sent
				err = core.Errorf(core.Unavailable, commitOp, "not sent: what went before it has no answer")
			}
			for _, i := range pending {
				out[i].Err = err
			}
			break
		}
	}
	return out, nil
}

// An attempt is a mutation and what is known of its key.
type attempt struct {
	core.Mutation
	result *core.Result

	bad   error // what is there cannot be read
	known bool  // old and rev were read; a create begins without
	rev   int64 // of the hot part; 0 = never seen
	old   codec.Meta
	fence uint64 // as last read after a write that compared in vain
	next  codec.Meta
}

// errMoved says that a key changed while its blob was read for a comparison.
var errMoved = errors.New("moved")

// settle gives each attempt its result. The error is that of the ones without
// an answer, and then also true of whatever would follow them.
func (s *Store) settle(ctx context.Context, part []*attempt) error {
	for _, a := range part {
		a.known = a.Op == core.OpPut && a.Expect == 0
	}
	for try := range maxTries {
		if try > 1 {
			select {
			case <-ctx.Done():
			case <-time.After(time.Duration(rand.Int64N(int64(time.Millisecond) << min(try, 5)))):
			}
		}
		if err := s.look(ctx, part); err != nil {
			return fail(part, err)
		}
		part = s.decide(ctx, part)
		if len(part) == 0 {
			return nil
		}
		var ready []*attempt
		for _, a := range part {
			if a.known {
				ready = append(ready, a)
			}
		}
		lost, err := s.write(ctx, ready)
		if errors.Is(err, rpctypes.ErrNoSpace) {
			return s.full(ctx, part, ready)
		}
		if err != nil {
			return fail(part, err)
		}
		for _, a := range part {
			if !a.known {
				lost = append(lost, a)
			}
		}
		if part = lost; len(part) == 0 {
			return nil
		}
	}
	return fail(part, core.Errorf(core.Unavailable, commitOp, "others change these records without pause; try again"))
}

func fail(part []*attempt, err error) error {
	for _, a := range part {
		a.result.Err = err
	}
	return err
}

// look reads the hot parts that are not known.
func (s *Store) look(ctx context.Context, part []*attempt) error {
	var gets []clientv3.Op
	var of []*attempt
	for _, a := range part {
		if !a.known {
			gets, of = append(gets, clientv3.OpGet(s.hotKey(a.Key))), append(of, a)
		}
	}
	if len(of) == 0 {
		return nil
	}
	r, err := s.read(ctx, commitOp, gets)
	if err != nil {
		return err
	}
	for i, a := range of {
		a.old, a.rev, a.bad = hotOf(a.Key, r.Responses[i])
		a.known = true
	}
	return nil
}

// decide answers the attempts that write nothing and returns the others.
func (s *Store) decide(ctx context.Context, part []*attempt) []*attempt {
	var open []*attempt
	for _, a := range part {
		if a.bad != nil {
			a.result.Err = a.bad
			continue
		}
		res, write := rule.Decide(rule.State{
			Version: a.old.Version, Deleted: a.old.Deleted, ReqID: a.old.ReqID, Hot: a.old.Hot,
			Blob: func() ([]byte, error) { return s.blobAt(ctx, a) },
		}, a.Mutation)
		switch {
		case errors.Is(res.Err, errMoved):
			a.known = false
			open = append(open, a)
		case !write:
			*a.result = res
		case a.Fence != 0 && a.Fence < a.fence:
			a.result.Err = core.Errorf(core.Fenced, commitOp, "fence %d was passed by %d", a.Fence, a.fence)
		default:
			a.next = codec.Meta{Version: res.Version, ReqID: a.ReqID, Hot: a.Hot, BlobRev: a.old.BlobRev}
			switch a.Op {
			case core.OpDelete:
				a.next.Deleted, a.next.BlobRev = true, 0
			case core.OpPut:
				a.next.BlobRev = res.Version
			}
			open = append(open, a)
		}
	}
	return open
}

// blobAt reads the blob of the state a knows.
func (s *Store) blobAt(ctx context.Context, a *attempt) ([]byte, error) {
	r, err := s.read(ctx, commitOp, []clientv3.Op{clientv3.OpGet(s.hotKey(a.Key)), clientv3.OpGet(s.blobKey(a.Key))})
	if err != nil {
		return nil, err
	}
	if kv := only(r.Responses[0]); kv == nil || kv.ModRevision != a.rev {
		return nil, errMoved
	}
	return blobOf(a.Key, a.old, only(r.Responses[1]))
}

// write sends one transaction with one nested transaction an attempt. It
// answers those that were applied and returns the others with what they met.
func (s *Store) write(ctx context.Context, part []*attempt) (lost []*attempt, err error) {
	if len(part) == 0 {
		return nil, nil
	}
	ops := make([]clientv3.Op, len(part))
	for i, a := range part {
		cmps := []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(s.hotKey(a.Key)), "=", a.rev)}
		if a.Fence != 0 && a.Fence != math.MaxUint64 {
			cmps = append(cmps, clientv3.Compare(clientv3.Value(s.fenceKey()), "<", fenceValue(a.Fence+1)))
		}
		ops[i] = clientv3.OpTxn(cmps, s.puts(a.Key, a.next, a.Op, a.Blob),
			[]clientv3.Op{clientv3.OpGet(s.hotKey(a.Key)), clientv3.OpGet(s.fenceKey())})
	}
	r, err := s.run(ctx, commitOp, true, nil, ops)
	if err != nil {
		return nil, err
	}
	for i, a := range part {
		t := r.Responses[i].GetResponseTxn()
		if t.GetSucceeded() {
			*a.result = core.Result{Version: a.next.Version}
			continue
		}
		lost = append(lost, a)
		a.old, a.rev, a.bad = hotOf(a.Key, t.Responses[0])
		if kv := only(t.Responses[1]); kv != nil && len(kv.Value) == 8 {
			a.fence = fenceNumber(kv.Value)
		}
	}
	return lost, nil
}

// puts are the changes of one record.
func (s *Store) puts(k core.Key, next codec.Meta, op core.Op, blob []byte) []clientv3.Op {
	ops := []clientv3.Op{clientv3.OpPut(s.hotKey(k), string(codec.EncodeHot(nil, k, next)))}
	switch op {
	case core.OpPut:
		ops = append(ops, clientv3.OpPut(s.blobKey(k), string(codec.EncodeBlob(nil, k, next.BlobRev, blob))))
	case core.OpDelete:
		ops = append(ops, clientv3.OpDelete(s.blobKey(k)))
	}
	return ops
}

// full answers after the cluster said that it is full. It says so before it
// applies a transaction, but also after the one that crossed the quota; the
// request ids tell which.
func (s *Store) full(ctx context.Context, part, sent []*attempt) error {
	none := core.Errorf(core.Exhausted, commitOp, "the cluster's space quota is used up: compact, defragment, disarm the alarm")
	unknown := core.Errorf(core.Indeterminate, commitOp, "the cluster's space quota is used up and the commit may have happened")
	for _, a := range sent {
		a.known = false
	}
	err := s.look(ctx, part)
	for _, a := range part {
		switch {
		case err != nil, a.ReqID == (core.ReqID{}):
			a.result.Err = unknown
		case a.bad != nil:
			a.result.Err = a.bad
		case a.old.ReqID == a.ReqID && a.old.Version == a.next.Version:
			*a.result = core.Result{Version: a.old.Version}
		default:
			a.result.Err = none
		}
	}
	return none
}
