package kv

import (
	"bytes"
	"context"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/internal/codec"
	"github.com/keposs/keposs/escrow/internal/rule"
)

// Scan implements core.Backend.
func (b *backend) Scan(ctx context.Context, req core.ScanRequest) (core.Page, error) {
	const op = "escrow/kv: scan"
	if err := rule.CheckScan(op, req); err != nil {
		return core.Page{}, err
	}
	if err := b.gate.Enter(ctx, op); err != nil {
		return core.Page{}, err
	}
	defer b.gate.Leave()
	var p core.Page
	after := bytes.Clone(req.After)
	for len(p.Records) <= req.Limit {
		pairs, err := b.store.Range(ctx, after, req.Limit+1)
		if err != nil {
			return core.Page{}, coded(op, err, core.Unavailable)
		}
		if len(pairs) == 0 {
			break
		}
		after = pairs[len(pairs)-1].Key
		for _, pair := range pairs {
			m, blob, err := codec.DecodeRecord(pair.Key, pair.Value)
			if err != nil {
				return core.Page{}, err
			}
			if m.Deleted && !req.Tombs {
				continue
			}
			r := core.Record{Key: bytes.Clone(pair.Key), Version: m.Version, ReqID: m.ReqID}
			if req.Hot && !m.Deleted {
				r.Hot = m.Hot
			}
			if req.Blob {
				r.Blob = blob
			}
			p.Records, p.Deleted = append(p.Records, r), append(p.Deleted, m.Deleted)
		}
	}
	return rule.Page(p, req), nil
}

// Export implements core.Exporter.
func (b *backend) Export(ctx context.Context, req core.ScanRequest) (core.Page, error) {
	req.Hot, req.Blob, req.Tombs = true, true, true
	return b.Scan(ctx, req)
}

// Import implements core.Exporter.
func (b *backend) Import(ctx context.Context, recs []core.Record, deleted []bool) error {
	const op = "escrow/kv: import"
	if err := rule.CheckImport(recs, deleted); err != nil {
		return err
	}
	if err := b.gate.Enter(ctx, op); err != nil {
		return err
	}
	defer b.gate.Leave()
	for i, r := range recs {
		m := codec.Meta{Version: r.Version, Deleted: deleted != nil && deleted[i], ReqID: r.ReqID, Hot: r.Hot}
		if !m.Deleted {
			m.BlobRev = r.Version
		}
		if err := b.take(ctx, op, r.Key, codec.EncodeRecord(nil, r.Key, m, r.Blob), r.Version); err != nil {
			return err
		}
	}
	return nil
}

// take writes a value unless what is there is as new.
func (b *backend) take(ctx context.Context, op string, k core.Key, value []byte, v core.Version) error {
	for range maxTries {
		old, was, _, err := b.state(ctx, op, k)
		if err != nil || was.Version >= v {
			return err
		}
		done, err := b.store.Swap(ctx, k, old, value)
		if err != nil {
			return coded(op, err, core.Indeterminate)
		}
		if done {
			return nil
		}
	}
	return core.Errorf(core.Unavailable, op, "others change this record without pause; try again")
}
