package badger

import (
	"bytes"
	"context"
	"errors"
	"runtime/debug"
	"sync"

	db "github.com/dgraph-io/badger/v4"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/internal/codec"
	"github.com/keposs/keposs/escrow/internal/rule"
)

// Key spaces: 'h' key → hot part, 'b' key → blob part, 'm' name → the store's own.
var (
	fenceKey = []byte("mfence")
	idKey    = []byte("mid")
)

func hotKey(k core.Key) []byte  { return append(append(make([]byte, 0, 1+len(k)), 'h'), k...) }
func blobKey(k core.Key) []byte { return append(append(make([]byte, 0, 1+len(k)), 'b'), k...) }

// readers counts the timestamps being read, so that Badger keeps what they see.
type readers struct {
	mu     sync.Mutex
	active map[uint64]int
}

func (r *readers) enter(last func() uint64) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.active == nil {
		r.active = map[uint64]int{}
	}
	ts := last()
	r.active[ts]++
	return ts
}

func (r *readers) leave(ts uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.active[ts]--; r.active[ts] == 0 {
		delete(r.active, ts)
	}
}

// oldest returns the lowest timestamp still read, at most last.
func (r *readers) oldest(last uint64) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	for ts := range r.active {
		last = min(last, ts)
	}
	return last
}

// view runs f on the newest durable state. It does not wait for commits under
// way, which is why the store keeps Badger's timestamps itself.
func (s *Store) view(ctx context.Context, op string, f func(*db.Txn) error) (err error) {
	if err := s.begin(ctx, op); err != nil {
		return err
	}
	defer s.gate.Leave()
	ts := s.readers.enter(s.last.Load)
	defer s.readers.leave(ts)
	return s.at(ts, op, f)
}

// at runs f on the state of a timestamp that is being read. A panic of the
// engine or a mapping that ends early is Corrupt; that holds for the goroutine of
// f only.
func (s *Store) at(ts uint64, op string, f func(*db.Txn) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = core.Errorf(core.Corrupt, op, "files do not read: %v", r)
		}
	}()
	txn := s.db.NewTransactionAt(ts, false)
	defer txn.Discard()
	return f(txn)
}

// readHot returns the zero Meta for a key never seen.
func readHot(txn *db.Txn, key core.Key) (codec.Meta, error) {
	it, err := txn.Get(hotKey(key))
	if errors.Is(err, db.ErrKeyNotFound) {
		return codec.Meta{}, nil
	}
	if err != nil {
		return codec.Meta{}, engineError("hot", err)
	}
	var m codec.Meta
	err = it.Value(func(b []byte) error {
		m, err = codec.DecodeHot(key, b)
		return err
	})
	if err != nil {
		return codec.Meta{}, engineError("hot", err)
	}
	return m, nil
}

func readBlob(txn *db.Txn, key core.Key, rev core.Version) ([]byte, error) {
	it, err := txn.Get(blobKey(key))
	if err != nil {
		return nil, engineError("blob", err)
	}
	var blob []byte
	err = it.Value(func(b []byte) error {
		blob, err = codec.DecodeBlob(key, rev, b)
		return err
	})
	if err != nil {
		return nil, engineError("blob", err)
	}
	return blob, nil
}

// engineError names damage: any failure to read a value that should be there.
func engineError(part string, err error) error {
	if core.CodeOf(err) == core.Corrupt {
		return err
	}
	return core.Errorf(core.Corrupt, "escrow/badger: read", "%s part: %w", part, err)
}

// GetMany implements core.Backend.
func (s *Store) GetMany(ctx context.Context, keys []core.Key, o core.ReadOpts) ([]core.Record, error) {
	const op = "escrow/badger: get"
	if err := rule.CheckKeys(op, keys); err != nil {
		return nil, err
	}
	out := make([]core.Record, len(keys))
	if err := s.begin(ctx, op); err != nil {
		return nil, err
	}
	defer s.gate.Leave()
	if o.HotOnly {
		return s.hotsOf(op, keys, out)
	}
	ts := s.readers.enter(s.last.Load)
	defer s.readers.leave(ts)
	err := s.at(ts, op, func(txn *db.Txn) error {
		for i, k := range keys {
			m, err := readHot(txn, k)
			if err != nil {
				return err
			}
			if out[i] = record(k, m); out[i].Version > 0 {
				if out[i].Blob, err = readBlob(txn, k, m.BlobRev); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// hotsOf fills out with the hot parts of keys, and keeps those it had to read.
func (s *Store) hotsOf(op string, keys []core.Key, out []core.Record) ([]core.Record, error) {
	missing := s.recall(keys, out)
	if len(missing) == 0 {
		return out, nil
	}
	ts := s.readers.enter(s.last.Load)
	defer s.readers.leave(ts)
	read := make([]known, 0, len(missing))
	err := s.at(ts, op, func(txn *db.Txn) error {
		for _, i := range missing {
			m, err := readHot(txn, keys[i])
			if err != nil {
				return err
			}
			out[i] = record(keys[i], m)
			m.Hot = bytes.Clone(m.Hot) // the other one is the caller's
			read = append(read, known{keys[i], m})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.learn(ts, read)
	return out, nil
}
