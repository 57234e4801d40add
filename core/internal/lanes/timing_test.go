package lanes

import (
	"crypto/rand"
	"math"
	"math/big"
	"testing"

	"github.com/keposs/keposs/internal/dudect"
	"github.com/keposs/keposs/internal/testenv"
)

// A multiplication takes a time that does not depend on the scalars; one that
// passes over windows without a digit is caught by the same statistic.
func TestTimingOfMult(t *testing.T) {
	testenv.NeedLevel(t, 1)
	samples := 20_000
	if testenv.Level() > 1 {
		samples = 1_000_000
	}
	input := func(in []byte, fixed bool) {
		_, _ = rand.Read(in)
		if fixed {
			clear(in)
		}
		for l := range Width { // 1 to n−1, the fixed ones with few digits
			k := in[32*l : 32*l+32]
			new(big.Int).Mod(new(big.Int).SetBytes(k), curve.Params().N).FillBytes(k)
			k[31] |= 1
		}
	}
	var p, out [Width][64]byte
	for l := range p {
		p[l] = point([32]byte{31: byte(l + 2)})
	}
	mult := func(in []byte) { Mult(&out, (*[Width][32]byte)(split(in)), &p) }
	leaky := func(in []byte) {
		w := new(work)
		w.load(&p)
		w.acc = w.table[0]
		for _, b := range in[:32] {
			for bit := range 8 {
				w.double(&w.acc, &w.acc)
				if b>>bit&1 == 1 {
					w.add(&w.acc, &w.acc, &w.table[0])
				}
			}
		}
	}
	if s := dudect.T(min(samples, 20_000), 32*Width, input, leaky); s < dudect.Threshold {
		t.Errorf("the planted leak gives t = %.1f", s)
	}
	best := math.Inf(1)
	for i := 0; i < 3 && best >= dudect.Threshold; i++ { // a busy machine may raise one run; a leak raises all
		best = min(best, dudect.T(samples, 32*Width, input, mult))
	}
	t.Logf("t = %.2f with %d samples", best, samples)
	if best >= dudect.Threshold {
		t.Errorf("t = %.1f: the time depends on a scalar", best)
	}
}

func split(in []byte) (k [][32]byte) {
	for l := range Width {
		k = append(k, [32]byte(in[32*l:]))
	}
	return k
}
