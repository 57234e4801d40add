package kdftest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/keposs/keposs/core"
)

var contexts = []Case{
	{
		Name: "EndedContext", Group: "D",
		Rule:   "A context that has ended is answered with Canceled or Timeout and a zero out, without work.",
		Advice: "look at ctx before the first block",
		Run: func(ctx context.Context, h Harness) error {
			k, err := h.New()
			if err != nil {
				return err
			}
			p := h.Costly
			if p.Name == "" {
				p = h.Cheap
			}
			done, cancel := context.WithCancel(ctx)
			cancel()
			passed, cancel := context.WithDeadline(ctx, time.Now().Add(-time.Second))
			defer cancel()
			best := time.Hour
			for range 5 { // the machine may be busy
				out := bytes.Repeat([]byte{1}, 32)
				start := time.Now()
				if err := refuses(k.Derive(done, p, []byte("123456"), salt, out), "an ended context", nil, core.Canceled); err != nil {
					return err
				}
				if err := refuses(k.Derive(passed, p, []byte("123456"), salt, out), "a passed deadline", nil, core.Timeout); err != nil {
					return err
				}
				best = min(best, time.Since(start))
				if !bytes.Equal(out, make([]byte, 32)) {
					return errors.New("out is not zero after an error")
				}
				if best <= 200*time.Millisecond {
					return nil
				}
			}
			return fmt.Errorf("took %v", best)
		},
	},
	{
		Name: "CancelWithin10ms", Group: "D",
		Rule:   "ctx is looked at least every 10 ms; out is zero afterwards.",
		Advice: "check ctx every few thousand iterations, or run a library beside",
		Run: func(ctx context.Context, h Harness) error {
			if h.Costly.Name == "" {
				return Skip("has no cost to interrupt")
			}
			k, err := h.New()
			if err != nil {
				return err
			}
			// The machine may be busy, also with what an earlier try left running
			// beside: the best of several counts, with growing pauses, and what a
			// goroutine without work came late in the same moment is not counted.
			best, idle := time.Hour, time.Duration(0)
			for i := range 8 {
				time.Sleep(time.Duration(i) * 300 * time.Millisecond)
				var at time.Time
				c, cancel := context.WithCancel(ctx)
				timer := time.AfterFunc(20*time.Millisecond, func() { at = time.Now(); cancel() })
				out := bytes.Repeat([]byte{1}, 32)
				late := lateness(c)
				err := k.Derive(c, h.Costly, []byte("123456"), salt, out)
				end := time.Now()
				timer.Stop()
				cancel()
				woke, worst := late()
				if err == nil {
					return fmt.Errorf("%s ended before it could be canceled: name costlier parameters in the harness", h.Costly)
				}
				if err := refuses(err, "canceled", nil, core.Canceled); err != nil {
					return err
				}
				if !bytes.Equal(out, make([]byte, 32)) {
					return errors.New("out is not zero after an error")
				}
				excuse := min(max(woke.Sub(at), worst), mostLate)
				if took := end.Sub(at) - excuse; took < best {
					best, idle = took, excuse
				}
				if best <= 10*time.Millisecond {
					return nil
				}
			}
			return fmt.Errorf("%v from cancel to return, less the %v an idle goroutine came late; at most 10ms", best, idle)
		},
	},
}

// mostLate is the most a busy machine excuses.
const mostLate = 50 * time.Millisecond

// lateness watches how late this process comes to run, until c ends: the result
// waits for that and returns when a goroutine woke that waited for c, and the
// most that one came late which asked to sleep a millisecond again and again.
func lateness(c context.Context) func() (woke time.Time, worst time.Duration) {
	var wg sync.WaitGroup
	var at time.Time
	var most time.Duration
	wg.Go(func() {
		<-c.Done()
		at = time.Now()
	})
	wg.Go(func() {
		for c.Err() == nil {
			asked := time.Now()
			time.Sleep(time.Millisecond)
			most = max(most, time.Since(asked)-time.Millisecond)
		}
	})
	return func() (time.Time, time.Duration) {
		wg.Wait()
		return at, most
	}
}
