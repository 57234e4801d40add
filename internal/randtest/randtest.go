// Package randtest is the statistical tests of GM/T 0005-2021 (GB/T 32915) for
// binary sequences: all fifteen, with parameters for samples of 10^6 bits.
//
// It says whether output looks random, which every working generator's does,
// keyed by a constant or not: it finds broken plumbing, never a weak design.
package randtest

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// SampleBits is the length of one sample.
const SampleBits = 1_000_000

// SampleBytes is the same in bytes.
const SampleBytes = SampleBits / 8

// Alpha is the significance of one test on one sample.
const Alpha = 0.01

// A Test is one computation over a sample. P maps the bits, one a byte, 0 or 1,
// to a P-value in [0, 1] for each of Names.
type Test struct {
	Names []string
	P     func(bits []byte) []float64
}

// one is a test with a single P-value.
func one(name string, p func(bits []byte) float64) Test {
	return Test{[]string{name}, func(b []byte) []float64 { return []float64{p(b)} }}
}

// two is the serial test, whose P-values share their counting.
func two(name string, m int) Test {
	return Test{[]string{name + "-first", name + "-second"}, func(b []byte) []float64 {
		first, second := serial(b, m)
		return []float64{first, second}
	}}
}

// Tests returns the tests with their parameters, in the standard's order.
func Tests() []Test {
	return []Test{
		one("monobit", monobit),
		one("block-frequency-10000", func(b []byte) float64 { return blockFrequency(b, 10000) }),
		one("poker-4", func(b []byte) float64 { return poker(b, 4) }),
		one("poker-8", func(b []byte) float64 { return poker(b, 8) }),
		two("serial-3", 3),
		two("serial-5", 5),
		one("runs", runs),
		one("runs-distribution", runsDistribution),
		one("longest-run-of-ones", func(b []byte) float64 { return longestRun(b, 1) }),
		one("longest-run-of-zeroes", func(b []byte) float64 { return longestRun(b, 0) }),
		one("binary-derivative-3", func(b []byte) float64 { return derivative(b, 3) }),
		one("binary-derivative-7", func(b []byte) float64 { return derivative(b, 7) }),
		one("autocorrelation-1", func(b []byte) float64 { return autocorrelation(b, 1) }),
		one("autocorrelation-2", func(b []byte) float64 { return autocorrelation(b, 2) }),
		one("autocorrelation-8", func(b []byte) float64 { return autocorrelation(b, 8) }),
		one("autocorrelation-16", func(b []byte) float64 { return autocorrelation(b, 16) }),
		one("matrix-rank", matrixRank),
		one("cumulative-sums-forward", func(b []byte) float64 { return cumulative(b, false) }),
		one("cumulative-sums-backward", func(b []byte) float64 { return cumulative(b, true) }),
		one("approximate-entropy-2", func(b []byte) float64 { return approximateEntropy(b, 2) }),
		one("approximate-entropy-5", func(b []byte) float64 { return approximateEntropy(b, 5) }),
		one("linear-complexity-500", func(b []byte) float64 { return linearComplexity(b, 500) }),
		one("universal-7", universal),
		one("fourier", spectrum),
	}
}

// Bits spreads bytes into bits, the highest first.
func Bits(data []byte) []byte {
	out := make([]byte, 8*len(data))
	for i, v := range data {
		for j := range 8 {
			out[8*i+j] = v >> (7 - j) & 1
		}
	}
	return out
}

// Result is what one test said of all samples.
type Result struct {
	Name    string  `json:"name"`
	Passed  int     `json:"passed"`    // samples with a P-value of at least Alpha
	Least   int     `json:"least"`     // passes wanted
	Lowest  float64 `json:"lowest_p"`  // over the samples
	Uniform float64 `json:"uniform_p"` // of the P-values' distribution; 0 with fewer than 20 samples
	OK      bool    `json:"ok"`
}

// Limits below which a result is not accepted.
const (
	fullCount   = 1000 // samples the standard's rule is made for
	smallFalse  = 1e-4 // false alarm of the count with fewer samples
	lowestP     = 1e-6 // a single P-value below it is a failure with fewer samples
	uniformP    = 1e-4 // the standard's bound for the distribution of P-values
	uniformFrom = 20   // samples from which the distribution is looked at
	uniformBins = 10
)

// Run applies every test to data, cut into samples; a rest is left out. progress,
// if set, hears how many samples are done.
//
// With 1000 samples and more the standard's rule judges: s(1−α−3√(α(1−α)/s))
// passes and P-values spread evenly. Fewer are judged by a bound on passes with
// a false alarm of 10^-4 and no P-value under 10^-6, so that a short look does
// not cry wolf: each of 26 P-values fails one sample in a hundred by chance.
func Run(data []byte, progress func(done, of int)) (out []Result, samples int) {
	tests := Tests()
	samples = len(data) / SampleBytes
	ps := make([][][]float64, len(tests)) // by test, sample and name
	for s := range samples {
		bits := Bits(data[s*SampleBytes : (s+1)*SampleBytes])
		for i, t := range tests {
			ps[i] = append(ps[i], t.P(bits))
		}
		if progress != nil {
			progress(s+1, samples)
		}
	}
	for i, t := range tests {
		for j, name := range t.Names {
			of := make([]float64, samples)
			for s := range of {
				of[s] = ps[i][s][j]
			}
			out = append(out, judge(name, of))
		}
	}
	return out, samples
}

func judge(name string, ps []float64) Result {
	r := Result{Name: name, Least: least(len(ps)), Lowest: 1}
	for _, p := range ps {
		if p >= Alpha {
			r.Passed++
		}
		r.Lowest = min(r.Lowest, p)
	}
	r.OK = r.Passed >= r.Least && len(ps) > 0
	if len(ps) < fullCount {
		r.OK = r.OK && r.Lowest >= lowestP
	}
	if len(ps) >= uniformFrom {
		r.Uniform = uniform(ps)
		r.OK = r.OK && r.Uniform >= uniformP
	}
	return r
}

// least is how many of s samples must pass.
func least(s int) int {
	n := float64(s)
	if s >= fullCount {
		return int(math.Ceil(n * (1 - Alpha - 3*math.Sqrt(Alpha*(1-Alpha)/n))))
	}
	// The most failures that happen by chance with more than smallFalse.
	fails, tail, term := 0, 1.0, math.Pow(1-Alpha, n)
	for ; fails < s; fails++ {
		tail -= term // P[more than fails failures]
		if tail < smallFalse {
			break
		}
		term *= (n - float64(fails)) / float64(fails+1) * Alpha / (1 - Alpha)
	}
	return s - fails
}

// uniform is the P-value of the χ² of ps over ten equal bins.
func uniform(ps []float64) float64 {
	var count [uniformBins]float64
	for _, p := range ps {
		count[min(uniformBins-1, int(p*uniformBins))]++
	}
	want, v := float64(len(ps))/uniformBins, 0.0
	for _, c := range count {
		v += (c - want) * (c - want) / want
	}
	return igamc((uniformBins-1)/2.0, v/2)
}

// igamc is the upper regularised incomplete gamma function.
func igamc(a, x float64) float64 {
	if x <= 0 {
		return 1
	}
	return mathext.GammaIncRegComp(a, x)
}
