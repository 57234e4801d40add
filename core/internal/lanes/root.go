package lanes

import (
	"encoding/binary"

	"github.com/keposs/keposs/core/internal/mont"
)

// Roots sets out[l] = in[l]^((p+1)/4), big-endian and canonical, for every lane:
// a square root of in[l] modulo the prime p when it has one. in has values
// below p. Nothing of time or memory access depends on them; what it computes
// with stays on the stack, so the values are public.
func Roots(out, in *[Width][32]byte) {
	var x, y fe
	for l := range in {
		putBytes(&x, l, &in[l])
	}
	mul(&x, &x, &rr)
	root(&y, &x)
	mul(&y, &y, &unit)
	for l := range out {
		for i, v := range canonical(&y, l) {
			binary.BigEndian.PutUint64(out[l][24-8*i:], v)
		}
	}
}

// putBytes sets lane l of f to big-endian bytes, in limbs of 52 bits.
func putBytes(f *fe, l int, from *[32]byte) {
	var b [4]uint64
	for i := range b {
		b[i] = binary.BigEndian.Uint64(from[24-8*i:])
	}
	f[0][l] = b[0] & low52
	f[1][l] = (b[0]>>52 | b[1]<<12) & low52
	f[2][l] = (b[1]>>40 | b[2]<<24) & low52
	f[3][l] = (b[2]>>28 | b[3]<<36) & low52
	f[4][l] = b[3] >> 16
}

// root sets z = x^((p+1)/4).
func root(z, x *fe) {
	r := [mont.RootRegisters]fe{*x}
	for _, s := range mont.RootSM2 {
		sqr(&r[s.To], &r[s.From], s.N)
		mul(&r[s.To], &r[s.To], &r[s.By])
	}
	sqr(z, &r[5], mont.RootTail)
}
