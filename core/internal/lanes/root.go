package lanes

import "encoding/binary"

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

// root sets z = x^((p+1)/4). The exponent is 2^62·(31 ones, 0, 128 ones, 31
// zeros, 1 in binary); runs of ones are made by doubling them.
func root(z, x *fe) {
	var r1, r2, r31, r32 fe
	ones := func(z, a, b *fe, n int) { // a and then n ones, which b has; z is not b
		sqr(z, a, n)
		mul(z, z, b)
	}
	ones(&r1, x, x, 1) // 2
	ones(&r2, &r1, &r1, 2)
	ones(&r31, &r2, &r2, 4)
	ones(&r32, &r31, &r31, 8) // 16
	ones(&r32, &r32, &r31, 8) // 24
	ones(&r31, &r32, &r2, 4)  // 28
	ones(&r31, &r31, &r1, 2)  // 30
	ones(&r31, &r31, x, 1)    // 31
	ones(&r32, &r31, x, 1)    // 32
	sqr(z, &r31, 1)
	for range 4 {
		ones(z, z, &r32, 32)
	}
	sqr(z, z, 32)
	mul(z, z, x)
	sqr(z, z, 62)
}
