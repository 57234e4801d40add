//go:build amd64 && !purego

package sm3

import (
	"math/rand/v2"
	"testing"
)

// forms are the assembled ones this processor can run.
func forms() map[string]func(u, t *[8]uint32, k *Key, n int) {
	out := map[string]func(u, t *[8]uint32, k *Key, n int){}
	if hasBMI {
		out["BMI2"] = iterateBMI2
	}
	if hasAVX512 {
		out["AVX-512"] = iterateAVX512
	}
	return out
}

// Every form gives what the plain one gives, for random and for extreme words
// and several counts, and changes nothing else.
func TestIterateForms(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for name, iterate := range forms() {
		for n := range 2000 {
			var k Key
			var u, sum [10]uint32 // a word of margin on both sides
			for i := range k.Inner {
				k.Inner[i], k.Outer[i], u[1+i], sum[1+i] = rng.Uint32(), rng.Uint32(), rng.Uint32(), rng.Uint32()
				if n < 256 && n>>i&1 == 1 {
					k.Inner[i], k.Outer[i], u[1+i] = ^uint32(0), ^uint32(0), 0
				}
			}
			u[0], u[9], sum[0], sum[9] = 7, 8, 9, 10
			wantU, wantSum, kept := u, sum, k
			count := 1 + n%5
			k.iterate((*[8]uint32)(wantU[1:]), (*[8]uint32)(wantSum[1:]), count)
			iterate((*[8]uint32)(u[1:]), (*[8]uint32)(sum[1:]), &k, count)
			if u != wantU || sum != wantSum || k != kept {
				t.Fatalf("%s, case %d, %d rounds: %08x and %08x, want %08x and %08x", name, n, count, u, sum, wantU, wantSum)
			}
		}
	}
	if len(forms()) == 0 {
		t.Skip("this processor has neither BMI2 nor AVX-512VL")
	}
}

// Differential: every form against the plain one.
func FuzzIterateForms(f *testing.F) {
	f.Add(make([]byte, 97))
	f.Fuzz(func(t *testing.T, b []byte) {
		var k Key
		var u [8]uint32
		n := 1
		for i, c := range b[:min(97, len(b))] {
			if i == 96 {
				n = 1 + int(c%4)
				break
			}
			[]*[8]uint32{&k.Inner, &k.Outer, &u}[i/32][i/4%8] |= uint32(c) << (8 * (i % 4))
		}
		var wantSum [8]uint32
		wantU := u
		k.iterate(&wantU, &wantSum, n)
		for name, iterate := range forms() {
			gotU, gotSum := u, [8]uint32{}
			if iterate(&gotU, &gotSum, &k, n); gotU != wantU || gotSum != wantSum {
				t.Errorf("%s, %d rounds: %08x and %08x, want %08x and %08x", name, n, gotU, gotSum, wantU, wantSum)
			}
		}
	})
}
