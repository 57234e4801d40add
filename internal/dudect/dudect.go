// Package dudect is a statistical test for timing that depends on data, after
// O. Reparaz, J. Balasch, I. Verbauwhede, "Dude, is my code constant time?"
// (DATE 2017): the same function runs on a fixed and on fresh random inputs in
// random order, and Welch's t compares the two classes of times. |t| above 4.5
// is a leak with confidence 1 − 10^-5; below, none was seen with this many
// samples, which is evidence and no proof.
package dudect

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Threshold is the |t| from which a difference is taken for a leak.
const Threshold = 4.5

// batch is how many inputs are made before they are timed, so that making them
// does not disturb the caches between two measurements.
const batch = 256

// crops are the quantiles of all times above which a time is left out: the low
// one sees small shifts below what interrupts cause, the high one sees leaks
// that only now and then take another way.
var crops = []float64{0.6, 0.95}

// T times run over samples inputs and returns |t|, the largest over the crops.
// input fills in, always a buffer of size bytes, for the class asked for; run
// must read nothing else.
func T(samples, size int, input func(in []byte, fixed bool), run func(in []byte)) float64 {
	times := make([]float64, 0, samples)
	class := make([]bool, 0, samples)
	ins := make([]byte, batch*size)
	fixed := make([]bool, batch)
	buf := make([]byte, size)
	for range 64 {
		input(buf, false)
		run(buf)
	}
	for len(times) < samples {
		for i := range batch {
			fixed[i] = rand.IntN(2) == 0
			input(ins[i*size:(i+1)*size], fixed[i])
		}
		for i := 0; i < batch && len(times) < samples; i++ {
			copy(buf, ins[i*size:])
			start := time.Now()
			run(buf)
			times = append(times, float64(time.Since(start)))
			class = append(class, fixed[i])
		}
	}
	sorted := slices.Clone(times)
	slices.Sort(sorted)
	worst := 0.0
	for _, crop := range crops {
		limit := sorted[min(len(sorted)-1, int(crop*float64(len(sorted))))]
		var a, b moments
		for i, v := range times {
			if v > limit {
				continue
			}
			if class[i] {
				a.add(v)
			} else {
				b.add(v)
			}
		}
		if a.n > 1 && b.n > 1 { // a class wholly above a low limit shows at the high one
			worst = max(worst, math.Abs(a.mean-b.mean)/math.Sqrt(a.variance()/a.n+b.variance()/b.n))
		}
	}
	return worst
}

// moments is Welford's running mean and variance.
type moments struct{ n, mean, m2 float64 }

func (m *moments) add(x float64) {
	m.n++
	d := x - m.mean
	m.mean += d / m.n
	m.m2 += d * (x - m.mean)
}

func (m *moments) variance() float64 { return m.m2 / (m.n - 1) }
