package randtest

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Sequences of the standard's worked examples: one of 128 bits, and the first
// 100 of π, as in NIST SP 800-22.
const (
	example = "11001100000101010110110001001100111000000000001001" +
		"00110101010001000100111101011010000000110101111100" +
		"1100111001101101100010110010"
	pi = "1100100100001111110110101010001000100001011010001100001000110100110001001100011001100010100010111000"
)

func sequence(text string) []byte {
	out := make([]byte, len(text))
	for i := range text {
		out[i] = text[i] - '0'
	}
	return out
}

// The P-values printed in GM/T 0005 for its example.
func TestWorkedExamples(t *testing.T) {
	b, c := sequence(example), sequence(pi)
	first, second := serial(b, 2)
	for name, v := range map[string][2]float64{
		"monobit":              {monobit(b), 0.215925},
		"block frequency, 10":  {blockFrequency(c, 10), 0.706438},
		"poker, 4":             {poker(b, 4), 0.213734},
		"serial, 2, first":     {first, 0.436868},
		"serial, 2, second":    {second, 0.723674},
		"runs":                 {runs(b), 0.620729},
		"runs distribution":    {runsDistribution(b), 0.970152},
		"derivative, 3":        {derivative(b, 3), 0.039669},
		"autocorrelation, 1":   {autocorrelation(b, 1), 0.790080},
		"approximate entropy":  {approximateEntropy(c, 2), 0.235301},
		"cumulative, forward":  {cumulative(c, false), 0.219194},
		"cumulative, backward": {cumulative(c, true), 0.114866},
	} {
		if math.Abs(v[0]-v[1]) > 2e-6 {
			t.Errorf("%s: %.6f, the standard prints %.6f", name, v[0], v[1])
		}
	}
}

func good(samples int) []byte {
	src := rand.NewChaCha8([32]byte{1})
	data := make([]byte, samples*SampleBytes)
	_, _ = src.Read(data)
	return data
}

// req: G-7.9-04
func TestGoodPassesAndBadFails(t *testing.T) {
	data := good(2)
	results, samples := Run(data, nil)
	names := 0
	for _, test := range Tests() {
		names += len(test.Names)
	}
	if samples != 2 || len(results) != names {
		t.Fatalf("%d samples, %d results", samples, len(results))
	}
	for _, r := range results {
		if !r.OK {
			t.Errorf("a good generator fails: %+v", r)
		}
	}
	bad := map[string]func(i int, v byte) byte{
		"constant": func(int, byte) byte { return 0x5a },
		"2 % more one": func(i int, v byte) byte {
			if i%6 == 0 {
				return v | 1
			}
			return v
		},
		"repeats": func(i int, v byte) byte { return data[i/2] },
		"counter": func(i int, _ byte) byte { return byte(i) },
	}
	for name, f := range bad {
		b := make([]byte, SampleBytes)
		for i := range b {
			b[i] = f(i, data[i])
		}
		results, _ := Run(b, nil)
		failed := 0
		for _, r := range results {
			if !r.OK {
				failed++
			}
		}
		if failed == 0 {
			t.Errorf("%s: every test passes", name)
		}
	}
}

// req: G-7.9-04
func TestRule(t *testing.T) {
	// 981 of 1000 is the number the standard gives.
	for s, want := range map[int]int{1000: 981, 1: 0, 2: 0, 100: 94} {
		if got := least(s); got != want {
			t.Errorf("%d samples: %d must pass, want %d", s, got, want)
		}
	}
	if p := uniform(make([]float64, 100)); p > 1e-6 {
		t.Errorf("P-values that are all 0 count as even: %g", p)
	}
	if results, n := Run(make([]byte, 10), nil); n != 0 || results[0].OK {
		t.Error("no sample passes")
	}
}
