package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/internal/rule"
)

var _ core.Exporter = (*Store)(nil)

// importSQL keeps what is as new.
const importSQL = `insert into record as r (key, ver, dead, req, hot, blob) values ($1, $2, $3, $4, $5, $6)
 on conflict (key) do update set ver = excluded.ver, dead = excluded.dead, req = excluded.req, hot = excluded.hot, blob = excluded.blob
 where r.ver < excluded.ver`

// Export implements core.Exporter.
func (s *Store) Export(ctx context.Context, req core.ScanRequest) (core.Page, error) {
	req.Hot, req.Blob, req.Tombs = true, true, true
	return s.Scan(ctx, req)
}

// Import implements core.Exporter. All records of a call are durable together
// when it returns nil.
func (s *Store) Import(ctx context.Context, recs []core.Record, deleted []bool) error {
	const op = "escrow/postgres: import"
	if err := rule.CheckImport(recs, deleted); err != nil {
		return err
	}
	if err := s.gate.Enter(ctx, op); err != nil {
		return err
	}
	defer s.gate.Leave()
	if len(recs) == 0 {
		return nil
	}
	return s.with(ctx, op, func(ctx context.Context, conn *pgxpool.Conn) error {
		err := again(ctx, func() error {
			var b pgx.Batch
			for i, r := range recs {
				b.Queue(importSQL, []byte(r.Key), int64(r.Version), deleted != nil && deleted[i], [16]byte(r.ReqID),
					append([]byte{}, r.Hot...), append([]byte{}, r.Blob...))
			}
			return durably(conn, func() error { return conn.SendBatch(ctx, &b).Close() })
		})
		if err != nil {
			return writeError(op, err)
		}
		return nil
	})
}
