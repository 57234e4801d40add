//go:build amd64 && !purego

package sm3

import (
	"math/rand/v2"
	"testing"
)

// forms are the assembled ones this processor can run.
func forms() map[string]func(dst, iv, m *[8]uint32) {
	out := map[string]func(dst, iv, m *[8]uint32){}
	if hasBMI2 {
		out["BMI2"] = tail32BMI2
	}
	if hasAVX512 {
		out["AVX-512"] = tail32AVX512
	}
	return out
}

// Every form gives what the plain one gives, for random and for extreme words,
// in place too, and changes nothing else.
func TestTailForms(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for name, tail := range forms() {
		for n := range 2000 {
			var iv, m, want [8]uint32
			for i := range iv {
				iv[i], m[i] = rng.Uint32(), rng.Uint32()
				if n < 256 && n>>i&1 == 1 {
					iv[i], m[i] = ^uint32(0), 0
				}
			}
			tail32Go(&want, &iv, &m)
			got, keptIV, keptM := [10]uint32{0: 7, 9: 7}, iv, m
			tail((*[8]uint32)(got[1:9]), &iv, &m)
			if [8]uint32(got[1:9]) != want || got[0] != 7 || got[9] != 7 || iv != keptIV || m != keptM {
				t.Fatalf("%s, case %d: %08x, want %08x", name, n, got, want)
			}
			if tail(&m, &iv, &m); m != want {
				t.Fatalf("%s, case %d, in place: %08x, want %08x", name, n, m, want)
			}
		}
	}
	if len(forms()) == 0 {
		t.Skip("this processor has neither BMI2 nor AVX-512VL")
	}
}

// Differential: every form against the plain one.
func FuzzTailForms(f *testing.F) {
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, b []byte) {
		var iv, m, want [8]uint32
		for i, c := range b[:min(64, len(b))] {
			w := &iv
			if i >= 32 {
				w = &m
			}
			w[i/4%8] |= uint32(c) << (8 * (i % 4))
		}
		tail32Go(&want, &iv, &m)
		for name, tail := range forms() {
			var got [8]uint32
			if tail(&got, &iv, &m); got != want {
				t.Errorf("%s: %08x, want %08x", name, got, want)
			}
		}
	})
}
