package oprf

import (
	"github.com/keposs/keposs/core/internal/mont"
)

// expand is expand_message_xmd of RFC 9380 5.3.1 for a hash of 32 bytes with
// blocks of 64; len(out) ≤ 255·32 and the tag has 1 to 255 bytes, which the
// constant tags of this package keep.
func (g *group) expand(out []byte, dst string, msg ...[]byte) {
	prime := append([]byte(dst), byte(len(dst)))
	var pad [64]byte
	n := len(out)
	parts := append([][]byte{pad[:]}, msg...)
	parts = append(parts, []byte{byte(n >> 8), byte(n), 0}, prime)
	b0 := g.hash(parts...)
	var b [32]byte
	for i := 1; len(out) > 0; i++ {
		for j := range b {
			b[j] ^= b0[j]
		}
		b = g.hash(b[:], []byte{byte(i)}, prime)
		out = out[copy(out, b[:]):]
	}
	clear(b0[:])
	clear(b[:])
}

// toField is hash_to_field (RFC 9380 5.2) with L = 48 for count = len(out) ≤ 2.
func (g *group) toField(f *mont.Modulus, out []mont.Elem, dst string, msg ...[]byte) {
	var u [96]byte
	g.expand(u[:48*len(out)], dst, msg...)
	for i := range out {
		var wide [64]byte
		copy(wide[16:], u[48*i:48*i+48])
		f.SetWide(&out[i], &wide)
		clear(wide[:])
	}
	clear(u[:])
}

// hashToCurve is hash_to_curve of the suite's XMD:SSWU_RO (RFC 9380 3). The
// sum is the identity with probability 2^-256 and then has z = 0.
func (g *group) hashToCurve(r *proj, dst string, msg ...[]byte) {
	var u [2]mont.Elem
	g.toField(g.p, u[:], dst, msg...)
	var q proj
	g.sswu(r, &u[0])
	g.sswu(&q, &u[1])
	g.addProj(r, r, &q)
	u = [2]mont.Elem{}
}

// sswu is the simplified SWU map for A = −3 in straight-line form (RFC 9380
// appendix F.2); the division at its end is left to the homogeneous z.
func (g *group) sswu(r *proj, u *mont.Elem) {
	f := g.p
	one := f.One()
	var tv1, tv2, tv3, tv4, tv5, tv6, x, y, t mont.Elem
	f.Mul(&tv1, u, u)
	f.Mul(&tv1, &g.z, &tv1)
	f.Mul(&tv2, &tv1, &tv1)
	f.Add(&tv2, &tv2, &tv1)
	f.Add(&tv3, &tv2, &one)
	f.Mul(&tv3, &g.b, &tv3)
	f.Neg(&t, &tv2)
	mont.Select(&tv4, &g.z, &t, mont.IsZero(&tv2))
	f.Mul(&tv4, &tv4, &g.three)
	f.Neg(&tv4, &tv4)
	f.Mul(&tv2, &tv3, &tv3)
	f.Mul(&tv6, &tv4, &tv4)
	f.Mul(&tv5, &g.three, &tv6)
	f.Sub(&tv2, &tv2, &tv5)
	f.Mul(&tv2, &tv2, &tv3)
	f.Mul(&tv6, &tv6, &tv4)
	f.Mul(&tv5, &g.b, &tv6)
	f.Add(&tv2, &tv2, &tv5)
	f.Mul(&x, &tv1, &tv3)
	square := g.sqrtRatio(&t, &tv2, &tv6)
	f.Mul(&y, &tv1, u)
	f.Mul(&y, &y, &t)
	mont.Select(&x, &tv3, &x, square)
	mont.Select(&y, &t, &y, square)
	f.Neg(&t, &y)
	mont.Select(&y, &y, &t, 1^g.sgn0(u)^g.sgn0(&y))
	// (x/tv4, y) = (x : y·tv4 : tv4)
	r.x = x
	f.Mul(&r.y, &y, &tv4)
	r.z = tv4
}

// sqrtRatio sets y to √(u/v) and returns 1, or to √(z·u/v) and returns 0
// (RFC 9380 F.2.1.2, p ≡ 3 mod 4).
func (g *group) sqrtRatio(y, u, v *mont.Elem) uint64 {
	f := g.p
	var tv1, tv2, y1, y2 mont.Elem
	f.Mul(&tv1, v, v)
	f.Mul(&tv2, u, v)
	f.Mul(&tv1, &tv1, &tv2)
	f.Exp(&y1, &tv1, &g.c1)
	f.Mul(&y1, &y1, &tv2)
	f.Mul(&y2, &y1, &g.c2)
	f.Mul(&tv1, &y1, &y1)
	f.Mul(&tv1, &tv1, v)
	square := mont.Equal(&tv1, u)
	mont.Select(y, &y1, &y2, square)
	return square
}

// sgn0 is the lowest bit of the value, 0 or 1.
func (g *group) sgn0(x *mont.Elem) uint64 {
	var b [32]byte
	g.p.Bytes(&b, x)
	return uint64(b[31] & 1)
}
