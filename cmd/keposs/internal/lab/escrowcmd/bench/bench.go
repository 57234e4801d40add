// Package bench measures a storage backend the way SS-CC uses it, each figure
// beside a limit program that does the same with nothing of keposs in it, in
// turn in one run, so that a busy moment of the machine falls on both.
//
// Limit programs: a bare gRPC echo over TLS 1.3; the same echo one process
// further, over the kind of connection plugins have; the engine alone with a
// group commit of thirty lines (bare), and the engine used plainly, one
// transaction for each write. A database that is a server of its own answers a
// fetch beside its own client, asked for one record at a time behind the same
// call: an echo that asks nobody is no limit of it.
package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/keposs/keposs/core"
)

// Options of Run.
type Options struct {
	Backend  string            // name
	Settings map[string]string // beside what a fresh store of an embedded engine needs
	DSN      []byte            // connection string of a server; lent
	Records  int               // of the growth curve's end; 0 = none
	Rounds   int               // odd; 0 = 5
	Slice    time.Duration     // of one measurement; 0 = 700 ms
	// Open starts the backend by name: as a value, or in a process of its own.
	Open     func(ctx context.Context, name string, process bool) (core.Backend, error)
	Progress func(string)
}

// Result is what --json prints.
type Result struct {
	Version        int                `json:"version"` // 1
	Backend        string             `json:"backend"`
	Machine        string             `json:"machine"`
	Rounds         int                `json:"rounds"`
	SliceMS        int64              `json:"slice_ms"`
	Callers        int                `json:"callers"` // at once, everywhere
	Rates          map[string]float64 `json:"per_second"`
	P99            map[string]float64 `json:"p99_us"`
	Ratios         map[string]float64 `json:"ratios"`
	CommitsPerSync float64            `json:"commits_per_sync,omitempty"`
	Skipped        []string           `json:"skipped"` // figures this backend has no limit program for
	Growth         []Growth           `json:"growth"`
	Goals          []Goal             `json:"goals"`
}

// callers is how many ask or write at once.
const callers = 64

// blobSize and hotSize are those of a usual record: 2 KiB together.
const (
	blobSize = 1600
	hotSize  = 448
)

// Kinds of measurement, by the name of their rate.
const (
	kEcho   = "echo"
	kFetch  = "fetch"
	kHop    = "two_process_echo"
	kPlugin = "fetch_plugin"
	kEngine = "fetch_bare"
	kCommit = "commit"
	kJoint  = "commit_coalesced"
	kBare   = "commit_bare"
	kPlain  = "commit_plain"
)

// Run measures. Whatever it made on disk is removed.
func Run(ctx context.Context, o Options) (r *Result, err error) {
	const op = "lab escrow"
	if o.Rounds == 0 {
		o.Rounds = 5
	}
	if o.Slice == 0 {
		o.Slice = 700 * time.Millisecond
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	dir, err := os.MkdirTemp("", "keposs-bench-")
	if err != nil {
		return nil, core.Errorf(core.Environment, op, "%w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r = &Result{Version: 1, Backend: o.Backend, Machine: fmt.Sprintf("%s/%s, %d cores, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version()),
		Rounds: o.Rounds, SliceMS: o.Slice.Milliseconds(), Callers: callers, Rates: map[string]float64{}, P99: map[string]float64{}, Ratios: map[string]float64{}, Skipped: []string{}, Growth: []Growth{}}
	s, err := newStage(ctx, o, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	kinds := []string{kEcho, kFetch, kHop, kPlugin}
	if s.limit != nil && s.limit.read != nil {
		kinds = append(kinds, kEngine)
	}
	took := map[string][]sample{}
	var mutations, syncs uint64
	for n := range o.Rounds {
		o.Progress(fmt.Sprintf("round %d of %d", n+1, o.Rounds))
		for _, kind := range kinds {
			x, err := s.ask(kind, o.Slice)
			if err != nil {
				return nil, err
			}
			took[kind] = append(took[kind], x)
		}
		before, beforeSyncs := s.commits()
		x, err := write(ctx, o.Slice, writerTo(s.inside, "w"))
		if err != nil {
			return nil, err
		}
		took[kCommit] = append(took[kCommit], x)
		after, afterSyncs := s.commits()
		mutations, syncs = mutations+after-before, syncs+afterSyncs-beforeSyncs
		if x, err = write(ctx, o.Slice, writerTo(s.joint, "j")); err != nil {
			return nil, err
		}
		took[kJoint] = append(took[kJoint], x)
		if s.limit == nil {
			continue
		}
		for kind, w := range map[string]writer{kBare: s.limit.grouped, kPlain: s.limit.plain} {
			if w == nil {
				continue
			}
			x, err := write(ctx, o.Slice, w)
			if err != nil {
				return nil, err
			}
			took[kind] = append(took[kind], x)
		}
	}
	for kind, xs := range took {
		r.Rates[kind] = median(xs, func(x sample) float64 { return x.rate })
		r.P99[kind] = median(xs, func(x sample) float64 { return x.p99 })
	}
	if syncs > 0 {
		r.CommitsPerSync = float64(mutations) / float64(syncs)
	}
	r.ratios(took)
	if o.Records > 0 {
		if err := r.grow(ctx, o, filepath.Join(dir, "growth")); err != nil {
			return nil, err
		}
	}
	r.goals()
	return r, nil
}

// ratios are medians of the ratios of each round.
func (r *Result) ratios(took map[string][]sample) {
	of := func(name, a, b string, get func(sample) float64) {
		x, y := took[a], took[b]
		if len(x) == 0 || len(x) != len(y) {
			r.Skipped = append(r.Skipped, name)
			return
		}
		var all []float64
		for i := range x {
			all = append(all, get(x[i])/get(y[i]))
		}
		r.Ratios[name] = middle(all)
	}
	rate, p99 := func(x sample) float64 { return x.rate }, func(x sample) float64 { return x.p99 }
	of("fetch_vs_echo", kFetch, kEcho, rate)
	of("fetch_plugin_vs_limit", kPlugin, kHop, rate)
	if !embedded(r.Backend) {
		of("fetch_vs_engine", kFetch, kEngine, rate)
	}
	of("commit_vs_limit", kCommit, kBare, rate)
	of("commit_vs_plain", kCommit, kPlain, rate)
	of("p99_vs_limit", kCommit, kBare, p99)
}

func median(xs []sample, get func(sample) float64) float64 {
	all := make([]float64, len(xs))
	for i, x := range xs {
		all[i] = get(x)
	}
	return middle(all)
}

func middle(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// key is that of record i of a store under measurement.
func key(i int) core.Key {
	return core.Key(fmt.Sprintf("%032x", uint64(i)*0x9e3779b97f4a7c15))
}

// fresh makes records from..to-1 of hotSize and blobSize.
func fresh(ctx context.Context, b core.Backend, from, to int) error {
	hot, blob := noise(hotSize, from), noise(blobSize, to)
	for from < to {
		var ms []core.Mutation
		for ; from < to && len(ms) < 500; from++ {
			ms = append(ms, core.Mutation{Key: key(from), Op: core.OpPut, Hot: hot, Blob: blob})
		}
		res, err := b.CommitMany(ctx, ms)
		if err != nil {
			return err
		}
		for _, x := range res {
			if x.Err != nil {
				return x.Err
			}
		}
	}
	return nil
}

// noise does not compress, like what SS-CC seals.
func noise(n, seed int) []byte {
	b := make([]byte, n)
	x := uint64(seed)*2862933555777941757 + 3037000493
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x >> 32)
	}
	return b
}
