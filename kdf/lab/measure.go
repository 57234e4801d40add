package lab

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/kdf"
	"github.com/keposs/keposs/kdf/internal/cputime"
	"github.com/keposs/keposs/kdf/lab/cracker"
)

// effort bounds the time of one cell.
type effort struct {
	defender, attacker time.Duration
	least, most        int // samples of each
}

var (
	quickEffort = effort{600 * time.Millisecond, 400 * time.Millisecond, 3, 9}
	fullEffort  = effort{1500 * time.Millisecond, 1200 * time.Millisecond, 5, 25}
)

// saltBytes is the salt of every measurement, as long as keposs's own.
const saltBytes = 32

// measure fills one cell.
func measure(ctx context.Context, p core.Params, e effort) (Cell, error) {
	c := Cell{Params: p.String(), KDF: p.Name, Work: workOf(p)}
	k, err := kdf.Builtin(p.Name)
	if err != nil {
		return c, err
	}
	info, err := k.Describe(ctx)
	if err != nil {
		return c, err
	}
	c.Approved = info.Approved
	if err := k.Validate(p, core.Limits{}); err != nil {
		return c, err
	}
	if c.Defender, err = defend(ctx, k, p, e); err != nil {
		return c, err
	}
	if c.Attacker, err = attack(ctx, k, p, e); err != nil {
		return c, err
	}
	c.Attacker.Advantage = c.Attacker.Rate * c.Defender.MedianCPU / 1e9
	return c, nil
}

func defend(ctx context.Context, k core.KDF, p core.Params, e effort) (Defender, error) {
	var d Defender
	if s, ok := k.(interface{ Memory(core.Params) uint64 }); ok {
		d.Memory = s.Memory(p)
	}
	d.AllocBytes, d.Allocs = math.MaxUint64, math.MaxUint64
	salt, out := make([]byte, saltBytes), make([]byte, 32)
	// Fast derivations are timed in groups: a clock read must not show.
	group := 1
	derive := func() error {
		for range group {
			if err := k.Derive(ctx, p, []byte("123456"), salt, out); err != nil {
				return err
			}
		}
		return nil
	}
	start := time.Now()
	if err := derive(); err != nil { // warms caches, pools and the clock of the processor
		return d, err
	}
	if one := time.Since(start); one < time.Millisecond {
		group = int(min(20_000, 2*time.Millisecond/max(one, 100)))
	}
	runtime.GC()
	var a, b runtime.MemStats
	for begun := time.Now(); len(d.WallNs) < e.least || len(d.WallNs) < e.most && time.Since(begun) < e.defender; {
		probe := len(d.WallNs) < 3
		if probe {
			runtime.ReadMemStats(&a)
		}
		cpu, wall := cputime.Process(), time.Now()
		if err := derive(); err != nil {
			return d, err
		}
		w, c := time.Since(wall), cputime.Process()-cpu
		if probe {
			runtime.ReadMemStats(&b)
			d.AllocBytes = min(d.AllocBytes, (b.TotalAlloc-a.TotalAlloc)/uint64(group))
			d.Allocs = min(d.Allocs, (b.Mallocs-a.Mallocs)/uint64(group))
		}
		d.WallNs = append(d.WallNs, float64(w)/float64(group))
		d.CPUNs = append(d.CPUNs, float64(c)/float64(group))
	}
	d.MedianNs, d.MedianCPU = median(d.WallNs), median(d.CPUNs)
	return d, nil
}

func attack(ctx context.Context, k core.KDF, p core.Params, e effort) (Attacker, error) {
	at, factor := scaled(p)
	var a Attacker
	// No guess is right, so that the whole batch is searched.
	kernel, err := cracker.New(cracker.Target{KDF: k, Params: at, Salt: make([]byte, saltBytes), Key: make([]byte, 32)})
	if err != nil {
		return a, err
	}
	a.Form, a.Lanes, a.MeasuredAt = kernel.Form(), kernel.Batch(), at.String()
	batch, next := kernel.Batch(), 0
	var guesses []string
	run := func() (float64, error) {
		guesses = guesses[:0]
		for range batch {
			guesses = append(guesses, fmt.Sprintf("%06d", next%1_000_000))
			next++
		}
		before := cputime.Process()
		if _, err := kernel.Try(ctx, guesses); err != nil {
			return 0, err
		}
		return float64(cputime.Process() - before), nil
	}
	// Find a batch that lasts a few milliseconds.
	for {
		took, err := run()
		if err != nil {
			return a, err
		}
		if took > 5e6 || batch*4 > cracker.MaxBatch {
			break
		}
		batch *= 4
	}
	runtime.GC()
	for begun := time.Now(); len(a.Rates) < e.least || len(a.Rates) < e.most && time.Since(begun) < e.attacker; {
		took, err := run()
		if err != nil {
			return a, err
		}
		a.Rates = append(a.Rates, float64(batch)/max(took, 1)*1e9/factor)
	}
	a.Rate = median(a.Rates)
	return a, nil
}

// TimeDerive derives runs times with p and returns the samples, in ns: wall time
// and CPU time of all threads of the process.
func TimeDerive(ctx context.Context, k core.KDF, p core.Params, runs int) (wall, cpu []float64, err error) {
	salt, out := make([]byte, saltBytes), make([]byte, 32)
	for range runs {
		c, w := cputime.Process(), time.Now()
		if err := k.Derive(ctx, p, []byte("123456"), salt, out); err != nil {
			return nil, nil, err
		}
		wall = append(wall, float64(time.Since(w)))
		cpu = append(cpu, float64(cputime.Process()-c))
	}
	return wall, cpu, nil
}
