package badger

import (
	"bytes"
	"context"
	"fmt"

	db "github.com/dgraph-io/badger/v4"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/internal/codec"
	"github.com/keposs/keposs/escrow/internal/rule"
)

// over calls f for every part of a kind behind the key after, in key order,
// until f says stop. The key is f's only until it returns.
func over(ctx context.Context, op string, txn *db.Txn, kind byte, after core.Key, f func(core.Key, *db.Item) (more bool, err error)) error {
	o := db.DefaultIteratorOptions
	o.PrefetchValues = false // what reads ahead would run where a damaged file ends the process
	o.Prefix = []byte{kind}
	it := txn.NewIterator(o)
	defer it.Close()
	start := append(append(make([]byte, 0, len(after)+2), kind), after...)
	if len(after) > 0 {
		start = append(start, 0) // the next possible key
	}
	for it.Seek(start); it.Valid(); it.Next() {
		if ctx.Err() != nil {
			return core.Errorf(core.Unavailable, op, "given up: %w", ctx.Err())
		}
		if more, err := f(it.Item().Key()[1:], it.Item()); err != nil || !more {
			return err
		}
	}
	return nil
}

// A blobPart is what the blob part of a key says.
type blobPart struct {
	key  core.Key
	rev  core.Version
	blob []byte
	err  error
}

// blobs reads the first n blob parts behind a key. Damage is told where it is.
func blobs(ctx context.Context, op string, txn *db.Txn, after core.Key, n int) (out []blobPart, err error) {
	err = over(ctx, op, txn, 'b', after, func(k core.Key, it *db.Item) (bool, error) {
		p := blobPart{key: bytes.Clone(k)}
		p.err = it.Value(func(b []byte) (err error) {
			p.rev, p.blob, err = codec.ReadBlob(p.key, b)
			return err
		})
		out = append(out, p)
		return len(out) < n, nil
	})
	return out, err
}

// Scan implements core.Backend. Hot parts and blobs have one order and are read
// side by side, so that nothing is looked up: a live record has both, so the
// blobs of n records are the first n.
func (s *Store) Scan(ctx context.Context, req core.ScanRequest) (core.Page, error) {
	const op = "escrow/badger: scan"
	if err := rule.CheckScan(op, req); err != nil {
		return core.Page{}, err
	}
	var p core.Page
	err := s.view(ctx, op, func(txn *db.Txn) (err error) {
		var parts []blobPart
		read := make(chan error, 1)
		if ts := txn.ReadTs(); req.Blob {
			go func() {
				read <- s.at(ts, op, func(txn *db.Txn) (err error) {
					parts, err = blobs(ctx, op, txn, req.After, req.Limit)
					return err
				})
			}()
		} else {
			read <- nil
		}
		revs, err := s.page(ctx, op, txn, req, &p)
		if berr := <-read; err == nil {
			err = berr
		}
		if err == nil && req.Blob {
			err = join(&p, revs, parts)
		}
		return err
	})
	if err != nil {
		return core.Page{}, err
	}
	if !req.Tombs {
		p.Deleted = nil
	}
	return p, nil
}

// page fills p but for the blobs and returns the versions that wrote them.
func (s *Store) page(ctx context.Context, op string, txn *db.Txn, req core.ScanRequest, p *core.Page) (revs []core.Version, err error) {
	err = over(ctx, op, txn, 'h', req.After, func(k core.Key, it *db.Item) (bool, error) {
		k = bytes.Clone(k)
		var m codec.Meta
		err := it.Value(func(b []byte) (err error) {
			m, err = codec.DecodeHot(k, b)
			return err
		})
		if err != nil {
			return false, engineError("hot", err)
		}
		if m.Deleted && !req.Tombs {
			return true, nil
		}
		if len(p.Records) == req.Limit {
			p.Next = bytes.Clone(p.Records[req.Limit-1].Key)
			return false, nil
		}
		r := core.Record{Key: k, Version: m.Version, ReqID: m.ReqID}
		if req.Hot && !m.Deleted {
			r.Hot = m.Hot
		}
		p.Records, p.Deleted, revs = append(p.Records, r), append(p.Deleted, m.Deleted), append(revs, m.BlobRev)
		return true, nil
	})
	return revs, err
}

// join gives every live record its blob.
func join(p *core.Page, revs []core.Version, parts []blobPart) error {
	for i := range p.Records {
		if p.Deleted[i] {
			continue
		}
		r := &p.Records[i]
		for len(parts) > 0 && bytes.Compare(parts[0].key, r.Key) < 0 {
			parts = parts[1:]
		}
		if len(parts) == 0 || !bytes.Equal(parts[0].key, r.Key) {
			return engineError("blob", db.ErrKeyNotFound)
		}
		part := parts[0]
		if part.err == nil {
			part.err = codec.Belongs(part.rev, revs[i])
		}
		if part.err != nil {
			return engineError("blob", part.err)
		}
		r.Blob = part.blob
	}
	return nil
}

// Export implements core.Exporter.
func (s *Store) Export(ctx context.Context, req core.ScanRequest) (core.Page, error) {
	req.Hot, req.Blob, req.Tombs = true, true, true
	p, err := s.Scan(ctx, req)
	if err != nil {
		return p, fmt.Errorf("escrow/badger: export: %w", err)
	}
	return p, nil
}
