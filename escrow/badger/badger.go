// Package badger is the embedded backend: one machine, one process, no server.
//
// It keeps what core.Backend promises over Badger v4 with the settings that
// survived real power cuts: synchronous writes, and a group commit of its own,
// in which the compare-and-sets of many users travel in one transaction, since
// Badger syncs once per transaction. It refuses, rather than risks:
//
//   - writing when the file system is nearly full (a full one kills the process
//     by SIGBUS inside Badger's mappings and cannot be reopened): Exhausted,
//     with a ballast file kept aside to reopen even then
//   - going on after a failed sync: everything is Unavailable until restart
//   - opening a folder another process holds: Unavailable
//   - opening files older than the head written beside them: Corrupt
//
// Storage teams that outgrow one machine use escrow/postgres.
package badger

import (
	"context"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	db "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/ristretto/v2/z"
	"github.com/hashicorp/go-hclog"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/internal/gate"
	"github.com/keposs/keposs/escrow/internal/settings"
)

// A Store is a Badger folder. Make it with New or NewLogged.
type Store struct {
	logger *logger
	set    config

	gate gate.Gate
	db   *db.DB

	queue   queue
	last    atomic.Uint64 // timestamp of the newest durable transaction
	readers readers
	hots    *hots
	fence   uint64 // owned by the committer
	head    *head
	ballast atomic.Bool // the ballast file is in place
	stop    chan struct{}
	done    sync.WaitGroup

	commits, syncs atomic.Uint64
}

var (
	_ core.Backend  = (*Store)(nil)
	_ core.Exporter = (*Store)(nil)
	_ core.Fencer   = (*Store)(nil)
	_ core.Healther = (*Store)(nil)
	_ core.Gatherer = (*Store)(nil)
)

// New returns an unconfigured Store that logs to standard error at Warn.
func New() core.Backend {
	return NewLogged(hclog.New(&hclog.LoggerOptions{Name: "badger", Level: hclog.Warn, Output: os.Stderr}))
}

// NewLogged returns an unconfigured Store with the caller's logger.
func NewLogged(l hclog.Logger) *Store {
	return &Store{logger: &logger{l: l}, hots: newHots(maxHots)}
}

var schema = []core.ConfigField{
	{Name: "dir", Type: "path", Help: "Folder of the store; made if absent, held exclusively."},
	{Name: "head", Type: "path", Help: "File that remembers the newest state, to notice files put back; empty: HEAD in dir. On another disk it also notices the whole folder put back."},
	{Name: "watermark_mb", Type: "int", Default: "384", Help: "Free MiB below which writes are Exhausted; at least six times memtable_mb."},
	{Name: "ballast_mb", Type: "int", Default: "64", Help: "MiB kept aside so that a full disk can be reopened; 0 = none."},
	{Name: "memtable_mb", Type: "int", Default: "64", Help: "MiB of one in-memory table."},
	{Name: "vlog_mb", Type: "int", Default: "256", Help: "MiB of one value-log file."},
	{Name: "gc_interval", Type: "duration", Default: "10m", Help: "Time between value-log collections."},
}

type config struct {
	dir, head                           string
	watermark, ballast, memtable, vlogs int64 // bytes
	gc                                  time.Duration
}

func readConfig(op string, c core.Config) (config, error) {
	s := settings.Read(op, schema, c)
	const mib = 1 << 20
	out := config{
		dir: s.Required("dir"), head: s.String("head"),
		memtable: s.Int("memtable_mb", 8, 1024) * mib,
		vlogs:    s.Int("vlog_mb", 8, 1024)*mib - 1,
		ballast:  s.Int("ballast_mb", 0, 1<<20) * mib,
		gc:       s.Duration("gc_interval", 100*time.Millisecond, 24*time.Hour),
	}
	out.watermark = s.Int("watermark_mb", 0, 1<<20) * mib
	if err := s.Err(); err != nil {
		return out, err
	}
	if low := 6 * out.memtable; out.watermark < low {
		return out, core.Errorf(core.Invalid, op, "watermark of %d MiB is below six tables of %d MiB: the store could fill the disk before it notices", out.watermark/mib, out.memtable/mib)
	}
	if out.head == "" {
		out.head = filepath.Join(out.dir, "HEAD")
	}
	return out, nil
}

func (c config) options(l db.Logger) db.Options {
	return db.DefaultOptions(c.dir).
		WithSyncWrites(true).
		WithNumVersionsToKeep(1).
		WithVerifyValueChecksum(true).
		WithChecksumVerificationMode(options.OnBlockRead).
		WithValueThreshold(1 << 10). // hot parts stay in the tree, blobs leave it
		WithMemTableSize(c.memtable).
		WithValueLogFileSize(c.vlogs).
		WithCompression(options.None). // sealed bytes do not compress
		WithBlockCacheSize(0).
		WithDetectConflicts(false). // one committer
		WithNumCompactors(2).
		WithMetricsEnabled(false).
		WithLogger(l)
}

// Describe implements core.Backend.
func (s *Store) Describe(context.Context) (core.BackendInfo, error) {
	return core.BackendInfo{Name: "badger", Version: "4.9.6", Schema: schema}, nil
}

// Configure implements core.Backend.
func (s *Store) Configure(_ context.Context, c core.Config) error {
	const op = "escrow/badger: configure"
	return s.gate.Open(op, func() error {
		set, err := readConfig(op, c)
		if err != nil {
			return err
		}
		s.set = set
		if err := s.open(); err != nil {
			return err
		}
		s.stop = make(chan struct{})
		s.queue.init()
		s.done.Add(2)
		go s.committer()
		go s.collector()
		return nil
	})
}

func (s *Store) open() (err error) {
	const op = "escrow/badger: open"
	if err := os.MkdirAll(s.set.dir, 0o700); err != nil {
		return core.Errorf(core.Unavailable, op, "%w", err)
	}
	s.makeRoom()
	defer func() {
		if err != nil && s.db != nil {
			_ = s.db.Close()
			s.db = nil
		}
	}()
	if err := checkTables(s.set.options(s.logger)); err != nil {
		return err
	}
	if s.db, err = openDB(s.set.options(s.logger)); err != nil {
		return openError(op, s.set.dir, err)
	}
	s.last.Store(s.db.MaxVersion())
	if s.head, err = openHead(s.set.head); err != nil {
		return err
	}
	if err = s.checkHead(); err != nil {
		_ = s.head.f.Close()
		return err
	}
	s.keepBallast()
	return nil
}

// openDB opens the files. A process killed between making a log file and giving
// it its size leaves an empty one, at most one of each kind. Badger refuses to
// open over it, though it repairs the file while refusing: the next try opens.
func openDB(o db.Options) (d *db.DB, err error) {
	for range 3 {
		d, err = tryOpen(o)
		if err == nil || !strings.Contains(err.Error(), z.NewFile.Error()) {
			break
		}
	}
	return d, err
}

// tryOpen turns the panics Badger and damaged mappings raise into errors.
func tryOpen(o db.Options) (d *db.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = core.Errorf(core.Corrupt, "escrow/badger: open", "files do not read: %v", r)
		}
	}()
	if d, err = db.OpenManaged(o); err != nil {
		return nil, err // what it returns beside the error is closed, or half made
	}
	return d, nil
}

// begin holds the store open for one call, unless it stopped itself.
func (s *Store) begin(ctx context.Context, op string) error {
	if err := s.gate.Enter(ctx, op); err != nil {
		return err
	}
	if err := s.logger.stopped(op); err != nil {
		s.gate.Leave()
		return err
	}
	return nil
}

// Health implements core.Healther: the store answers, has room to write and
// has not stopped itself.
func (s *Store) Health(ctx context.Context) error {
	const op = "escrow/badger: health"
	if err := s.begin(ctx, op); err != nil {
		return err
	}
	defer s.gate.Leave()
	return s.room(op)
}

// Gathers implements core.Gatherer: the committer takes all that wait.
func (s *Store) Gathers() bool { return true }

// Commits tells how many mutations and how many synced transactions the store
// has made since it was opened: their quotient is what the group commit gains.
func (s *Store) Commits() (mutations, syncs uint64) { return s.commits.Load(), s.syncs.Load() }

// Close implements core.Backend. It waits for calls under way.
func (s *Store) Close() error {
	const op = "escrow/badger: close"
	return s.gate.Close(func() error { return s.release(op) })
}

func (s *Store) release(op string) error {
	close(s.stop)
	s.queue.shut()
	s.done.Wait()
	err := closeDB(s.db)
	if herr := s.head.close(s.last.Load()); err == nil {
		err = herr
	}
	if err != nil {
		return core.Errorf(core.Unavailable, op, "%w", err)
	}
	return nil
}

func closeDB(d *db.DB) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = core.Errorf(core.Corrupt, "escrow/badger: close", "%v", r)
		}
	}()
	return d.Close()
}

// collector reclaims value-log space on schedule and lets Badger forget states
// no reader can still see.
func (s *Store) collector() {
	defer s.done.Done()
	tick := time.NewTicker(s.set.gc)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
			s.collect()
		}
	}
}

func (s *Store) collect() {
	s.keepBallast()
	s.db.SetDiscardTs(s.readers.oldest(s.last.Load()))
	if s.room("escrow/badger: collect") != nil {
		return // a rewrite needs room before it frees any
	}
	for s.db.RunValueLogGC(0.5) == nil {
		select {
		case <-s.stop:
			return
		default:
		}
	}
}
