package randtest

import (
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
)

// expansion returns the first n bits of num/den, whose integer part has lead
// bits, in binary: the sequences the tables of NIST SP 800-22 are made from.
func expansion(num, den *big.Int, lead, n int) []byte {
	q := new(big.Int).Lsh(num, uint(n-lead))
	q.Quo(q, den)
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(q.Bit(n - 1 - i))
	}
	return out
}

// eBits is e = Σ 1/k!, by binary splitting.
func eBits(n int) []byte {
	var split func(a, b int64) (p, q *big.Int) // Σ over (a, b], q = b!/a!
	split = func(a, b int64) (p, q *big.Int) {
		if b-a == 1 {
			return big.NewInt(1), big.NewInt(b)
		}
		m := (a + b) / 2
		p1, q1 := split(a, m)
		p2, q2 := split(m, b)
		return p1.Mul(p1, q2).Add(p1, p2), q1.Mul(q1, q2)
	}
	terms, log := int64(0), 0.0 // until terms! > 2^(n+64)
	for log < float64(n)+64 {
		terms++
		log += math.Log2(float64(terms))
	}
	p, q := split(0, terms)
	return expansion(p.Add(p, q), q, 2, n)
}

// piBits is π by the series of Chudnovsky.
func piBits(n int) []byte {
	const a, b, c3over24 = 13591409, 545140134, 10939058860032000
	var split func(lo, hi int64) (p, q, t *big.Int)
	split = func(lo, hi int64) (p, q, t *big.Int) {
		if hi-lo == 1 {
			p, q = big.NewInt(1), big.NewInt(1)
			if lo > 0 {
				p = big.NewInt(6*lo - 5)
				p.Mul(p, big.NewInt(2*lo-1)).Mul(p, big.NewInt(6*lo-1))
				q = big.NewInt(lo)
				q.Mul(q, q).Mul(q, big.NewInt(lo)).Mul(q, big.NewInt(c3over24))
			}
			t = new(big.Int).Mul(p, big.NewInt(a+b*lo))
			if lo%2 == 1 {
				t.Neg(t)
			}
			return p, q, t
		}
		m := (lo + hi) / 2
		p1, q1, t1 := split(lo, m)
		p2, q2, t2 := split(m, hi)
		t1.Mul(t1, q2).Add(t1, t2.Mul(t2, p1))
		return p1.Mul(p1, p2), q1.Mul(q1, q2), t1
	}
	_, q, t := split(0, int64(n)/47+2)
	shift := uint(n + 64)
	root := new(big.Int).Sqrt(new(big.Int).Lsh(big.NewInt(10005), 2*shift))
	num := q.Mul(q, big.NewInt(426880)).Mul(q, root)
	return expansion(num, t.Lsh(t, shift), 2, n)
}

// The values SP 800-22 prints for π and e: appendix B for 10^6 bits, and the
// examples of its sections 2.5, 2.6 and 2.10.
// req: G-7.9-04
func TestPublishedExpansions(t *testing.T) {
	e, p := eBits(1_000_000), piBits(1_000_000)
	if !slices.Equal(p[:len(pi)], sequence(pi)) {
		t.Fatal("the expansion of π is wrong")
	}
	for name, v := range map[string][2]float64{
		"monobit, π":                {monobit(p), 0.578211},
		"monobit, e":                {monobit(e), 0.953749},
		"rank, π":                   {matrixRank(p), 0.083553},
		"rank, e":                   {matrixRank(e), 0.306156},
		"rank, 100 000 bits of e":   {matrixRank(e[:100_000]), 0.532069},
		"fourier, π":                {spectrumP(peaks(p), len(p), 4), 0.010186},
		"fourier, e":                {spectrumP(peaks(e), len(e), 4), 0.847187},
		"universal, π":              {universal(p), 0.669012},
		"universal, e":              {universal(e), 0.282568},
		"fourier, 100 bits of π":    {spectrum(sequence(pi)), 0.654721}, // GM/T 0005
		"linear complexity, π":      {printed(p, 500), 0.255475},
		"linear complexity, e":      {printed(e, 500), 0.826335},
		"linear complexity 1000, e": {printed(e, 1000), 0.845406},
	} {
		if math.Abs(v[0]-v[1]) > 2e-6 {
			t.Errorf("%s: %.6f, the standard prints %.6f", name, v[0], v[1])
		}
	}
	if got, want := complexityClasses(e, 1000), []float64{11, 31, 116, 501, 258, 57, 26}; !slices.Equal(got, want) {
		t.Errorf("classes of complexity %v, SP 800-22 prints %v", got, want)
	}
	// The exact first share moves the printed values in the third digit only.
	if got := linearComplexity(e, 500); math.Abs(got-0.826335) > 1e-3 {
		t.Errorf("linear complexity of e: %.6f", got)
	}
}

// printed is linearComplexity with the first share as SP 800-22's program has
// it, 0.01047, where its text and GM/T 0005 say 0.010417 = 1/96.
func printed(seq []byte, m int) float64 {
	shares := slices.Clone(complexityShares)
	shares[0] = 0.01047
	return igamc(3, chi2(complexityClasses(seq, m), shares)/2)
}

// The worked example of section 2.10: 1101011110001 has complexity 4. Further
// ones by hand, and against a register of known length.
func TestRegisterLength(t *testing.T) {
	for text, want := range map[string]int{"1101011110001": 4, "0000": 0, "0001": 4, "1111": 1, "101010": 2, "": 0} {
		if got := registerLength(sequence(text)); got != want {
			t.Errorf("%q: complexity %d, want %d", text, got, want)
		}
	}
	for _, taps := range [][]int{{5, 3}, {31, 28}, {63, 62}, {127, 126}} { // primitive polynomials
		if got := registerLength(register(600, taps...)); got != taps[0] {
			t.Errorf("register of %d cells: complexity %d", taps[0], got)
		}
	}
}

// register is n bits of a shift register s_i = ⊕ s_{i−tap}, begun at random.
func register(n int, taps ...int) []byte {
	src := rand.New(rand.NewPCG(1, 2))
	out := make([]byte, n)
	out[0] = 1 // not all zero
	for i := 1; i < n; i++ {
		if i < taps[0] {
			out[i] = byte(src.IntN(2))
			continue
		}
		for _, d := range taps {
			out[i] ^= out[i-d]
		}
	}
	return out
}

// A generator with the very defect a test looks for is caught by that test.
// req: G-7.9-04
func TestEachDefectIsCaught(t *testing.T) {
	defects := map[string]func(b []byte){
		"matrix-rank": func(b []byte) { // the last row of each matrix is the sum of the first two
			for ; len(b) >= 1024; b = b[1024:] {
				for i := range 32 {
					b[31*32+i] = b[i] ^ b[32+i]
				}
			}
		},
		"linear-complexity-500": func(b []byte) { // each block is a register's, of 200 cells begun anew
			for ; len(b) >= 500; b = b[500:] {
				for i := 200; i < 500; i++ {
					b[i] = b[i-200] ^ b[i-199]
				}
			}
		},
		"universal-7": func(b []byte) { // what came 700 bits ago comes again, every other time
			for i := 700; i+700 <= len(b); i += 1400 {
				copy(b[i:i+700], b[i-700:i])
			}
		},
		"fourier": func(b []byte) { // a period of 10 000 bits
			copy(b[500_000:], b[:500_000])
		},
	}
	for _, test := range Tests() {
		plant, ok := defects[test.Names[0]]
		if !ok {
			continue
		}
		delete(defects, test.Names[0])
		b := Bits(good(1))
		if p := test.P(b)[0]; p < Alpha {
			t.Errorf("%s: P-value %g of a good generator", test.Names[0], p)
		}
		plant(b)
		if p := test.P(b)[0]; p >= lowestP {
			t.Errorf("%s: the planted defect has P-value %g", test.Names[0], p)
		}
	}
	if len(defects) > 0 {
		t.Errorf("no such tests: %v", defects)
	}
}
