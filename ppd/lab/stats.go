package lab

import (
	"math"
	"math/rand/v2"
	"sort"

	"github.com/keposs/keposs/internal/poisson"
)

// A Rate is errors over trials with a 95 % interval from resampling subjects.
type Rate struct {
	Value  float64 `json:"value"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	Errors int     `json:"errors"`
	Trials int     `json:"trials"`
}

// tally counts one subject's errors and trials.
type tally struct{ errors, trials int }

// bootstrapRounds is enough for two digits of a 95 % interval.
const bootstrapRounds = 1000

// rateOf pools subjects; balanced instead averages the subjects' own rates.
func rateOf(subjects []tally, balanced bool, seed uint64) Rate {
	value := func(pick func(i int) tally) (float64, bool) {
		var e, n, sum float64
		var used int
		for i := range subjects {
			t := pick(i)
			if t.trials == 0 {
				continue
			}
			e, n = e+float64(t.errors), n+float64(t.trials)
			sum += float64(t.errors) / float64(t.trials)
			used++
		}
		switch {
		case used == 0:
			return 0, false
		case balanced:
			return sum / float64(used), true
		default:
			return e / n, true
		}
	}
	var r Rate
	for _, t := range subjects {
		r.Errors += t.errors
		r.Trials += t.trials
	}
	r.Value, _ = value(func(i int) tally { return subjects[i] })
	rng := rand.New(rand.NewPCG(seed, 0xb007))
	var boot []float64
	for range bootstrapRounds {
		if v, ok := value(func(int) tally { return subjects[rng.IntN(len(subjects))] }); ok {
			boot = append(boot, v)
		}
	}
	if len(boot) > 0 {
		sort.Float64s(boot)
		r.Low, r.High = quantile(boot, 0.025), quantile(boot, 0.975)
	}
	return r
}

// quantile of sorted values, by linear interpolation; NaN when there are none.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 == len(sorted) {
		return sorted[i]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// ruleOfThree is the observed rate, but never better than 3 of the trials
// (design page biometrics); 1 without trials.
func ruleOfThree(events, trials int) float64 {
	if trials == 0 {
		return 1
	}
	return float64(max(events, 3)) / float64(trials)
}

// upperBound is the one-sided 95 % upper bound of a rare event's rate; 1
// without trials.
func upperBound(events, trials int) float64 {
	if trials == 0 {
		return 1
	}
	return min(1, poisson.Upper(events)/float64(trials))
}
