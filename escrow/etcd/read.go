package etcd

import (
	"bytes"
	"context"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/internal/codec"
	"github.com/keposs/keposs/escrow/internal/rule"
)

// GetMany implements core.Backend. Both parts of a record are read in one
// transaction; a stale read is answered by one member from what it has.
func (s *Store) GetMany(ctx context.Context, keys []core.Key, o core.ReadOpts) ([]core.Record, error) {
	const op = "escrow/etcd: get"
	if err := rule.CheckKeys(op, keys); err != nil {
		return nil, err
	}
	if err := s.gate.Enter(ctx, op); err != nil {
		return nil, err
	}
	defer s.gate.Leave()
	var opts []clientv3.OpOption
	if o.Stale {
		opts = append(opts, clientv3.WithSerializable())
	}
	each := 2
	if o.HotOnly {
		each = 1
	}
	out := make([]core.Record, 0, len(keys))
	for len(keys) > 0 {
		part := keys[:min(len(keys), s.set.ops/each)]
		keys = keys[len(part):]
		var gets []clientv3.Op
		for _, k := range part {
			gets = append(gets, clientv3.OpGet(s.hotKey(k), opts...))
			if !o.HotOnly {
				gets = append(gets, clientv3.OpGet(s.blobKey(k), opts...))
			}
		}
		r, err := s.read(ctx, op, gets)
		if err != nil {
			return nil, err
		}
		for i, k := range part {
			rec := core.Record{Key: bytes.Clone(k)}
			m, _, err := hotOf(k, r.Responses[i*each])
			if err != nil {
				return nil, err
			}
			if m.Version > 0 && !m.Deleted {
				rec.Version, rec.ReqID, rec.Hot = m.Version, m.ReqID, m.Hot
				if !o.HotOnly {
					if rec.Blob, err = blobOf(k, m, only(r.Responses[i*each+1])); err != nil {
						return nil, err
					}
				}
			}
			out = append(out, rec)
		}
	}
	return out, nil
}

// only is the one value a get of one key found; nil = none.
func only(r *etcdserverpb.ResponseOp) *mvccpb.KeyValue {
	if kvs := r.GetResponseRange().GetKvs(); len(kvs) > 0 {
		return kvs[0]
	}
	return nil
}

// hotOf decodes what a get of k's hot part found, with its mod revision. A key
// never seen is the zero Meta and revision 0.
func hotOf(k core.Key, r *etcdserverpb.ResponseOp) (codec.Meta, int64, error) {
	kv := only(r)
	if kv == nil {
		return codec.Meta{}, 0, nil
	}
	m, err := codec.DecodeHot(k, kv.Value)
	return m, kv.ModRevision, err
}

func blobOf(k core.Key, m codec.Meta, kv *mvccpb.KeyValue) ([]byte, error) {
	if m.BlobRev == 0 {
		return nil, nil
	}
	if kv == nil {
		return nil, core.Errorf(core.Corrupt, "escrow/etcd: get", "a record has lost its blob part; restore from a snapshot")
	}
	return codec.DecodeBlob(k, m.BlobRev, kv.Value)
}

// scanBlobs bounds the blobs of one answer: 64 of the largest are 4 MiB.
const scanBlobs = 64

// Scan implements core.Backend. A page is gathered in steps, each of one
// revision.
func (s *Store) Scan(ctx context.Context, req core.ScanRequest) (core.Page, error) {
	const op = "escrow/etcd: scan"
	if err := rule.CheckScan(op, req); err != nil {
		return core.Page{}, err
	}
	if err := s.gate.Enter(ctx, op); err != nil {
		return core.Page{}, err
	}
	defer s.gate.Leave()
	var p core.Page
	after := bytes.Clone(req.After)
	for more := true; more && len(p.Records) <= req.Limit; {
		n := req.Limit + 1
		if req.Blob {
			n = min(n, scanBlobs)
		}
		gets := []clientv3.Op{s.span("h/", after, n)}
		if req.Blob { // every blob has a hot part, so those of n hot parts are among the first n
			gets = append(gets, s.span("b/", after, n))
		}
		r, err := s.read(ctx, op, gets)
		if err != nil {
			return core.Page{}, err
		}
		blobs := map[string]*mvccpb.KeyValue{}
		if req.Blob {
			for _, kv := range r.Responses[1].GetResponseRange().Kvs {
				blobs[string(kv.Key[len(s.blobKey(nil)):])] = kv
			}
		}
		found := r.Responses[0].GetResponseRange()
		more = found.More
		for _, kv := range found.Kvs {
			after = kv.Key[len(s.hotKey(nil)):]
			m, err := codec.DecodeHot(after, kv.Value)
			if err != nil {
				return core.Page{}, err
			}
			if m.Deleted && !req.Tombs {
				continue
			}
			rec := core.Record{Key: bytes.Clone(after), Version: m.Version, ReqID: m.ReqID}
			if req.Hot && !m.Deleted {
				rec.Hot = m.Hot
			}
			if req.Blob {
				if rec.Blob, err = blobOf(after, m, blobs[string(after)]); err != nil {
					return core.Page{}, err
				}
			}
			p.Records, p.Deleted = append(p.Records, rec), append(p.Deleted, m.Deleted)
		}
	}
	return rule.Page(p, req), nil
}

// span gets the first n of a kind of part whose keys follow after.
func (s *Store) span(kind string, after []byte, n int) clientv3.Op {
	first := s.set.prefix + kind
	from := first
	if len(after) > 0 {
		from += string(after) + "\x00"
	}
	return clientv3.OpGet(from, clientv3.WithRange(clientv3.GetPrefixRangeEnd(first)), clientv3.WithLimit(int64(n)))
}
