package lab

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/keposs/keposs/core"
)

// each runs fn for 0..n-1 on every core and returns the error of the lowest
// index that failed; after an error nothing new is begun.
func each(ctx context.Context, n int, fn func(i int) error) error {
	errs := make([]error, n)
	var next atomic.Int64
	var failed atomic.Bool
	var wg sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && !failed.Load(); i = int(next.Add(1)) - 1 {
				if ctx.Err() != nil {
					errs[i] = core.Errorf(core.Canceled, "lab", "%w", ctx.Err())
				} else {
					errs[i] = fn(i)
				}
				if errs[i] != nil {
					failed.Store(true)
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
