package bench

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/keposs/keposs/core"
)

// Growth is a store at one size.
type Growth struct {
	Records   int     `json:"records"`
	LoadPerS  float64 `json:"load_per_second"`
	ColdP50   float64 `json:"cold_p50_us"` // one record of a store just opened, one caller
	GetP50    float64 `json:"get_p50_us"`  // of a store that has run: all of it was read once
	GetP99    float64 `json:"get_p99_us"`
	DiskRatio float64 `json:"disk_ratio,omitempty"` // bytes on disk ÷ bytes stored; embedded engines
	OpenMS    float64 `json:"open_ms"`              // a store that was closed
	ExportPS  float64 `json:"export_per_second"`
}

// stages are the fractions of the last size.
var stages = []int{12, 4, 2, 1}

// grow fills a store and measures it on the way.
func (r *Result) grow(ctx context.Context, o Options, dir string) error {
	have := 0
	b, end, err := open(ctx, o, dir, false)
	if err != nil {
		return err
	}
	defer func() { _ = end() }()
	for _, part := range stages {
		to := max(o.Records/part, 1)
		if to <= have {
			continue
		}
		o.Progress("growth to " + thousands(to))
		begun := time.Now()
		if err := load(ctx, b, stored+have, stored+to); err != nil {
			return err
		}
		g := Growth{Records: to, LoadPerS: float64(to-have) / time.Since(begun).Seconds()}
		have = to
		o.Progress("measure " + thousands(to))
		if err := end(); err != nil {
			return err
		}
		begun = time.Now()
		if b, end, err = open(ctx, o, dir, false); err != nil {
			return err
		}
		g.OpenMS = float64(time.Since(begun).Microseconds()) / 1000
		if embedded(o.Backend) { // a server tidies up in a process that is not ours to look at
			if err := settle(ctx); err != nil {
				return err
			}
		}
		if err := g.read(ctx, b, have); err != nil {
			return err
		}
		if embedded(o.Backend) {
			g.DiskRatio = float64(size(dir)) / float64(have*(hotSize+blobSize+32))
		}
		r.Growth = append(r.Growth, g)
	}
	return nil
}

// settle waits until the engine has done what the load left it to do, a minute
// at most: what a store costs is not what it costs while it is tidied up. At rest
// is a quarter of a second in which this process used a tenth of a core.
func settle(ctx context.Context) error {
	const look = 250 * time.Millisecond
	for range 240 {
		before := CPU()
		select {
		case <-ctx.Done():
			return core.Errorf(core.Canceled, "lab escrow", "%w", ctx.Err())
		case <-time.After(look):
		}
		if CPU()-before < look/10 {
			return nil
		}
	}
	return nil
}

// load puts records in as a restore does.
func load(ctx context.Context, b core.Backend, from, to int) error {
	e, ok := b.(core.Exporter)
	if !ok {
		return fresh(ctx, b, from, to)
	}
	hot, blob := noise(hotSize, from), noise(blobSize, to)
	for from < to {
		var recs []core.Record
		for ; from < to && len(recs) < 1000; from++ {
			recs = append(recs, core.Record{Key: key(from), Version: 1, Hot: hot, Blob: blob})
		}
		if err := e.Import(ctx, recs, nil); err != nil {
			return err
		}
	}
	return nil
}

const lookups = 4000

// read looks up in the store just opened, exports all of it, and looks up other
// records again. An embedded engine maps its files: whoever looks first at a
// page waits for it to be mapped, which a server that runs has behind it.
func (g *Growth) read(ctx context.Context, b core.Backend, have int) (err error) {
	if g.ColdP50, _, err = lookUp(ctx, b, 0, have); err != nil {
		return err
	}
	if e, ok := b.(core.Exporter); ok {
		if g.ExportPS, err = exportAll(ctx, e); err != nil {
			return err
		}
	}
	g.GetP50, g.GetP99, err = lookUp(ctx, b, lookups, have)
	return err
}

// lookUp returns the median and the 99th percentile of lookups in microseconds.
func lookUp(ctx context.Context, b core.Backend, from, have int) (p50, p99 float64, err error) {
	took := make([]time.Duration, 0, lookups)
	for i := from; i < from+lookups; i++ {
		k := key(stored + int(uint64(i)*2654435761%uint64(have)))
		t := time.Now()
		recs, err := b.GetMany(ctx, []core.Key{k}, core.ReadOpts{})
		if err != nil {
			return 0, 0, err
		}
		if recs[0].Version == 0 {
			return 0, 0, core.Errorf(core.Internal, "lab escrow", "a record that was stored is absent")
		}
		took = append(took, time.Since(t))
	}
	slices.Sort(took)
	us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
	return us(took[lookups/2]), us(took[lookups*99/100]), nil
}

// exportAll returns how many records a second were exported.
func exportAll(ctx context.Context, e core.Exporter) (float64, error) {
	begun, n := time.Now(), 0
	for req := (core.ScanRequest{Limit: 1000}); ; {
		p, err := e.Export(ctx, req)
		if err != nil {
			return 0, err
		}
		if n += len(p.Records); p.Next == nil {
			return float64(n) / time.Since(begun).Seconds(), nil
		}
		req.After = p.Next
	}
}

// size is what a folder takes, holes of sparse files not counted.
func size(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "BALLAST" {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			n += onDisk(info)
		}
		return err
	})
	return n
}
