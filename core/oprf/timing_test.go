package oprf

import (
	"crypto/rand"
	"math"
	"testing"

	"github.com/keposs/keposs/core/internal/mont"
	"github.com/keposs/keposs/internal/dudect"
	"github.com/keposs/keposs/internal/testenv"
)

// skipping is a scalar multiplication that passes over zero digits: a leak as
// programs really have it.
func skipping(k *[32]byte, q *proj) {
	acc := sm2.identity()
	for i := range 64 {
		for range 4 {
			sm2.addProj(&acc, &acc, &acc)
		}
		if digit := k[i/2] >> (4 * (1 - i%2)) & 15; digit != 0 {
			sm2.addProj(&acc, &acc, q)
		}
	}
}

// increment hashes to the curve by trying one x after the other.
func increment(u *mont.Elem) {
	one := sm2.p.One()
	x := *u
	for {
		var rhs, y mont.Elem
		sm2.p.Mul(&rhs, &x, &x)
		sm2.p.Sub(&rhs, &rhs, &sm2.three)
		sm2.p.Mul(&rhs, &rhs, &x)
		sm2.p.Add(&rhs, &rhs, &sm2.b)
		if sm2.sqrtRatio(&y, &rhs, &one) == 1 {
			return
		}
		sm2.p.Add(&x, &x, &one)
	}
}

// Hashing to the curve and blinding take times that depend neither on the
// input nor on the blind; the planted leaks of both kinds are caught by the
// same statistic.
func TestTiming(t *testing.T) {
	testenv.NeedLevel(t, 1)
	samples := 20_000
	if testenv.Level() > 1 {
		samples = 1_000_000
	}
	random := func(in []byte, fixed bool) {
		_, _ = rand.Read(in)
		in[0] &= 0x7f
		if fixed {
			clear(in)
			in[31] = 1
		}
	}
	var h proj
	sm2.hashToCurve(&h, sm2.tagGroup(), []byte("fixed"))
	for _, c := range []struct {
		name string
		leak bool
		run  func(in []byte)
	}{
		{"hash-to-curve", false, func(in []byte) {
			var r proj
			sm2.hashToCurve(&r, sm2.tagGroup(), in)
		}},
		{"map-to-curve", false, func(in []byte) {
			var u mont.Elem
			var r proj
			sm2.p.SetBytes(&u, (*[32]byte)(in))
			sm2.sswu(&r, &u)
		}},
		{"blinding", false, func(in []byte) {
			var r proj
			sm2.multProj(&r, (*[32]byte)(in), &h)
		}},
		{"planted: zero digits skipped", true, func(in []byte) { skipping((*[32]byte)(in), &h) }},
		{"planted: try and increment", true, func(in []byte) {
			var u mont.Elem
			sm2.p.SetBytes(&u, (*[32]byte)(in))
			increment(&u)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			best, runs := math.Inf(1), 3 // a busy machine may raise one run; a leak raises all
			if c.leak {
				runs = 1
			}
			n := samples
			if c.leak {
				n = min(n, 20_000)
			}
			for i := 0; i < runs && best >= dudect.Threshold; i++ {
				best = min(best, dudect.T(n, 32, random, c.run))
			}
			t.Logf("t = %.2f with %d samples", best, n)
			if (best >= dudect.Threshold) != c.leak {
				t.Errorf("t = %.1f, threshold %.1f", best, dudect.Threshold)
			}
		})
	}
}
