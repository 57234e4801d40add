package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"

	db "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/keposs/keposs/core"
)

// An engine is a database used without keposs: the limit programs of a durable
// compare-and-set. grouped is what can be had, plain what a first try gives. read
// is the limit program of a fetch where the database is another process, of one
// record of those stored. Each is nil where there is none.
type engine struct {
	grouped, plain writer
	read           func(context.Context, core.Key) ([]byte, error)
	close          func() error
}

// newEngine opens the engine under a backend; nil when it has no limit program.
func newEngine(ctx context.Context, o Options, dir string) (*engine, error) {
	switch o.Backend {
	case "badger":
		return bareBadger(dir)
	case "postgres":
		return barePostgres(ctx, string(o.DSN))
	case "etcd":
		return bareEtcd(ctx, o.Settings["endpoints"])
	default:
		return nil, nil
	}
}

func conflict(v core.Version) error {
	return &core.Error{Code: core.Conflict, Op: "lab escrow", Current: v}
}

func quiet(dir string) db.Options {
	return db.DefaultOptions(dir).WithSyncWrites(true).WithNumVersionsToKeep(1).WithValueThreshold(1 << 10).
		WithCompression(options.None).WithBlockCacheSize(0).WithMetricsEnabled(false).WithLogger(nil)
}

// asked is one waiting write of the group commit.
type asked struct {
	key    core.Key
	expect core.Version
	hot    []byte
	done   chan error
}

// bareBadger is Badger with a group commit of thirty lines: whoever waits shares
// the next transaction, and Badger syncs once for it.
func bareBadger(dir string) (*engine, error) {
	d, err := db.Open(quiet(dir))
	if err != nil {
		return nil, core.Errorf(core.Environment, "lab escrow", "bare badger: %w", err)
	}
	queue := make(chan asked, callers)
	var ended sync.WaitGroup
	ended.Go(func() {
		for a := range queue {
			batch := []asked{a}
			for more := true; more; {
				select {
				case b, ok := <-queue:
					if more = ok; ok {
						batch = append(batch, b)
					}
				default:
					more = false
				}
			}
			answers := make([]error, len(batch))
			err := d.Update(func(t *db.Txn) error {
				for i, b := range batch {
					if answers[i] = casIn(t, b.key, b.expect, b.hot); answers[i] != nil && core.CodeOf(answers[i]) != core.Conflict {
						return answers[i]
					}
				}
				return nil
			})
			for i, b := range batch {
				if err != nil {
					answers[i] = err
				}
				b.done <- answers[i]
			}
		}
	})
	return &engine{
		grouped: func(_ context.Context, k core.Key, v core.Version, hot []byte) (core.Version, error) {
			a := asked{append(core.Key("g"), k...), v, hot, make(chan error, 1)}
			queue <- a
			return v + 1, <-a.done
		},
		plain: func(_ context.Context, k core.Key, v core.Version, hot []byte) (core.Version, error) {
			return v + 1, d.Update(func(t *db.Txn) error { return casIn(t, append(core.Key("p"), k...), v, hot) })
		},
		close: func() error {
			close(queue)
			ended.Wait()
			if err := d.Close(); err != nil {
				return core.Errorf(core.Environment, "lab escrow", "bare badger: %w", err)
			}
			return nil
		},
	}, nil
}

// casIn is one compare-and-set in a transaction of Badger.
func casIn(t *db.Txn, k core.Key, expect core.Version, hot []byte) error {
	now := core.Version(0)
	it, err := t.Get(k)
	if err == nil {
		err = it.Value(func(b []byte) error { now = core.Version(binary.BigEndian.Uint64(b)); return nil })
	}
	if err != nil && !errors.Is(err, db.ErrKeyNotFound) {
		return err
	}
	if now != expect {
		return conflict(now)
	}
	return t.Set(k, append(binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(hot)), uint64(expect)+1), hot...))
}

// barePostgres is pgx and one statement.
func barePostgres(ctx context.Context, dsn string) (*engine, error) {
	fail := func(err error) (*engine, error) {
		return nil, core.Errorf(core.Environment, "lab escrow", "bare pgx: the server refuses: %w", err)
	}
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, core.Errorf(core.Usage, "lab escrow", "the connection string does not parse")
	}
	cfg.MaxConns = 8
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return fail(err)
	}
	const table = "keposs_lab_bare"
	if _, err := pool.Exec(ctx, `drop table if exists `+table+`; create table `+table+` (key bytea primary key, ver bigint not null, hot bytea not null, blob bytea) with (fillfactor = 70)`); err != nil {
		pool.Close()
		return fail(err)
	}
	hot, blob := noise(hotSize, 1), noise(blobSize, 2)
	_, err = pool.CopyFrom(ctx, pgx.Identifier{table}, []string{"key", "ver", "hot", "blob"}, pgx.CopyFromSlice(stored, func(i int) ([]any, error) {
		return []any{[]byte(key(i)), 1, hot, blob}, nil
	}))
	if err != nil {
		pool.Close()
		return fail(err)
	}
	read := func(ctx context.Context, k core.Key) ([]byte, error) {
		var ver int64
		var hot, blob []byte
		err := pool.QueryRow(ctx, `select ver, hot, blob from `+table+` where key = $1`, []byte(k)).Scan(&ver, &hot, &blob)
		return append(hot, blob...), err
	}
	cas := func(ctx context.Context, k core.Key, v core.Version, hot []byte) (core.Version, error) {
		sql, args := `update `+table+` set ver = ver + 1, hot = $2 where key = $1 and ver = $3`, []any{[]byte(k), hot, int64(v)}
		if v == 0 {
			sql, args = `insert into `+table+` (key, ver, hot) values ($1, 1, $2) on conflict do nothing`, args[:2]
		}
		tag, err := pool.Exec(ctx, sql, args...)
		if err != nil {
			return 0, err
		}
		if tag.RowsAffected() == 1 {
			return v + 1, nil
		}
		var now int64
		if err := pool.QueryRow(ctx, `select ver from `+table+` where key = $1`, []byte(k)).Scan(&now); err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return 0, err
		}
		return 0, conflict(core.Version(now))
	}
	return &engine{grouped: cas, read: read, close: func() error {
		_, err := pool.Exec(context.WithoutCancel(ctx), `drop table `+table+`; drop schema if exists `+Space+` cascade`)
		pool.Close()
		if err != nil {
			return core.Errorf(core.Environment, "lab escrow", "bare pgx: %w", err)
		}
		return nil
	}}, nil
}
