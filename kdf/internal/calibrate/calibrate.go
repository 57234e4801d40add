// Package calibrate finds the cost at which a derivation takes a wanted time.
//
// Times are taken as the least of several runs, because every disturbance of a
// machine makes a run longer and none makes it shorter; and where a run used
// less processor time than it lasted, because it waited for a core, the
// processor time counts: the wanted time is that of an idle core. The result is
// checked at the found cost and corrected.
package calibrate

import (
	"context"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/kdf/internal/check"
	"github.com/keposs/keposs/kdf/internal/cputime"
)

// MaxTarget bounds the time anyone may ask for.
const MaxTarget = time.Minute

// Linear returns the cost n in [lo, hi] at which run takes about target, for a
// run whose time grows in proportion to n. Trials start at least, which may be
// under lo. An empty interval is Invalid; a floor above target gives lo.
func Linear(ctx context.Context, target time.Duration, least, lo, hi uint64, run func(context.Context, uint64) error) (uint64, error) {
	const op = "kdf: calibrate"
	if target <= 0 || target > MaxTarget {
		return 0, core.Errorf(core.Invalid, op, "target %v, want more than 0 and at most %v", target, MaxTarget)
	}
	if lo > hi {
		return 0, core.Errorf(core.Invalid, op, "the floor %d is above the ceiling %d", lo, hi)
	}
	// Grow the trial until it lasts long enough to be measured.
	enough := min(target, 60*time.Millisecond)
	n := max(least, 1)
	var took time.Duration
	for {
		var err error
		if took, err = best(ctx, 2, n, run); err != nil {
			return 0, err
		}
		if took >= enough/2 || n >= hi {
			break
		}
		n = min(grow(n, took, enough), hi)
	}
	n = clamp(scale(n, took, target), lo, hi)
	// Correct at the found cost: caches, clocks and fixed parts differ there.
	for range 2 {
		took, err := best(ctx, 2, n, run)
		if err != nil {
			return 0, err
		}
		if off := float64(took)/float64(target) - 1; (off < 0.03 && off > -0.03) || n == lo && took >= target || n == hi && took <= target {
			break
		}
		n = clamp(scale(n, took, target), lo, hi)
	}
	return n, nil
}

func best(ctx context.Context, runs int, n uint64, run func(context.Context, uint64) error) (time.Duration, error) {
	var least time.Duration
	for i := range runs {
		if ctx.Err() != nil {
			return 0, check.Ended(ctx, "kdf: calibrate")
		}
		start, cpu := time.Now(), cputime.Process()
		if err := run(ctx, n); err != nil {
			return 0, err
		}
		d := time.Since(start)
		// All threads together: more than d when other work runs or when the
		// derivation has lanes of its own.
		if c := cputime.Process() - cpu; c > 0 {
			d = min(d, c)
		}
		if i == 0 || d < least {
			least = d
		}
	}
	return max(least, 1), nil
}

func grow(n uint64, took, enough time.Duration) uint64 {
	if took*20 < enough {
		return n * 8
	}
	return max(scale(n, took, enough), n+1)
}

func scale(n uint64, took, target time.Duration) uint64 {
	return uint64(float64(n)*float64(target)/float64(took) + 0.5)
}

func clamp(n, lo, hi uint64) uint64 { return min(max(n, lo), hi) }
