package badger

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"

	db "github.com/dgraph-io/badger/v4"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/internal/codec"
	"github.com/keposs/keposs/escrow/internal/rule"
)

// CommitMany implements core.Backend. The mutations of all callers waiting
// share one synced transaction.
func (s *Store) CommitMany(ctx context.Context, ms []core.Mutation) ([]core.Result, error) {
	const op = "escrow/badger: commit"
	if err := rule.CheckBatch(op, len(ms)); err != nil {
		return nil, err
	}
	if err := s.begin(ctx, op); err != nil {
		return nil, err
	}
	defer s.gate.Leave()
	r := &request{results: make([]core.Result, len(ms)), done: make(chan struct{})}
	var items []item
	for i, m := range ms {
		if err := rule.Check(m); err != nil {
			r.results[i].Err = err
			continue
		}
		items = append(items, item{m: own(m), req: r, slot: i, size: len(m.Key)*2 + len(m.Hot) + len(m.Blob) + 256})
	}
	return s.queue.run(ctx, op, r, items)
}

// own copies a mutation: the caller may leave before it is applied.
func own(m core.Mutation) core.Mutation {
	b := make([]byte, 0, len(m.Key)+len(m.Hot)+len(m.Blob))
	b = append(append(append(b, m.Key...), m.Hot...), m.Blob...)
	k, h := len(m.Key), len(m.Key)+len(m.Hot)
	m.Key, m.Hot, m.Blob = core.Key(b[:k:k]), b[k:h:h], b[h:]
	return m
}

// RaiseFence implements core.Fencer.
func (s *Store) RaiseFence(ctx context.Context, fence uint64) error {
	const op = "escrow/badger: fence"
	return s.admin(ctx, op, func(b *batch) error {
		if fence < s.fence {
			return core.Errorf(core.Fenced, op, "fence %d was passed by %d", fence, s.fence)
		}
		b.after = append(b.after, func() { s.fence = fence })
		return b.set(fenceKey, binary.BigEndian.AppendUint64(nil, fence))
	})
}

// Import implements core.Exporter.
func (s *Store) Import(ctx context.Context, recs []core.Record, deleted []bool) error {
	const op = "escrow/badger: import"
	if err := rule.CheckImport(recs, deleted); err != nil {
		return err
	}
	for len(recs) > 0 {
		n, size := 0, 0
		for n < len(recs) && n < maxItems && size < s.maxBytes() {
			size += len(recs[n].Hot) + len(recs[n].Blob) + 256
			n++
		}
		part, dead := recs[:n], deleted
		if dead != nil {
			dead = deleted[:n]
		}
		err := s.admin(ctx, op, func(b *batch) error {
			for i, r := range part {
				if err := s.put(b, r, dead != nil && dead[i]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if recs = recs[n:]; deleted != nil {
			deleted = deleted[n:]
		}
	}
	return nil
}

// admin runs f in a transaction of its own between the group commits. f may
// run after the caller left only if it touches nothing lent, so admin waits.
func (s *Store) admin(ctx context.Context, op string, f func(*batch) error) error {
	if err := s.begin(ctx, op); err != nil {
		return err
	}
	defer s.gate.Leave()
	r := &request{results: make([]core.Result, 1), done: make(chan struct{})}
	out, err := s.queue.run(context.WithoutCancel(ctx), op, r, []item{{do: f, req: r}})
	if err != nil {
		return err
	}
	return out[0].Err
}

// Bounds of one transaction. Badger refuses more than 15 % of a table.
const maxItems = 4096

func (s *Store) maxBytes() int { return int(s.set.memtable / 10) }

func (s *Store) committer() {
	defer s.done.Done()
	debug.SetPanicOnFault(true)
	for {
		items := s.queue.take(maxItems, s.maxBytes())
		if items == nil {
			return
		}
		results, err := s.apply(items)
		s.queue.finish(items, results, err)
	}
}

// A batch is one Badger transaction in the making.
type batch struct {
	txn    *db.Txn
	writes int
	hots   map[string]codec.Meta // the hot parts written; what is in here stays
	after  []func()              // run when it is durable
}

// hot is the newest hot part of key, this batch's own writes among them; to be
// read only.
func (s *Store) hot(b *batch, key core.Key) (codec.Meta, error) {
	if m, ok := b.hots[string(key)]; ok {
		return m, nil
	}
	if m, ok := s.hots.get(key); ok {
		return m, nil
	}
	return readHot(b.txn, key)
}

// setHot writes a hot part, which it copies.
func (b *batch) setHot(key core.Key, m codec.Meta) error {
	m.Hot = bytes.Clone(m.Hot)
	b.hots[string(key)] = m
	return b.set(hotKey(key), codec.EncodeHot(nil, key, m))
}

func (b *batch) set(key, value []byte) error { b.writes++; return b.txn.Set(key, value) }

// apply decides and writes items in one synced transaction. err means that the
// whole batch shares that fate.
func (s *Store) apply(items []item) (results []core.Result, err error) {
	const op = "escrow/badger: commit"
	if err := s.logger.stopped(op); err != nil {
		return nil, err
	}
	if err := s.room(op); err != nil {
		return nil, err
	}
	sent := false
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic in the engine: %v", r)
		}
		if err != nil && sent {
			s.logger.fail(err.Error())
			results, err = nil, core.Errorf(core.Indeterminate, op, "%w", err)
		} else if err != nil {
			results, err = nil, core.Errorf(core.Unavailable, op, "%w", err)
		}
	}()
	b := &batch{txn: s.db.NewTransactionAt(s.last.Load(), true), hots: make(map[string]codec.Meta, len(items))}
	defer b.txn.Discard()
	results = make([]core.Result, len(items))
	for i, it := range items {
		if it.do != nil {
			results[i].Err = it.do(b)
			continue
		}
		if results[i], err = s.mutate(b, it.m); err != nil {
			return nil, err
		}
	}
	if b.writes == 0 {
		return results, nil
	}
	sent = true
	ts := s.last.Load() + 1
	if err = b.txn.CommitAt(ts, nil); err != nil {
		return nil, err
	}
	if why := s.logger.failure(); why != "" {
		return nil, errors.New(why) // Badger logs a failed value-log sync and goes on; we do not
	}
	s.durable(ts, b.hots)
	s.head.write(ts)
	if ts%128 == 0 { // let compactions drop what no reader can still see
		s.db.SetDiscardTs(s.readers.oldest(ts))
	}
	s.syncs.Add(1)
	s.commits.Add(uint64(len(items)))
	for _, f := range b.after {
		f()
	}
	return results, nil
}

// mutate applies one mutation to the batch. err is an engine's error; what
// concerns the mutation alone is in the result.
func (s *Store) mutate(b *batch, m core.Mutation) (core.Result, error) {
	old, err := s.hot(b, m.Key)
	if core.CodeOf(err) == core.Corrupt {
		return core.Result{Err: err}, nil
	} else if err != nil {
		return core.Result{}, err
	}
	res, write := rule.Decide(rule.State{
		Version: old.Version, Deleted: old.Deleted, ReqID: old.ReqID, Hot: old.Hot,
		Blob: func() ([]byte, error) { return readBlob(b.txn, m.Key, old.BlobRev) },
	}, m)
	if !write {
		return res, nil
	}
	if m.Fence != 0 && m.Fence < s.fence {
		return core.Result{Err: core.Errorf(core.Fenced, "escrow/badger: commit", "fence %d was passed by %d", m.Fence, s.fence)}, nil
	}
	next := codec.Meta{Version: res.Version, ReqID: m.ReqID, Hot: m.Hot}
	switch m.Op {
	case core.OpDelete:
		next.Deleted = true
		b.writes++
		err = b.txn.Delete(blobKey(m.Key))
	case core.OpPut:
		next.BlobRev = res.Version
		err = b.set(blobKey(m.Key), codec.EncodeBlob(nil, m.Key, res.Version, m.Blob))
	default:
		next.BlobRev = old.BlobRev
	}
	if err == nil {
		err = b.setHot(m.Key, next)
	}
	return res, err
}

// put takes an imported record unless the key is already as new.
func (s *Store) put(b *batch, r core.Record, deleted bool) error {
	old, err := s.hot(b, r.Key)
	if err != nil || old.Version >= r.Version {
		return err
	}
	m := codec.Meta{Version: r.Version, Deleted: deleted, ReqID: r.ReqID, Hot: r.Hot}
	if deleted {
		b.writes++
		err = b.txn.Delete(blobKey(r.Key))
	} else {
		m.BlobRev = r.Version
		err = b.set(blobKey(r.Key), codec.EncodeBlob(nil, r.Key, r.Version, r.Blob))
	}
	if err != nil {
		return err
	}
	return b.setHot(r.Key, m)
}
