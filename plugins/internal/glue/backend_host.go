package glue

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins/internal/wire"
)

// closeTimeout bounds Backend.Close, whose contract has no context.
const closeTimeout = 10 * time.Second

// Backend is a core.Backend whose implementation is a plugin. It has every
// optional method too; a backend without one answers Unsupported.
type Backend struct {
	h      *Host
	c      wire.BackendClient
	closed atomic.Bool
}

var (
	_ core.Healther = (*Backend)(nil)
	_ core.Exporter = (*Backend)(nil)
	_ core.Fencer   = (*Backend)(nil)
)

// Backend returns the plugin as a core.Backend.
func (h *Host) Backend() *Backend { return &Backend{h: h, c: wire.NewBackendClient(h.conn)} }

// begin refuses calls after Close and calls that need not start.
func (b *Backend) begin(ctx context.Context, call string) (op string, err error) {
	op = b.h.Info.Name + ": " + call
	if b.closed.Load() {
		return op, core.Errorf(core.Closed, op, "the backend is closed")
	}
	if err := ctx.Err(); err != nil {
		return op, core.Errorf(core.Unavailable, op, "not started: %w", err)
	}
	return op, nil
}

// Describe returns what the backend declares.
func (b *Backend) Describe(ctx context.Context) (core.BackendInfo, error) {
	m, err := b.c.Describe(ctx, &wire.Empty{})
	if err != nil {
		return core.BackendInfo{}, statusIn(ctx, b.h.Info.Name+": describe", err, reads)
	}
	return core.BackendInfo{Name: m.Name, Version: m.Version, Replicated: m.Replicated, Schema: fieldsIn(m.Schema)}, nil
}

// Configure opens the store.
func (b *Backend) Configure(ctx context.Context, c core.Config) error {
	op, err := b.begin(ctx, "configure")
	if err != nil {
		return err
	}
	m, err := b.h.link.configOut(c)
	if err != nil {
		return err
	}
	_, err = b.c.Configure(ctx, m)
	return statusIn(ctx, op, err, reads)
}

// GetMany reads in as many calls as the message cap needs.
func (b *Backend) GetMany(ctx context.Context, keys []core.Key, o core.ReadOpts) ([]core.Record, error) {
	op, err := b.begin(ctx, "get")
	if err != nil {
		return nil, err
	}
	if len(keys) > core.MaxBatch {
		return nil, core.Errorf(core.TooLarge, op, "%d keys, at most %d", len(keys), core.MaxBatch)
	}
	for _, k := range keys {
		if len(k) > core.MaxKey {
			return nil, core.Errorf(core.TooLarge, op, "a key of %d bytes, at most %d", len(k), core.MaxKey)
		}
	}
	req := &wire.GetManyRequest{Stale: o.Stale, HotOnly: o.HotOnly}
	for _, k := range keys {
		req.Keys = append(req.Keys, k)
	}
	out := make([]core.Record, 0, len(keys))
	for {
		m, err := b.c.GetMany(ctx, req)
		if err != nil {
			return nil, statusIn(ctx, op, err, reads)
		}
		if n := len(m.Records); n > len(req.Keys) || n == 0 && len(req.Keys) > 0 {
			return nil, core.Errorf(core.Internal, op, "%w: %d records for %d keys", errProtocol, n, len(req.Keys))
		}
		recs, err := recordsIn(m.Records)
		if err != nil {
			return nil, err
		}
		out = append(out, recs...)
		if req.Keys = req.Keys[len(recs):]; len(req.Keys) == 0 {
			return out, nil
		}
	}
}

// CommitMany sends mutations in order, in as many calls as the message cap
// needs. When a later call fails as a whole, the results so far stand and its
// error is the result of every mutation it held and of those after it.
func (b *Backend) CommitMany(ctx context.Context, ms []core.Mutation) ([]core.Result, error) {
	op, err := b.begin(ctx, "commit")
	if err != nil {
		return nil, err
	}
	if len(ms) > core.MaxBatch {
		return nil, core.Errorf(core.TooLarge, op, "%d mutations, at most %d", len(ms), core.MaxBatch)
	}
	out := make([]core.Result, 0, len(ms))
	for first := true; first || len(ms) > 0; first = false {
		n, req := batch(ms)
		m, err := b.c.CommitMany(ctx, req)
		if err != nil {
			err = statusIn(ctx, op, err, writes)
		} else if len(m.Results) != n {
			err = core.Errorf(core.Indeterminate, op, "%w: %d results for %d mutations", errProtocol, len(m.Results), n)
		}
		if err != nil {
			if first {
				return nil, err
			}
			for i := range ms {
				if i == n { // what was never sent is certainly not applied
					err = core.Errorf(core.Unavailable, op, "not sent: an earlier part of the batch failed")
				}
				out = append(out, core.Result{Err: err})
			}
			return out, nil
		}
		for _, r := range m.Results {
			out = append(out, core.Result{Version: core.Version(r.GetVersion()), Err: asError(errorIn(r.GetError()))})
		}
		ms = ms[n:]
	}
	return out, nil
}

// batch is the longest prefix that fits a message, at least one mutation.
// Parts above their bounds are cut to one byte more than allowed: the backend
// refuses them all the same and the message stays small.
func batch(ms []core.Mutation) (int, *wire.CommitManyRequest) {
	req := &wire.CommitManyRequest{}
	size := 0
	for i, m := range ms {
		key, hot, blob := cut(m.Key, core.MaxKey), cut(m.Hot, core.MaxHot), cut(m.Blob, core.MaxBlob)
		if size += len(key) + len(hot) + len(blob) + 64; size > budget && i > 0 {
			break
		}
		req.Mutations = append(req.Mutations, &wire.Mutation{
			Key: key, Expect: uint64(m.Expect), Op: wire.Op(m.Op), Hot: hot, Blob: blob,
			ReqId: append([]byte(nil), m.ReqID[:]...), Fence: m.Fence,
		})
	}
	return len(req.Mutations), req
}

func cut(b []byte, most int) []byte {
	if len(b) > most {
		return b[:most+1]
	}
	return b
}

// pages fills one page from as many calls as the message cap needs.
func (b *Backend) pages(ctx context.Context, op string, req core.ScanRequest, call func(*wire.ScanRequest) (*wire.Page, error)) (core.Page, error) {
	var out core.Page
	limit := req.Limit
	for {
		m, err := call(&wire.ScanRequest{After: req.After, Limit: clamp(limit - len(out.Records)), Hot: req.Hot, Blob: req.Blob, Tombs: req.Tombs})
		if err != nil {
			return core.Page{}, statusIn(ctx, op, err, reads)
		}
		recs, err := recordsIn(m.Records)
		if err != nil {
			return core.Page{}, err
		}
		if len(m.Deleted) != 0 && len(m.Deleted) != len(recs) || len(recs) > limit-len(out.Records) {
			return core.Page{}, core.Errorf(core.Internal, op, "%w: a page that does not fit its request", errProtocol)
		}
		if m.Deleted != nil && out.Deleted == nil {
			out.Deleted = make([]bool, len(out.Records))
		}
		if out.Deleted != nil {
			if m.Deleted == nil {
				m.Deleted = make([]bool, len(recs))
			}
			out.Deleted = append(out.Deleted, m.Deleted...)
		}
		out.Records = append(out.Records, recs...)
		out.Next = m.Next
		if m.Next == nil || len(recs) == 0 || len(out.Records) >= limit {
			return out, nil
		}
		req.After = m.Next
	}
}

// Scan pages in key order.
func (b *Backend) Scan(ctx context.Context, req core.ScanRequest) (core.Page, error) {
	op, err := b.begin(ctx, "scan")
	if err != nil {
		return core.Page{}, err
	}
	return b.pages(ctx, op, req, func(r *wire.ScanRequest) (*wire.Page, error) { return b.c.Scan(ctx, r) })
}

// Export pages with versions and tombstones.
func (b *Backend) Export(ctx context.Context, req core.ScanRequest) (core.Page, error) {
	op, err := b.begin(ctx, "export")
	if err != nil {
		return core.Page{}, err
	}
	return b.pages(ctx, op, req, func(r *wire.ScanRequest) (*wire.Page, error) { return b.c.Export(ctx, r) })
}

// Import sends the records in as many calls as the message cap needs.
func (b *Backend) Import(ctx context.Context, recs []core.Record, deleted []bool) error {
	op, err := b.begin(ctx, "import")
	if err != nil {
		return err
	}
	if deleted != nil && len(deleted) != len(recs) {
		return core.Errorf(core.Invalid, op, "%d records and %d marks", len(recs), len(deleted))
	}
	for first := true; first || len(recs) > 0; first = false {
		req, size := &wire.ImportRequest{}, 0
		for i, r := range recs {
			r.Key, r.Hot, r.Blob = cut(r.Key, core.MaxKey), cut(r.Hot, core.MaxHot), cut(r.Blob, core.MaxBlob)
			if size += recordSize(r); size > budget && i > 0 {
				break
			}
			req.Records = append(req.Records, recordOut(r))
		}
		n := len(req.Records)
		if deleted != nil {
			req.Deleted, deleted = deleted[:n], deleted[n:]
		}
		if _, err := b.c.Import(ctx, req); err != nil {
			return statusIn(ctx, op, err, writes)
		}
		recs = recs[n:]
	}
	return nil
}

// Health asks whether the backend can serve now.
func (b *Backend) Health(ctx context.Context) error {
	op, err := b.begin(ctx, "health")
	if err != nil {
		return err
	}
	_, err = b.c.Health(ctx, &wire.Empty{})
	return statusIn(ctx, op, err, reads)
}

// RaiseFence raises the fence.
func (b *Backend) RaiseFence(ctx context.Context, fence uint64) error {
	op, err := b.begin(ctx, "raise fence")
	if err != nil {
		return err
	}
	_, err = b.c.RaiseFence(ctx, &wire.RaiseFenceRequest{Fence: fence})
	return statusIn(ctx, op, err, writes)
}

// Watch streams changes until ctx ends or fn returns an error, which it returns.
func (b *Backend) Watch(ctx context.Context, from core.Key, fn func(core.Change) error) error {
	op, err := b.begin(ctx, "watch")
	if err != nil {
		return err
	}
	own, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := b.c.Watch(own, &wire.WatchRequest{From: from})
	if err != nil {
		return statusIn(ctx, op, err, reads)
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			return statusIn(ctx, op, err, reads)
		}
		r, err := recordIn(m.Record)
		if err != nil {
			return err
		}
		if err := fn(core.Change{Record: r, Deleted: m.Deleted}); err != nil {
			return err
		}
	}
}

// Close closes the store; a second Close is nil.
func (b *Backend) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_, err := b.c.Close(ctx, &wire.Empty{})
	return statusIn(ctx, b.h.Info.Name+": close", err, reads)
}
