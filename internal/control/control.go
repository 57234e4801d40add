// Package control is two ways of using Badger that lose acknowledged writes at
// a power cut. `keposs lab faults` runs them beside the real backend, and the
// conformance kit has them among its mutants: a run that does not catch both
// shows nothing.
package control

import (
	"bytes"
	"context"
	"errors"

	db "github.com/dgraph-io/badger/v4"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/kv"
)

// Names of the controls, as plugins of this program.
const (
	Default = "control-badger-default" // Badger as it comes: nothing is synced
	Barrier = "control-badger-sync"    // Badger as it comes, DB.Sync before the answer
)

// Backend returns a control; nil = no such.
func Backend(name string) core.Backend {
	if name != Default && name != Barrier {
		return nil
	}
	info := core.BackendInfo{Name: name, Version: "1", Schema: []core.ConfigField{{Name: "dir", Type: "path", Help: "Folder of the database."}}}
	return kv.Backend(info, func(_ context.Context, c core.Config) (kv.Store, error) {
		o := db.DefaultOptions(c.Values["dir"]).WithLogger(nil)
		if name == Barrier {
			// As on a busy disk: compaction lags, so flushes wait, and the tables in
			// memory that are full wait for them. A dozen records fill one, so what
			// many write at once lies in several.
			o = o.WithMemTableSize(16 << 10).WithValueThreshold(2 << 10).WithNumMemtables(4 << 10).
				WithNumCompactors(0).WithNumLevelZeroTables(1).WithNumLevelZeroTablesStall(2)
		}
		d, err := db.Open(o)
		if err != nil {
			return nil, err
		}
		return &store{db: d, barrier: name == Barrier}, nil
	})
}

type store struct {
	db      *db.DB
	barrier bool
}

// Get implements kv.Store.
func (s *store) Get(_ context.Context, key []byte) (value []byte, err error) {
	err = s.db.View(func(t *db.Txn) error {
		value, err = get(t, key)
		return err
	})
	return value, err
}

func get(t *db.Txn, key []byte) ([]byte, error) {
	item, err := t.Get(key)
	if errors.Is(err, db.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return item.ValueCopy(nil)
}

// Swap implements kv.Store, but for durability.
func (s *store) Swap(_ context.Context, key, old, value []byte) (done bool, err error) {
	err = s.db.Update(func(t *db.Txn) error {
		have, err := get(t, key)
		if err != nil || (have == nil) != (old == nil) || !bytes.Equal(have, old) {
			return err
		}
		done = true
		return t.Set(bytes.Clone(key), bytes.Clone(value))
	})
	if errors.Is(err, db.ErrConflict) { // another one was first
		return false, nil
	}
	// Badger writes what many commit at once and then answers them all. Sync
	// reaches the table that is written now; what went to the ones before it is on
	// the disk only when they are flushed.
	if err == nil && done && s.barrier {
		err = s.db.Sync()
	}
	return done && err == nil, err
}

// Range implements kv.Store.
func (s *store) Range(_ context.Context, after []byte, n int) (out []kv.Pair, err error) {
	err = s.db.View(func(t *db.Txn) error {
		it := t.NewIterator(db.DefaultIteratorOptions)
		defer it.Close()
		for it.Seek(append(bytes.Clone(after), 0)); it.Valid() && len(out) < n; it.Next() {
			v, err := it.Item().ValueCopy(nil)
			if err != nil {
				return err
			}
			out = append(out, kv.Pair{Key: it.Item().KeyCopy(nil), Value: v})
		}
		return nil
	})
	return out, err
}

// Close implements kv.Store.
func (s *store) Close() error { return s.db.Close() }
