// Package memory is the reference backend: a map, and an append-only log when
// a path is given. It is the shortest text that keeps every promise of
// core.Backend; the conformance kit compares engines with it and the mutants
// are this text with one line made wrong.
//
// Use it for tests and demonstrations. Without a path everything is gone at
// Close; with one, the log grows for ever.
package memory

import (
	"context"
	"sort"
	"sync"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/internal/rule"
	"github.com/keposs/keposs/escrow/internal/settings"
)

// A Store is the reference backend. Make it with New.
type Store struct {
	mu     sync.RWMutex
	m      map[string]record
	fence  uint64
	log    *journal // nil when volatile
	opened bool
	closed bool
}

type record struct {
	core.Record
	deleted bool
}

var (
	_ core.Backend  = (*Store)(nil)
	_ core.Exporter = (*Store)(nil)
	_ core.Fencer   = (*Store)(nil)
	_ core.Healther = (*Store)(nil)
)

// New returns an unconfigured Store.
func New() core.Backend { return &Store{} }

var schema = []core.ConfigField{
	{Name: "path", Type: "path", Help: "Log file; empty keeps everything in memory only."},
	{Name: "head", Type: "path", Help: "File that remembers how far the log was acknowledged, to notice a log cut or put back; empty: path with .head behind it."},
}

// Describe implements core.Backend.
func (s *Store) Describe(context.Context) (core.BackendInfo, error) {
	return core.BackendInfo{Name: "memory", Version: "1", Schema: schema}, nil
}

// Configure implements core.Backend.
func (s *Store) Configure(_ context.Context, c core.Config) error {
	const op = "escrow/memory: configure"
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return closed(op)
	}
	if s.opened {
		return core.Errorf(core.State, op, "already configured")
	}
	set := settings.Read(op, schema, c)
	if set.Err() != nil {
		return set.Err()
	}
	s.m = map[string]record{}
	if path := set.String("path"); path != "" {
		head := set.String("head")
		if head == "" {
			head = path + ".head"
		}
		log, err := openJournal(path, head, func(r core.Record, deleted bool) { s.m[string(r.Key)] = record{r, deleted} },
			func(fence uint64) { s.fence = fence })
		if err != nil {
			return err
		}
		s.log = log
	}
	s.opened = true
	return nil
}

func closed(op string) error { return core.Errorf(core.Closed, op, "the store is closed") }

func (s *Store) usable(ctx context.Context, op string) error {
	switch {
	case s.closed:
		return closed(op)
	case !s.opened:
		return core.Errorf(core.State, op, "not configured")
	case ctx.Err() != nil:
		return core.Errorf(core.Unavailable, op, "not started: %w", ctx.Err())
	}
	return nil
}

func clone(r core.Record, hot, blob bool) core.Record {
	out := core.Record{Key: append(core.Key(nil), r.Key...), Version: r.Version, ReqID: r.ReqID}
	if hot {
		out.Hot = append([]byte(nil), r.Hot...)
	}
	if blob {
		out.Blob = append([]byte(nil), r.Blob...)
	}
	return out
}

// GetMany implements core.Backend.
func (s *Store) GetMany(ctx context.Context, keys []core.Key, o core.ReadOpts) ([]core.Record, error) {
	const op = "escrow/memory: get"
	if err := rule.CheckKeys(op, keys); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx, op); err != nil {
		return nil, err
	}
	out := make([]core.Record, len(keys))
	for i, k := range keys {
		if r := s.m[string(k)]; r.Version > 0 && !r.deleted {
			out[i] = clone(r.Record, true, !o.HotOnly)
		} else {
			out[i] = core.Record{Key: append(core.Key(nil), k...)}
		}
	}
	return out, nil
}

// CommitMany implements core.Backend.
func (s *Store) CommitMany(ctx context.Context, ms []core.Mutation) ([]core.Result, error) {
	const op = "escrow/memory: commit"
	if err := rule.CheckBatch(op, len(ms)); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx, op); err != nil {
		return nil, err
	}
	out, undo := make([]core.Result, len(ms)), make([]record, 0, len(ms))
	for i, m := range ms {
		out[i] = s.apply(m, &undo)
	}
	if err := s.log.sync(); err != nil { // durable before the answer, or not there at all
		for i := len(undo) - 1; i >= 0; i-- {
			s.m[string(undo[i].Key)] = undo[i]
		}
		return nil, err
	}
	return out, nil
}

func (s *Store) apply(m core.Mutation, undo *[]record) core.Result {
	if err := rule.Check(m); err != nil {
		return core.Result{Err: err}
	}
	old := s.m[string(m.Key)]
	res, write := rule.Decide(rule.State{Version: old.Version, Deleted: old.deleted, ReqID: old.ReqID, Hot: old.Hot,
		Blob: func() ([]byte, error) { return old.Blob, nil }}, m)
	if !write {
		return res
	}
	if m.Fence != 0 && m.Fence < s.fence {
		return core.Result{Err: core.Errorf(core.Fenced, "escrow/memory: commit", "fence %d was passed by %d", m.Fence, s.fence)}
	}
	next := record{clone(core.Record{Key: m.Key, Version: res.Version, Hot: m.Hot, Blob: m.Blob, ReqID: m.ReqID}, true, true), m.Op == core.OpDelete}
	if m.Op == core.OpPutHot {
		next.Blob = old.Blob
	}
	old.Key = next.Key
	*undo = append(*undo, old)
	s.m[string(m.Key)] = next
	s.log.add(next.Record, next.deleted)
	return res
}

// Scan implements core.Backend.
func (s *Store) Scan(ctx context.Context, req core.ScanRequest) (core.Page, error) {
	const op = "escrow/memory: scan"
	if err := rule.CheckScan(op, req); err != nil {
		return core.Page{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx, op); err != nil {
		return core.Page{}, err
	}
	keys := make([]string, 0, len(s.m))
	for k, r := range s.m {
		if r.Version > 0 && k > string(req.After) && (req.Tombs || !r.deleted) {
			keys = append(keys, k)
		}
	}
	sort.Strings(keys)
	var p core.Page
	for _, k := range keys {
		if len(p.Records) == req.Limit {
			p.Next = append(core.Key(nil), p.Records[req.Limit-1].Key...)
			break
		}
		r := s.m[k]
		p.Records = append(p.Records, clone(r.Record, req.Hot, req.Blob))
		p.Deleted = append(p.Deleted, r.deleted)
	}
	if !req.Tombs {
		p.Deleted = nil
	}
	return p, nil
}

// Export implements core.Exporter.
func (s *Store) Export(ctx context.Context, req core.ScanRequest) (core.Page, error) {
	req.Hot, req.Blob, req.Tombs = true, true, true
	return s.Scan(ctx, req)
}

// Import implements core.Exporter.
func (s *Store) Import(ctx context.Context, recs []core.Record, deleted []bool) error {
	if err := rule.CheckImport(recs, deleted); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx, "escrow/memory: import"); err != nil {
		return err
	}
	for i, r := range recs {
		if s.m[string(r.Key)].Version < r.Version {
			next := record{clone(r, true, true), deleted != nil && deleted[i]}
			s.m[string(r.Key)] = next
			s.log.add(next.Record, next.deleted)
		}
	}
	return s.log.sync()
}

// RaiseFence implements core.Fencer.
func (s *Store) RaiseFence(ctx context.Context, fence uint64) error {
	const op = "escrow/memory: fence"
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx, op); err != nil {
		return err
	}
	if fence < s.fence {
		return core.Errorf(core.Fenced, op, "fence %d was passed by %d", fence, s.fence)
	}
	s.fence = fence
	s.log.addFence(fence)
	return s.log.sync()
}

// Health implements core.Healther.
func (s *Store) Health(ctx context.Context) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.usable(ctx, "escrow/memory: health")
}

// Close implements core.Backend.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed, s.m = true, nil
	return s.log.close()
}
