package postgres

import (
	"context"
	"sync"

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

const (
	borderSQL = `select key from record where key > $1 order by key limit $2`
	rangeSQL  = `select key, ver, dead, req, hot, blob from record where key > $1 and key <= $2 order by key limit $3`
)

// A page of at least splitFrom records is read in two halves at once: one
// process of the server reads 2 KiB records slower than a disk writes them.
const splitFrom = 200

// Export implements core.Exporter. A large page is two statements, so its halves
// may be of two states; each record is of one, and none that is there throughout
// is left out, since rows are never removed.
func (s *Store) Export(ctx context.Context, req core.ScanRequest) (core.Page, error) {
	const op = "escrow/postgres: export"
	req.Hot, req.Blob, req.Tombs = true, true, true
	if err := rule.CheckScan(op, req); err != nil {
		return core.Page{}, err
	}
	if req.Limit < splitFrom {
		return s.Scan(ctx, req)
	}
	if err := s.gate.Enter(ctx, op); err != nil {
		return core.Page{}, err
	}
	defer s.gate.Leave()
	after := append([]byte{}, req.After...)
	keys := make([][]byte, 0, req.Limit+1)
	err := s.query(ctx, op, borderSQL, []any{after, req.Limit + 1}, func(row pgx.Rows) error {
		var k []byte
		err := row.Scan(&k)
		keys = append(keys, k)
		return err
	})
	if err != nil || len(keys) == 0 {
		return core.Page{}, err
	}
	middle, last := keys[(len(keys)-1)/2], keys[len(keys)-1]
	var halves [2]core.Page
	var errs [2]error
	var wg sync.WaitGroup
	for i, r := range [2][2][]byte{{after, middle}, {middle, last}} {
		wg.Go(func() { halves[i], errs[i] = s.rows(ctx, op, rangeSQL, []any{r[0], r[1], req.Limit + 1}) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return core.Page{}, err
		}
	}
	return rule.Page(core.Page{Records: append(halves[0].Records, halves[1].Records...), Deleted: append(halves[0].Deleted, halves[1].Deleted...)}, req), nil
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
