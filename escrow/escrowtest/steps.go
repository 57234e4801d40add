package escrowtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keposs/keposs/core"
)

// stepWait bounds how long one step may have no answer.
const stepWait = 30 * time.Second

// Steps has clients count a record each, one version at a time, while harm is
// done to the store, and until it returns. A step without an answer is repeated
// as it was. acks is how many were acknowledged; the error names a step that was
// lost or made twice, an answer that is neither success nor Unavailable nor
// Indeterminate, and harm's own. Load writes more kinds of mutation and bears
// every error.
func Steps(ctx context.Context, b core.Backend, clients int, harm func() error) (acks uint64, err error) {
	told := make([]core.Version, clients)
	errs := make([]error, clients)
	var done atomic.Bool
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() { told[i], errs[i] = count(ctx, b, i, &done) })
	}
	err = harm()
	done.Store(true)
	wg.Wait()
	if err = errors.Join(append(errs, err)...); err != nil {
		return 0, err
	}
	for i, v := range told {
		r, err := get(ctx, b, stepKey(i))
		if err != nil || r.Version != v {
			errs[i] = fmt.Errorf("client %d: version %d (%v), acknowledged %d", i, r.Version, err, v)
		}
		acks += uint64(v)
	}
	return acks, errors.Join(errs...)
}

func stepKey(client int) core.Key { return core.Key(fmt.Sprint("client", client)) }

// count steps a record's version up and returns the last one acknowledged.
func count(ctx context.Context, b core.Backend, client int, done *atomic.Bool) (v core.Version, err error) {
	for ; !done.Load(); v++ {
		m := core.Mutation{Key: stepKey(client), Expect: v, Op: core.OpPut, Hot: []byte(fmt.Sprint(v)), ReqID: core.ReqID{byte(client), byte(v), byte(v >> 8), 1}}
		for end := time.Now().Add(stepWait); ; {
			got, err := commit(ctx, b, m)
			if err == nil && got == v+1 {
				break
			}
			if code := core.CodeOf(err); err == nil || code != core.Unavailable && code != core.Indeterminate || time.Now().After(end) {
				return v, fmt.Errorf("client %d at version %d: made %d, %v", client, v, got, err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return v, nil
}
