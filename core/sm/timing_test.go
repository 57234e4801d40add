package sm

import (
	"crypto/rand"
	"math"
	"testing"

	"github.com/keposs/keposs/core/internal/mont"
	"github.com/keposs/keposs/internal/dudect"
	"github.com/keposs/keposs/internal/testenv"
)

// The part of a signature that holds d, and loading a key, take times that do
// not depend on d; a signer that inverts in as many steps as the key has bits
// is caught by the same statistic with the same samples.
func TestTimingOfPrivateKey(t *testing.T) {
	testenv.NeedLevel(t, 1)
	samples := 20_000
	if testenv.Level() > 1 {
		samples = 1_000_000
	}
	input := func(in []byte, fixed bool) {
		_, _ = rand.Read(in)
		in[0] &= 0x7f
		if fixed {
			clear(in)
			in[31] = 3
		}
	}
	e := messageHash(&PublicKey{}, []byte("id"), []byte("m"))
	nonce := SM3([]byte("nonce"))
	sign := func(in []byte) {
		var s scalars
		var sig [64]byte
		s.load((*[32]byte)(in))
		s.signWith(&sig, &e, &nonce)
	}
	leaky := func(in []byte) { // square and multiply over the bits of the secret
		var base, acc mont.Elem
		order.SetBytes(&base, &nonce)
		acc = order.One()
		for _, v := range in {
			for bit := 7; bit >= 0; bit-- {
				order.Mul(&acc, &acc, &acc)
				if v>>bit&1 == 1 {
					order.Mul(&acc, &acc, &base)
				}
			}
		}
	}
	if s := dudect.T(samples, 32, input, leaky); s < dudect.Threshold {
		t.Errorf("the planted leak gives t = %.1f", s)
	}
	best := math.Inf(1)
	for range 3 { // a busy machine may raise one run; a leak raises all
		best = min(best, dudect.T(samples, 32, input, sign))
	}
	t.Logf("t = %.2f with %d samples", best, samples)
	if best >= dudect.Threshold {
		t.Errorf("t = %.1f: the time depends on the key", best)
	}
}
