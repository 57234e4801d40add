// Package kv makes a core.Backend out of any key-value store that can compare
// and swap: versions, request ids, tombstones, bounds, checksums and the errors
// of the contract are here, so that a store needs three calls.
//
// A record is one value, in the form of escrow/internal/codec. A mutation costs
// a read and a swap of its own: an engine with transactions does better with a
// backend written for it (escrow/badger, escrow/postgres, escrow/etcd).
package kv

import (
	"bytes"
	"context"
	"errors"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/internal/codec"
	"github.com/keposs/keposs/escrow/internal/gate"
	"github.com/keposs/keposs/escrow/internal/rule"
	"github.com/keposs/keposs/escrow/internal/settings"
)

// A Pair is a key and its value.
type Pair struct{ Key, Value []byte }

// A Store is the least an engine has to do. Its methods are called by many at
// once. An error that is a *core.Error is passed on; another one of Get or Range
// is Unavailable, of Swap Indeterminate.
type Store interface {
	// Get returns a value as the last Swap left it; nil = absent. The value is the caller's.
	Get(ctx context.Context, key []byte) ([]byte, error)
	// Swap makes value the key's if it has old now, nil = absent, in one step and
	// durable at return. False: it has something else, nothing was changed.
	Swap(ctx context.Context, key, old, value []byte) (bool, error)
	// Range returns the first n pairs whose keys follow after, in order as bytes.
	Range(ctx context.Context, after []byte, n int) ([]Pair, error)
	// Close releases everything; no call is under way and none follows.
	Close() error
}

// maxTries bounds the swaps of a mutation whose key others change meanwhile.
const maxTries = 2 * core.MaxBatch

type backend struct {
	info  core.BackendInfo
	open  func(context.Context, core.Config) (Store, error)
	gate  gate.Gate
	store Store
}

var (
	_ core.Backend  = (*backend)(nil)
	_ core.Exporter = (*backend)(nil)
)

// Backend returns an unconfigured backend over the store that open makes from
// settings named in info.Schema; open is to refuse unknown ones with Invalid.
func Backend(info core.BackendInfo, open func(context.Context, core.Config) (Store, error)) core.Backend {
	return &backend{info: info, open: open}
}

// Describe implements core.Backend.
func (b *backend) Describe(context.Context) (core.BackendInfo, error) { return b.info, nil }

// Configure implements core.Backend.
func (b *backend) Configure(ctx context.Context, c core.Config) error {
	const op = "escrow/kv: configure"
	return b.gate.Open(op, func() error {
		if err := settings.Read(op, b.info.Schema, c).Err(); err != nil {
			return err
		}
		s, err := b.open(ctx, c)
		if err != nil {
			return coded(op, err, core.Unavailable)
		}
		b.store = s
		return nil
	})
}

// coded passes a *core.Error on and wraps what is none, without its text: an
// engine may quote what it was given.
func coded(op string, err error, code core.Code) error {
	var e *core.Error
	if errors.As(err, &e) {
		return err
	}
	return core.Errorf(code, op, "the store failed")
}

// GetMany implements core.Backend.
func (b *backend) GetMany(ctx context.Context, keys []core.Key, o core.ReadOpts) ([]core.Record, error) {
	const op = "escrow/kv: get"
	if err := rule.CheckKeys(op, keys); err != nil {
		return nil, err
	}
	if err := b.gate.Enter(ctx, op); err != nil {
		return nil, err
	}
	defer b.gate.Leave()
	out := make([]core.Record, len(keys))
	for i, k := range keys {
		out[i].Key = bytes.Clone(k)
		v, err := b.store.Get(ctx, k)
		if err != nil {
			return nil, coded(op, err, core.Unavailable)
		}
		if v == nil {
			continue
		}
		m, blob, err := codec.DecodeRecord(k, v)
		if err != nil {
			return nil, err
		}
		if !m.Deleted {
			out[i].Version, out[i].ReqID, out[i].Hot = m.Version, m.ReqID, m.Hot
			if !o.HotOnly {
				out[i].Blob = blob
			}
		}
	}
	return out, nil
}

// CommitMany implements core.Backend.
func (b *backend) CommitMany(ctx context.Context, ms []core.Mutation) ([]core.Result, error) {
	const op = "escrow/kv: commit"
	if err := rule.CheckBatch(op, len(ms)); err != nil {
		return nil, err
	}
	if err := b.gate.Enter(ctx, op); err != nil {
		return nil, err
	}
	defer b.gate.Leave()
	out := make([]core.Result, len(ms))
	for i, m := range ms {
		if err := rule.Check(m); err != nil {
			out[i].Err = err
		} else if ctx.Err() != nil {
			out[i].Err = core.Errorf(core.Unavailable, op, "not started: %w", ctx.Err())
		} else {
			out[i] = b.mutate(ctx, op, m)
		}
	}
	return out, nil
}

func (b *backend) mutate(ctx context.Context, op string, m core.Mutation) core.Result {
	if m.Fence != 0 {
		return core.Result{Err: core.Errorf(core.Unsupported, op, "this store has no fence")}
	}
	for range maxTries {
		old, was, blob, err := b.state(ctx, op, m.Key)
		if err != nil {
			return core.Result{Err: err}
		}
		res, write := rule.Decide(rule.State{Version: was.Version, Deleted: was.Deleted, ReqID: was.ReqID, Hot: was.Hot,
			Blob: func() ([]byte, error) { return blob, nil }}, m)
		if !write {
			return res
		}
		next := codec.Meta{Version: res.Version, ReqID: m.ReqID, Hot: m.Hot, BlobRev: was.BlobRev}
		switch m.Op {
		case core.OpPut:
			next.BlobRev, blob = res.Version, m.Blob
		case core.OpDelete:
			next.Deleted, next.BlobRev = true, 0
		}
		done, err := b.store.Swap(ctx, m.Key, old, codec.EncodeRecord(nil, m.Key, next, blob))
		if err != nil {
			return core.Result{Err: coded(op, err, core.Indeterminate)}
		}
		if done {
			return res
		}
	}
	return core.Result{Err: core.Errorf(core.Unavailable, op, "others change this record without pause; try again")}
}

// state reads a key: its value, and what the value says.
func (b *backend) state(ctx context.Context, op string, k core.Key) (v []byte, m codec.Meta, blob []byte, err error) {
	if v, err = b.store.Get(ctx, k); err != nil {
		return nil, m, nil, coded(op, err, core.Unavailable)
	}
	if v != nil {
		m, blob, err = codec.DecodeRecord(k, v)
	}
	return v, m, blob, err
}

// Close implements core.Backend. It waits for calls under way.
func (b *backend) Close() error {
	return b.gate.Close(func() error {
		if err := b.store.Close(); err != nil {
			return coded("escrow/kv: close", err, core.Unavailable)
		}
		return nil
	})
}
