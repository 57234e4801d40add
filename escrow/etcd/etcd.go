// Package etcd keeps records in an etcd cluster, which several SS-CC may share.
// It is the engine for small installations that have etcd already: a cluster
// holds 8 GiB at most and every version until it is compacted.
//
// A record is two keys, its hot and its blob part, in the form of
// escrow/internal/codec. A mutation reads the hot part and replaces what it has
// to in a transaction that compares the hot part's mod revision, so that nobody
// wrote between; mutations of different keys travel as nested transactions of
// one, each with a comparison of its own, and share a proposal and a sync. All
// reads are linearizable unless a stale one is asked for.
//
// What never left this process is Unavailable; what a member may have proposed
// when the answer failed is Indeterminate. A member's --unsafe-no-fsync cannot
// be seen from here: do not use it.
package etcd

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/internal/gate"
)

// A Store is a prefix of an etcd cluster. Make it with New.
type Store struct {
	gate   gate.Gate
	set    config
	client *clientv3.Client
}

var (
	_ core.Backend  = (*Store)(nil)
	_ core.Exporter = (*Store)(nil)
	_ core.Fencer   = (*Store)(nil)
	_ core.Healther = (*Store)(nil)
)

// New returns an unconfigured Store.
func New() core.Backend { return &Store{} }

// Describe implements core.Backend.
func (s *Store) Describe(context.Context) (core.BackendInfo, error) {
	return core.BackendInfo{Name: "etcd", Version: "1", Replicated: true, Schema: schema}, nil
}

// form is the version of the layout below a prefix.
const form = "1"

// Keys below the prefix: the layout's version, the fence (8 bytes, big endian),
// and the two parts of every record.
func (s *Store) formKey() string         { return s.set.prefix + "form" }
func (s *Store) fenceKey() string        { return s.set.prefix + "fence" }
func (s *Store) hotKey(k []byte) string  { return s.set.prefix + "h/" + string(k) }
func (s *Store) blobKey(k []byte) string { return s.set.prefix + "b/" + string(k) }
func fenceValue(fence uint64) string     { return string(binary.BigEndian.AppendUint64(nil, fence)) }

// Configure implements core.Backend. It writes the layout's version and the
// fence unless they are there.
func (s *Store) Configure(ctx context.Context, c core.Config) error {
	const op = "escrow/etcd: configure"
	return s.gate.Open(op, func() error { return s.open(ctx, op, c) })
}

func (s *Store) open(ctx context.Context, op string, c core.Config) error {
	set, err := readConfig(op, c)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return core.Errorf(core.Unavailable, op, "not started: %w", ctx.Err())
	}
	client, err := clientv3.New(set.client)
	if err != nil { // it logs in here, where the cluster asks for it
		return readError(op, err)
	}
	s.set = set
	if err := s.prepare(ctx, op, client); err != nil {
		_ = client.Close()
		return err
	}
	s.client = client
	return nil
}

func (s *Store) prepare(ctx context.Context, op string, client *clientv3.Client) error {
	ctx, cancel := context.WithTimeout(ctx, s.set.wait)
	defer cancel()
	absent := clientv3.Compare(clientv3.CreateRevision(s.formKey()), "=", 0)
	r, err := client.Txn(ctx).If(absent).
		Then(clientv3.OpPut(s.formKey(), form), clientv3.OpPut(s.fenceKey(), fenceValue(0))).
		Else(clientv3.OpGet(s.formKey())).Commit()
	if err != nil {
		return readError(op, err) // to repeat it is harmless
	}
	if r.Succeeded {
		return nil
	}
	if kvs := r.Responses[0].GetResponseRange().Kvs; len(kvs) != 1 || string(kvs[0].Value) != form {
		return core.Errorf(core.Unsupported, op, "what lies below the prefix is not of form %s: made by a newer keposs, or not by keposs", form)
	}
	return nil
}

// retries of what was certainly not applied: a member that is gone is found out
// by its first error, and another one asked.
var retries = []time.Duration{10 * time.Millisecond, 50 * time.Millisecond, 250 * time.Millisecond}

// run commits one transaction within request_timeout. Its error is of the
// contract, but for a cluster without space: rpctypes.ErrNoSpace, which for a
// write leaves open whether it was applied.
func (s *Store) run(ctx context.Context, op string, write bool, cmps []clientv3.Cmp, ops []clientv3.Op) (*clientv3.TxnResponse, error) {
	ctx, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), s.set.wait)
	defer cancel()
	for n := 0; ; n++ {
		ctx, sent := marked(ctx)
		r, err := s.client.Txn(ctx).If(cmps...).Then(ops...).Commit()
		switch {
		case err == nil:
			return r, nil
		case errors.Is(err, rpctypes.ErrNoSpace):
			return nil, rpctypes.ErrNoSpace
		case write:
			err = writeError(op, err, sent.Load())
		default:
			err = readError(op, err)
		}
		if n == len(retries) || core.CodeOf(err) != core.Unavailable || ctx.Err() != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(retries[n]):
		}
	}
}

// read runs gets as one transaction, of one revision.
func (s *Store) read(ctx context.Context, op string, gets []clientv3.Op) (*clientv3.TxnResponse, error) {
	r, err := s.run(ctx, op, false, nil, gets)
	if errors.Is(err, rpctypes.ErrNoSpace) { // no member answers a read so
		err = readError(op, err)
	}
	return r, err
}

// Health implements core.Healther: a quorum answers.
func (s *Store) Health(ctx context.Context) error {
	const op = "escrow/etcd: health"
	if err := s.gate.Enter(ctx, op); err != nil {
		return err
	}
	defer s.gate.Leave()
	_, err := s.read(ctx, op, []clientv3.Op{clientv3.OpGet(s.fenceKey())})
	return err
}

// Close implements core.Backend. It waits for calls under way.
func (s *Store) Close() error {
	return s.gate.Close(func() error {
		_ = s.client.Close()
		return nil
	})
}
