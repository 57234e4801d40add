// Package escrowtest is the conformance kit for storage backends: every
// sentence of core.Backend as a case. A backend's whole test is
//
//	func TestMain(m *testing.M)        { escrowtest.Main(m, harness) }
//	func TestConformance(t *testing.T) { escrowtest.Run(t, harness) }
//
// The cases are data, so that go test, `keposs plugin check` and the lab run
// the same ones: on the bare value, through the plugin glue, and in a real
// plugin process.
//
// Groups: A basics and borders, B versions and idempotency, C batches, D scan,
// E contexts and errors, F concurrency, G kill -9, H power cut, J damage,
// K rollback, L replication faults, M export and migration, N dead stays dead,
// O limits, P nothing readable. Levels: 0 always, 1 in CI, 2 long.
//
// A finding met once in the field becomes a case here first.
package escrowtest

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/keposs/keposs/core"
)

// A Case is one rule a backend keeps.
type Case struct {
	Name   string // CamelCase, unique
	Rule   string // the sentence of the contract
	Advice string // where to look when it fails
	Group  string // "A" to "P"
	Level  int    // 0, 1 or 2
	Run    func(ctx context.Context, r *Rig) error
}

// Cases returns every case in order of group and name.
func Cases() []Case {
	var all []Case
	for _, g := range [][]Case{
		basics, borders, versions, batches, scans, contexts, concurrent,
		kills, powerCuts, damages, rollbacks, replicated, exports, tombstones, limits, plain,
	} {
		all = append(all, g...)
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].Group < all[j].Group })
	return all
}

// Skip is the error of a case that does not apply; its text says why.
type Skip string

// Error returns the reason.
func (s Skip) Error() string { return string(s) }

// A Place is one empty store, made for a case.
type Place struct {
	Config core.Config // what Configure gets, again at every reopening
	Dir    string      // folder with its files; "" when they are out of reach
	// Head is a file outside Dir by which the store notices that Dir is older
	// than it was; "" when it keeps none.
	Head   string
	Remove func() // gives everything back; nil = nothing to do
}

// A Harness tells the kit how to make what it tests.
type Harness struct {
	Name string
	// New returns an unconfigured backend: a value, or the client of a new process.
	New func() (core.Backend, error)
	// Place returns a fresh, empty place for a store.
	Place func() (*Place, error)
	// Shared says that several handles may be open on one place at once.
	Shared bool
	// Durable says that a place keeps its records when it is closed.
	Durable bool

	// In returns the settings of a store all of whose files lie in dir, so that
	// the kit can choose the disk; nil when that is out of reach.
	In func(dir string) core.Config
	// Kill ends the process behind a backend at once, as kill -9 does; nil when
	// it is none.
	Kill func(b core.Backend) error
	// Tidy does now what the store does in time while it is open: compaction,
	// collection of what is dead, vacuum; nil when it cannot be asked to.
	Tidy func(ctx context.Context, p *Place, b core.Backend) error
	// Records is how many the kit may fill a store with; 0 = a million.
	Records int
	// Harms are what can happen to a replicated store, by name: leader-kill,
	// leader-pause, partition, slow-peer. Each does its harm, waits, and undoes it.
	Harms map[string]func(ctx context.Context) error
}

// A Rig is a harness at work. Cases take stores from it; Close gives all back.
type Rig struct {
	Harness
	Level int

	mu     sync.Mutex
	common *Fixture
	all    []*Fixture
}

// NewRig prepares h for cases up to level.
func NewRig(h Harness, level int) *Rig { return &Rig{Harness: h, Level: level} }

// A Fixture is an open store on its own place.
type Fixture struct {
	core.Backend
	Place *Place
	rig   *Rig
}

// Fresh opens a store on a new place.
func (r *Rig) Fresh(ctx context.Context) (*Fixture, error) {
	p, err := r.Place()
	if err != nil {
		return nil, fmt.Errorf("harness: make a place: %w", err)
	}
	f := &Fixture{Place: p, rig: r}
	r.mu.Lock()
	r.all = append(r.all, f)
	r.mu.Unlock()
	return f, f.open(ctx)
}

// Common returns a store that cases share, each under keys of its own: what
// needs no store of its own is faster so.
func (r *Rig) Common(ctx context.Context) (*Fixture, error) {
	r.mu.Lock()
	f := r.common
	r.mu.Unlock()
	if f != nil {
		return f, nil
	}
	f, err := r.Fresh(ctx)
	if err == nil {
		r.mu.Lock()
		r.common = f
		r.mu.Unlock()
	}
	return f, err
}

// Second opens another handle on f's place; the caller closes it.
func (f *Fixture) Second(ctx context.Context) (core.Backend, error) {
	b, err := f.rig.New()
	if err != nil {
		return nil, fmt.Errorf("harness: new backend: %w", err)
	}
	if err := b.Configure(ctx, f.Place.Config); err != nil {
		_ = b.Close()
		return nil, err
	}
	return b, nil
}

func (f *Fixture) open(ctx context.Context) error {
	b, err := f.Second(ctx)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	f.Backend = b
	return nil
}

// Reopen closes the store and opens it again.
func (f *Fixture) Reopen(ctx context.Context) error {
	if err := f.Backend.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return f.open(ctx)
}

// Close gives back everything the rig made.
func (r *Rig) Close() {
	for _, f := range r.all {
		if f.Backend != nil {
			_ = f.Backend.Close()
		}
		if f.Place.Remove != nil {
			f.Place.Remove()
		}
	}
	r.all, r.common = nil, nil
}

// RunCase runs one case with its own time limit.
func RunCase(ctx context.Context, r *Rig, c Case) error {
	level := c.Level
	if level > 0 { // these do more in the long run
		level = max(level, r.Level)
	}
	limit := []time.Duration{time.Minute, 5 * time.Minute, time.Hour}[min(level, 2)]
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return c.Run(ctx, r)
}

// keys makes fresh keys in ascending order: 24 random bytes, then the index.
type keys [24]byte

func newKeys() keys {
	var k keys
	if _, err := rand.Read(k[:]); err != nil {
		panic(err)
	}
	return k
}

func (k keys) at(i int) core.Key {
	return binary.BigEndian.AppendUint64(append(core.Key(nil), k[:]...), uint64(i))
}

func reqID() core.ReqID {
	var id core.ReqID
	if _, err := rand.Read(id[:]); err != nil {
		panic(err)
	}
	return id
}

func put(k core.Key, expect core.Version, hot, blob string) core.Mutation {
	return core.Mutation{Key: k, Expect: expect, Op: core.OpPut, Hot: []byte(hot), Blob: []byte(blob), ReqID: reqID()}
}

func putHot(k core.Key, expect core.Version, hot string) core.Mutation {
	return core.Mutation{Key: k, Expect: expect, Op: core.OpPutHot, Hot: []byte(hot), ReqID: reqID()}
}

func del(k core.Key, expect core.Version) core.Mutation {
	return core.Mutation{Key: k, Expect: expect, Op: core.OpDelete, ReqID: reqID()}
}

// commit sends one mutation.
func commit(ctx context.Context, b core.Backend, m core.Mutation) (core.Version, error) {
	res, err := b.CommitMany(ctx, []core.Mutation{m})
	if err != nil {
		return 0, err
	}
	if len(res) != 1 {
		return 0, fmt.Errorf("%d results for one mutation", len(res))
	}
	return res[0].Version, res[0].Err
}

// get reads one record.
func get(ctx context.Context, b core.Backend, k core.Key) (core.Record, error) {
	rs, err := b.GetMany(ctx, []core.Key{k}, core.ReadOpts{})
	if err != nil {
		return core.Record{}, err
	}
	if len(rs) != 1 {
		return core.Record{}, fmt.Errorf("%d records for one key", len(rs))
	}
	return rs[0], nil
}

// want commits m and expects version v.
func want(ctx context.Context, b core.Backend, m core.Mutation, v core.Version) error {
	got, err := commit(ctx, b, m)
	if err != nil {
		return fmt.Errorf("%s expecting %d: %w", m.Op, m.Expect, err)
	}
	if got != v {
		return fmt.Errorf("%s expecting %d made version %d, want %d", m.Op, m.Expect, got, v)
	}
	return nil
}

// refused commits m and expects code, with Current when it is told by the code.
func refused(ctx context.Context, b core.Backend, m core.Mutation, code core.Code, current core.Version) error {
	v, err := commit(ctx, b, m)
	if err == nil {
		return fmt.Errorf("%s expecting %d made version %d, want %s", m.Op, m.Expect, v, code)
	}
	return isCode(err, code, current)
}

func isCode(err error, code core.Code, current core.Version) error {
	var e *core.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("error %q is not a *core.Error, want %s", err, code)
	}
	if e.Code != code {
		return fmt.Errorf("error %q has code %s, want %s", err, e.Code, code)
	}
	if e.Current != current {
		return fmt.Errorf("%s says the current version is %d, want %d", code, e.Current, current)
	}
	return nil
}

// holds expects the record of k.
func holds(ctx context.Context, b core.Backend, k core.Key, v core.Version, hot, blob string) error {
	r, err := get(ctx, b, k)
	if err != nil {
		return err
	}
	if r.Version != v || string(r.Hot) != hot || string(r.Blob) != blob {
		return fmt.Errorf("record is version %d, hot %d bytes, blob %d bytes; want version %d with hot %d, blob %d bytes as written",
			r.Version, len(r.Hot), len(r.Blob), v, len(hot), len(blob))
	}
	return nil
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
