package oprf

import (
	"github.com/keposs/keposs/core/internal/mont"
)

// point is an affine point, x ‖ y big-endian, never the identity.
type point [64]byte

// group is a prime-order curve y² = x³ − 3x + b with p ≡ 3 mod 4 and what RFC
// 9497 needs of it. The framing is written over it, so that tests can run the
// same code over P-256, whose answers others have published.
type group struct {
	suite string                         // identifier in the context string
	hash  func(parts ...[]byte) [32]byte // of parts joined; block of 64 bytes; leaves no copy
	p, n  *mont.Modulus
	b, z  mont.Elem // the curve's b and the Z of SSWU, Montgomery form
	three mont.Elem
	c1    [32]byte  // (p−3)/4
	c2    mont.Elem // √−z

	// mults and baseMult are fast and constant-time in k; false for the
	// identity. check tells whether a point is on the curve.
	mults    func(ps []product)
	baseMult func(k *[32]byte) (point, bool)
	add      func(a, b *point) (point, bool)
	check    func(compressed []byte) (point, bool)
}

// A product is k·q, q nil for the generator; ok is false for the identity.
type product struct {
	k   *[32]byte
	q   *point
	out point
	ok  bool
}

// mult is one product.
func (g *group) mult(k *[32]byte, q *point) (point, bool) {
	ps := [1]product{{k: k, q: q}}
	g.mults(ps[:])
	return ps[0].out, ps[0].ok
}

func newGroup(suite string, p, n, b [32]byte, minusZ byte) *group {
	g := &group{suite: suite, p: mont.New(p), n: mont.New(n)}
	g.p.SetBytes(&g.b, &b)
	small := func(v byte) (e mont.Elem) {
		g.p.SetBytes(&e, &[32]byte{31: v})
		return e
	}
	g.three = small(3)
	root := small(minusZ)
	g.p.Neg(&g.z, &root)
	var carry uint16
	for i, v := range p { // (p−3)/4 = p>>2, as p mod 4 = 3
		w := carry<<8 | uint16(v)
		g.c1[i], carry = byte(w>>2), w&3
	}
	// √a = a^((p+1)/4) = a·a^((p−3)/4)
	g.p.Exp(&g.c2, &root, &g.c1)
	g.p.Mul(&g.c2, &g.c2, &root)
	return g
}

// compress gives 02 or 03 ‖ x.
func (q *point) compress() (out [33]byte) {
	out[0] = 2 | q[63]&1
	copy(out[1:], q[:32])
	return out
}

// proj is a point in homogeneous coordinates, the identity being (0, 1, 0).
type proj struct{ x, y, z mont.Elem }

func (g *group) identity() proj { return proj{y: g.p.One()} }

// addProj sets r = a + b by the complete formulas for a = −3 of J. Renes, C.
// Costello, L. Batina (EUROCRYPT 2016, algorithm 4): no case distinctions, so
// no branch tells whether points were equal or the identity. r may be a or b.
func (g *group) addProj(r, a, b *proj) {
	f := g.p
	var t0, t1, t2, t3, t4, x, y, z mont.Elem
	f.Mul(&t0, &a.x, &b.x)
	f.Mul(&t1, &a.y, &b.y)
	f.Mul(&t2, &a.z, &b.z)
	f.Add(&t3, &a.x, &a.y)
	f.Add(&t4, &b.x, &b.y)
	f.Mul(&t3, &t3, &t4)
	f.Add(&t4, &t0, &t1)
	f.Sub(&t3, &t3, &t4)
	f.Add(&t4, &a.y, &a.z)
	f.Add(&x, &b.y, &b.z)
	f.Mul(&t4, &t4, &x)
	f.Add(&x, &t1, &t2)
	f.Sub(&t4, &t4, &x)
	f.Add(&x, &a.x, &a.z)
	f.Add(&y, &b.x, &b.z)
	f.Mul(&x, &x, &y)
	f.Add(&y, &t0, &t2)
	f.Sub(&y, &x, &y)
	f.Mul(&z, &g.b, &t2)
	f.Sub(&x, &y, &z)
	f.Add(&z, &x, &x)
	f.Add(&x, &x, &z)
	f.Sub(&z, &t1, &x)
	f.Add(&x, &t1, &x)
	f.Mul(&y, &g.b, &y)
	f.Add(&t1, &t2, &t2)
	f.Add(&t2, &t1, &t2)
	f.Sub(&y, &y, &t2)
	f.Sub(&y, &y, &t0)
	f.Add(&t1, &y, &y)
	f.Add(&y, &t1, &y)
	f.Add(&t1, &t0, &t0)
	f.Add(&t0, &t1, &t0)
	f.Sub(&t0, &t0, &t2)
	f.Mul(&t1, &t4, &y)
	f.Mul(&t2, &t0, &y)
	f.Mul(&y, &x, &z)
	f.Add(&r.y, &y, &t2)
	f.Mul(&x, &t3, &x)
	f.Sub(&r.x, &x, &t1)
	f.Mul(&z, &t4, &z)
	f.Mul(&t1, &t3, &t0)
	f.Add(&r.z, &z, &t1)
}

// multProj sets r = k·q in constant time, k being 32 big-endian bytes: windows
// of four bits, every table entry read for every window. Unlike mult it leaves
// nothing on the heap; the client's secret points go through it.
func (g *group) multProj(r *proj, k *[32]byte, q *proj) {
	var table [16]proj
	table[0], table[1] = g.identity(), *q
	for i := 2; i < 16; i++ {
		g.addProj(&table[i], &table[i-1], q)
	}
	acc := g.identity()
	for i := range 64 {
		for range 4 {
			g.addProj(&acc, &acc, &acc)
		}
		digit := uint64(k[i/2]>>(4*(1-i%2))) & 15
		var t proj
		for j := range table {
			v := uint64(j) ^ digit
			hit := 1 ^ ((v | -v) >> 63)
			mont.Select(&t.x, &table[j].x, &t.x, hit)
			mont.Select(&t.y, &table[j].y, &t.y, hit)
			mont.Select(&t.z, &table[j].z, &t.z, hit)
		}
		g.addProj(&acc, &acc, &t)
	}
	*r = acc
}

// load takes an affine point that was checked.
func (g *group) load(r *proj, q *point) {
	g.p.SetBytes(&r.x, (*[32]byte)(q[:32]))
	g.p.SetBytes(&r.y, (*[32]byte)(q[32:]))
	r.z = g.p.One()
}

// store sets q to the affine form; false for the identity.
func (g *group) store(q *point, r *proj) bool {
	var inv, v mont.Elem
	g.p.Inv(&inv, &r.z)
	g.p.Mul(&v, &r.x, &inv)
	g.p.Bytes((*[32]byte)(q[:32]), &v)
	g.p.Mul(&v, &r.y, &inv)
	g.p.Bytes((*[32]byte)(q[32:]), &v)
	return mont.IsZero(&r.z) == 0
}
