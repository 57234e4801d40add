package lab

import (
	"math"
	"math/rand/v2"
	"slices"
)

// median of v, NaN when empty. v is not changed.
func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(v))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// An Interval is a value with its 95 % bootstrap interval.
type Interval struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

const bootstrapRounds = 2000

// ratioOf is median(a) ÷ median(b) with the percentile bootstrap over both
// samples; the same input gives the same interval.
func ratioOf(a, b []float64) Interval {
	r := Interval{Value: median(a) / median(b)}
	rng := rand.New(rand.NewPCG(uint64(len(a)), uint64(len(b))))
	boot := make([]float64, bootstrapRounds)
	x, y := make([]float64, len(a)), make([]float64, len(b))
	for i := range boot {
		for j := range x {
			x[j] = a[rng.IntN(len(a))]
		}
		for j := range y {
			y[j] = b[rng.IntN(len(b))]
		}
		boot[i] = median(x) / median(y)
	}
	slices.Sort(boot)
	r.Low, r.High = boot[bootstrapRounds*25/1000], boot[bootstrapRounds*975/1000]
	return r
}
