package bench

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keposs/keposs/core"
)

// A sample is one measurement of one kind.
type sample struct {
	rate float64 // a second
	p99  float64 // µs
}

// A writer does one durable compare-and-set of a key from version expect.
type writer func(ctx context.Context, key core.Key, expect core.Version, hot []byte) (core.Version, error)

// write measures callers at once for a while; each first makes sure of its key's
// version.
func write(ctx context.Context, slice time.Duration, w writer) (sample, error) {
	hot := noise(hotSize, 7)
	var stop atomic.Bool
	var wg sync.WaitGroup
	took := make([][]time.Duration, callers)
	errs := make([]error, callers)
	begun := time.Now()
	for i := range callers {
		wg.Go(func() {
			v := core.Version(0)
			for !stop.Load() || len(took[i]) == 0 { // once at least, however busy the machine
				t := time.Now()
				next, err := w(ctx, key(i), v, hot)
				if c := (*core.Error)(nil); core.CodeOf(err) == core.Conflict && errors.As(err, &c) {
					v = c.Current // what the round before left
					continue
				}
				if err != nil {
					errs[i] = err
					return
				}
				v = next
				took[i] = append(took[i], time.Since(t))
			}
		})
	}
	time.Sleep(slice)
	stop.Store(true)
	wg.Wait()
	return summary(took, errs, time.Since(begun))
}

// summary is the sample of what each caller saw in a while, or the first of
// their errors.
func summary(took [][]time.Duration, errs []error, while time.Duration) (sample, error) {
	for _, err := range errs {
		if err != nil {
			return sample{}, err
		}
	}
	all := slices.Concat(took...)
	if len(all) == 0 {
		return sample{}, nil
	}
	slices.Sort(all)
	return sample{rate: float64(len(all)) / while.Seconds(), p99: float64(all[len(all)*99/100].Nanoseconds()) / 1e3}, nil
}
