package kdftest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/kdf/internal/cputime"
)

var calibrations = []Case{
	{
		Name: "CalibrateKeepsLimits", Group: "H",
		Rule:   "Calibrate never goes under a floor nor over a ceiling; what it returns is accepted.",
		Advice: "clamp the search, not the answer to a user's parameters",
		Run: func(ctx context.Context, h Harness) error {
			if h.Costly.Name == "" {
				return Skip("has no cost")
			}
			k, err := h.New()
			if err != nil {
				return err
			}
			l := core.Limits{Floor: map[string]uint64{}, Ceiling: map[string]uint64{}}
			for _, v := range h.Cheap.Values {
				l.Floor[v.Key], l.Ceiling[v.Key] = v.N, v.N
			}
			p, err := k.Calibrate(ctx, time.Second, l)
			if err != nil {
				return err
			}
			if !p.Equal(h.Cheap) {
				return fmt.Errorf("floors and ceilings of %s gave %s", h.Cheap, p)
			}
			for _, bad := range []time.Duration{0, -time.Second} {
				if _, err := k.Calibrate(ctx, bad, l); !errors.Is(err, core.Invalid) {
					return fmt.Errorf("target %v: %v, want invalid", bad, err)
				}
			}
			return nil
		},
	},
	{
		Name: "CalibrateNearTarget", Group: "H", Level: 1,
		Rule:   "The found parameters take the target within a factor of four, however busy the machine.",
		Advice: "find the cost by measuring it, in the unit of the target",
		Run: func(ctx context.Context, h Harness) error {
			return calibrated(ctx, h, func(share float64) bool { return share > 0.25 && share < 4 })
		},
	},
	{
		Name: "CalibrateWithinTenPercent", Group: "H", Level: 2,
		Rule:   "The found parameters take the target within ±10 % on an idle core.",
		Advice: "measure long enough, take the least of several runs, correct at the found cost",
		Run: func(ctx context.Context, h Harness) error {
			return calibrated(ctx, h, func(share float64) bool { return math.Abs(share-1) < 0.1 })
		},
	},
}

// calibrated asks whether one of several calibrations is good: what deriving
// takes, as a share of the target.
func calibrated(ctx context.Context, h Harness, good func(share float64) bool) error {
	if h.Costly.Name == "" || !h.Steps {
		return Skip("its cost has no fine steps")
	}
	k, err := h.New()
	if err != nil {
		return err
	}
	l := core.Limits{Floor: map[string]uint64{}}
	for _, v := range h.Cheap.Values {
		l.Floor[v.Key] = v.N
	}
	const target = 120 * time.Millisecond
	share := 0.0
	for range 6 { // on a busy machine some runs are disturbed
		p, err := k.Calibrate(ctx, target, l)
		if err != nil {
			return err
		}
		least, busy := time.Hour, time.Hour // by the clock; without what it waited for a core
		for range 3 {
			start, cpu := time.Now(), cputime.Process()
			if _, err := derive(ctx, k, p, "123456", string(salt)); err != nil {
				return err
			}
			least = min(least, time.Since(start))
			if h.InProcess {
				busy = min(busy, cputime.Process()-cpu)
			}
		}
		// Calibrate and this case meet the same machine: where others share the
		// core for the whole of both, the clock agrees; where for one of them only,
		// the processor's time may.
		share = float64(least) / float64(target)
		if good(share) || h.InProcess && good(float64(busy)/float64(target)) {
			return nil
		}
	}
	return fmt.Errorf("%+.0f %% off the target", 100*(share-1))
}
