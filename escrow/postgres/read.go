package postgres

import (
	"bytes"
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/internal/rule"
)

// GetMany implements core.Backend. Stale reads are fresh ones.
func (s *Store) GetMany(ctx context.Context, keys []core.Key, o core.ReadOpts) ([]core.Record, error) {
	const op = "escrow/postgres: get"
	if err := rule.CheckKeys(op, keys); err != nil {
		return nil, err
	}
	if err := s.gate.Enter(ctx, op); err != nil {
		return nil, err
	}
	defer s.gate.Leave()
	sql, list := getSQL, make([][]byte, len(keys))
	if o.HotOnly {
		sql = getHotSQL
	}
	for i, k := range keys {
		list[i] = k
	}
	found := make(map[string]core.Record, len(keys))
	err := s.query(ctx, op, sql, []any{list}, func(row pgx.Rows) error {
		r, err := scan(row, nil)
		found[string(r.Key)] = r
		return err
	})
	if err != nil {
		return nil, err
	}
	out := make([]core.Record, len(keys))
	for i, k := range keys {
		r := found[string(k)]
		out[i] = core.Record{Key: bytes.Clone(k), Version: r.Version, ReqID: r.ReqID, Hot: bytes.Clone(r.Hot), Blob: bytes.Clone(r.Blob)}
	}
	return out, nil
}

// Scan implements core.Backend. A page is one statement, so one state.
func (s *Store) Scan(ctx context.Context, req core.ScanRequest) (core.Page, error) {
	const op = "escrow/postgres: scan"
	if err := rule.CheckScan(op, req); err != nil {
		return core.Page{}, err
	}
	if err := s.gate.Enter(ctx, op); err != nil {
		return core.Page{}, err
	}
	defer s.gate.Leave()
	p, err := s.rows(ctx, op, scanSQL, []any{append([]byte{}, req.After...), req.Tombs, req.Hot, req.Blob, req.Limit + 1})
	if err != nil {
		return core.Page{}, err
	}
	return rule.Page(p, req), nil
}

// rows is what a statement of records and deletion marks gives, in its order.
func (s *Store) rows(ctx context.Context, op, sql string, args []any) (p core.Page, err error) {
	err = s.query(ctx, op, sql, args, func(row pgx.Rows) error {
		var dead bool
		r, err := scan(row, &dead)
		if dead {
			r.Hot, r.Blob = nil, nil
		}
		p.Records, p.Deleted = append(p.Records, r), append(p.Deleted, dead)
		return err
	})
	return p, err
}

// query runs one reading statement and gives every row to f.
func (s *Store) query(ctx context.Context, op, sql string, args []any, f func(pgx.Rows) error) error {
	return s.with(ctx, op, func(ctx context.Context, conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, sql, args...)
		if err != nil {
			return readError(op, err)
		}
		defer rows.Close()
		for rows.Next() {
			if err := f(rows); err != nil {
				return readError(op, err)
			}
		}
		if err := rows.Err(); err != nil {
			return readError(op, err)
		}
		return nil
	})
}

// scan reads key, version, deletion mark if asked for, request id, hot, blob.
// The three parts share one piece of memory: the driver's is its own again with
// the next row.
func scan(row pgx.Rows, dead *bool) (core.Record, error) {
	var r core.Record
	var ver int64
	var key, hot, blob pgtype.DriverBytes
	to := []any{&key, &ver, (*[16]byte)(&r.ReqID), &hot, &blob}
	if dead != nil {
		to = []any{to[0], to[1], dead, to[2], to[3], to[4]}
	}
	if err := row.Scan(to...); err != nil {
		return core.Record{}, err
	}
	b := make([]byte, 0, len(key)+len(hot)+len(blob))
	part := func(from []byte) []byte {
		if from == nil {
			return nil
		}
		at := len(b)
		b = append(b, from...)
		return b[at:len(b):len(b)]
	}
	r.Key, r.Version, r.Hot, r.Blob = part(key), core.Version(ver), part(hot), part(blob)
	return r, nil
}
