package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/internal/rule"
)

// Bounds on running again: a wave after a serialization failure, and a call
// whose keys change between its write and the look at what it met.
const (
	maxRetries = 10
	maxWaves   = 2 * core.MaxBatch
)

const commitOp = "escrow/postgres: commit"

// CommitMany implements core.Backend. Mutations of different keys travel
// together; those of one key follow each other.
func (s *Store) CommitMany(ctx context.Context, ms []core.Mutation) ([]core.Result, error) {
	if err := rule.CheckBatch(commitOp, len(ms)); err != nil {
		return nil, err
	}
	if err := s.gate.Enter(ctx, commitOp); err != nil {
		return nil, err
	}
	defer s.gate.Leave()
	out, pending := rule.Sound(ms)
	var failed error
	for range maxWaves {
		if len(pending) == 0 {
			return out, nil
		}
		var wave []int
		seen := map[string]bool{}
		for _, i := range pending {
			if k := string(ms[i].Key); !seen[k] {
				seen[k] = true
				wave = append(wave, i)
			}
		}
		done := make(map[int]bool, len(wave))
		if failed = s.wave(ctx, ms, wave, out, done); failed != nil {
			break
		}
		left := pending[:0:0]
		for _, i := range pending {
			if !done[i] {
				left = append(left, i)
			}
		}
		pending = left
	}
	if failed == nil {
		failed = core.Errorf(core.Unavailable, commitOp, "others change these records without pause; try again")
	}
	for _, i := range pending {
		if out[i].Version == 0 && out[i].Err == nil {
			out[i].Err = failed
		}
	}
	return out, nil
}

// wave sends one mutation a key. It fills in the results it knows and marks
// them done. The error is for those of the wave that have no result, and then
// also true of later ones.
func (s *Store) wave(ctx context.Context, ms []core.Mutation, wave []int, out []core.Result, done map[int]bool) error {
	return s.with(ctx, commitOp, func(ctx context.Context, conn *pgxpool.Conn) error {
		var versions map[int]core.Version
		err := again(ctx, func() (err error) { versions, err = write(ctx, conn, ms, wave); return err })
		if err != nil {
			return writeError(commitOp, err)
		}
		var missed []int
		for _, i := range wave {
			if v, ok := versions[i]; ok {
				out[i].Version, done[i] = v, true
			} else {
				missed = append(missed, i)
			}
		}
		if len(missed) == 0 {
			return nil
		}
		return decide(ctx, conn, ms, missed, out, done)
	})
}

// again runs a transaction until the server does not ask to run it again.
func again(ctx context.Context, run func() error) (err error) {
	for n := range maxRetries {
		if err = run(); !serialization(err) {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(rand.Int64N(int64(time.Millisecond) << n))):
		}
	}
	return err
}

// write runs the statements of a wave in one round trip and transaction and
// returns the versions of those that changed a row. The commit is known only
// when the batch closes without error.
func write(ctx context.Context, conn *pgxpool.Conn, ms []core.Mutation, wave []int) (map[int]core.Version, error) {
	var b pgx.Batch
	versions := make(map[int]core.Version, len(wave))
	for _, i := range wave {
		if ms[i].Fence != 0 {
			b.Queue(holdFenceSQL)
			break
		}
	}
	for _, i := range wave {
		if ms[i].Expect > rule.MaxVersion {
			continue // no record can be there
		}
		sql, args := statement(ms[i])
		b.Queue(sql, args...).QueryRow(func(row pgx.Row) error {
			var v int64
			err := row.Scan(&v)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			versions[i] = core.Version(v)
			return err
		})
	}
	if b.Len() == 0 {
		return nil, nil
	}
	return versions, durably(conn, func() error { return conn.SendBatch(ctx, &b).Close() })
}

// statement is the compare-and-set of m.
func statement(m core.Mutation) (string, []any) {
	hot, blob := append([]byte{}, m.Hot...), append([]byte{}, m.Blob...) // never null
	args := []any{[]byte(m.Key), [16]byte(m.ReqID)}
	if m.Op == core.OpPut && m.Expect == 0 {
		args = append(args, hot, blob)
		if m.Fence != 0 {
			return createFencedSQL, append(args, shifted(m.Fence))
		}
		return createSQL, args
	}
	args = append(args, int64(m.Expect))
	sql, fence := deleteSQL, " and $4 >= (select value from fence)"
	switch m.Op {
	case core.OpPut:
		sql, fence = putSQL, " and $6 >= (select value from fence)"
		args = append(args, hot, blob)
	case core.OpPutHot:
		sql, fence = putHotSQL, " and $5 >= (select value from fence)"
		args = append(args, hot)
	}
	if m.Fence == 0 {
		return sql + returning, args
	}
	return sql + fence + returning, append(args, shifted(m.Fence))
}

// shifted keeps the order of fences in a signed column.
func shifted(fence uint64) int64 { return int64(fence ^ 1<<63) }

// decide answers mutations that changed no row from what is there now. One that
// would change a row by now stays open, for the next wave.
func decide(ctx context.Context, conn *pgxpool.Conn, ms []core.Mutation, missed []int, out []core.Result, done map[int]bool) error {
	var b pgx.Batch
	var repeated bool
	var fence int64
	b.Queue(readFenceSQL).QueryRow(func(row pgx.Row) error { return row.Scan(&fence) })
	for _, i := range missed {
		m := ms[i]
		b.Queue(stateSQL, []byte(m.Key), [16]byte(m.ReqID)).QueryRow(func(row pgx.Row) error {
			var st rule.State
			var ver int64
			var blob []byte
			err := row.Scan(&ver, &st.Deleted, (*[16]byte)(&st.ReqID), &st.Hot, &blob)
			if err != nil && !errors.Is(err, pgx.ErrNoRows) {
				return err
			}
			st.Version, st.Blob = core.Version(ver), func() ([]byte, error) { return blob, nil }
			res, write := rule.Decide(st, m)
			if write && m.Fence != 0 && shifted(m.Fence) < fence {
				res, write = core.Result{Err: core.Errorf(core.Fenced, commitOp, "fence %d was passed by %d", m.Fence, uint64(fence)^1<<63)}, false
			}
			if !write {
				out[i], done[i] = res, true
				repeated = repeated || res.Err == nil
			}
			return nil
		})
	}
	if err := conn.SendBatch(ctx, &b).Close(); err != nil {
		return readError(commitOp, err)
	}
	if !repeated {
		return nil
	}
	// What a repetition finds may have been committed by a try that was given up
	// while it waited for the standbys. A later commit that is acknowledged says
	// that they have everything before it.
	err := durably(conn, func() error { _, err := conn.Exec(ctx, barrierSQL); return err })
	if err != nil {
		for _, i := range missed {
			if done[i] && out[i].Err == nil {
				out[i], done[i] = core.Result{}, false
			}
		}
		return core.Errorf(core.Indeterminate, commitOp, "the commit happened and may not be on a standby yet, repeat it with the same request id: %s", cause(err))
	}
	return nil
}

// RaiseFence implements core.Fencer. It waits for fenced commits under way.
func (s *Store) RaiseFence(ctx context.Context, fence uint64) error {
	const op = "escrow/postgres: fence"
	if err := s.gate.Enter(ctx, op); err != nil {
		return err
	}
	defer s.gate.Leave()
	return s.with(ctx, op, func(ctx context.Context, conn *pgxpool.Conn) error {
		var tag pgconn.CommandTag
		err := durably(conn, func() (err error) { tag, err = conn.Exec(ctx, raiseFenceSQL, shifted(fence)); return err })
		if err != nil {
			return writeError(op, err)
		}
		if tag.RowsAffected() == 0 {
			return core.Errorf(core.Fenced, op, "fence %d was passed by a higher one", fence)
		}
		return nil
	})
}
