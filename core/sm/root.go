package sm

import (
	"github.com/keposs/keposs/core/internal/lanes"
	"github.com/keposs/keposs/core/internal/mont"
)

// root sets z to x^((p+1)/4), which is a square root of x if x has one.
func root(z, x *mont.Elem) {
	r := [mont.RootRegisters]mont.Elem{*x}
	for _, s := range mont.RootSM2 {
		field.SqrN(&r[s.To], &r[s.From], s.N)
		field.Mul(&r[s.To], &r[s.To], &r[s.By])
	}
	field.SqrN(z, &r[5], mont.RootTail)
}

// rightSide sets r = x³ − 3x + b, the square of y on the curve.
func rightSide(r, x *mont.Elem) {
	field.Mul(r, x, x)
	field.Mul(r, r, x)
	field.Sub(r, r, x)
	field.Sub(r, r, x)
	field.Sub(r, r, x)
	field.Add(r, r, &curveB)
}

// decompress sets p from 02 or 03 and x (SEC 1 2.3.4) and returns 1, or 0 when
// x is not below the prime or no point has it.
func (p *PublicKey) decompress(b *[33]byte) uint64 {
	r, ok := beginRoot(b)
	var y mont.Elem
	root(&y, &r)
	return ok & p.endRoot(b, &r, &y)
}

// beginRoot sets r to what y is a root of, and ok to 1 when x is canonical.
func beginRoot(b *[33]byte) (r mont.Elem, ok uint64) {
	var x mont.Elem
	ok = field.SetBytes(&x, (*[32]byte)(b[1:]))
	rightSide(&r, &x)
	return r, ok
}

// endRoot sets p to x and y or −y, and returns 1 when y is a root of r.
func (p *PublicKey) endRoot(b *[33]byte, r, y *mont.Elem) uint64 {
	var l mont.Elem
	field.Mul(&l, y, y)
	ok := mont.Equal(&l, r)
	copy(p.xy[:32], b[1:])
	out := (*[32]byte)(p.xy[32:])
	field.Bytes(out, y)
	field.Neg(&l, y) // y is not 0: the order of the curve is odd
	mont.Select(y, &l, y, uint64(out[31]^b[0])&1)
	field.Bytes(out, y)
	return ok
}

// A parsing is a compressed point being read.
type parsing struct {
	b  *[33]byte
	p  PublicKey
	ok uint64
}

var roots = gathering[*parsing]{run: rootsInLanes}

// ParseShared is ParsePoint of a point that anyone may know. With AVX-512 IFMA
// it joins a compressed one with what other goroutines ask for at the same
// moment, as Products does: eight roots in lanes cost as much as one. Errors:
// Invalid.
func ParseShared(b []byte) (PublicKey, error) {
	if !useLanes || len(b) != 33 || b[0] != 2 && b[0] != 3 {
		return ParsePoint(b)
	}
	p := parsing{b: (*[33]byte)(b)}
	roots.do(&p)
	return p.p.taken(p.ok)
}

// rootsInLanes decompresses eight at a time; a lane without a point repeats the
// first.
func rootsInLanes(ps []*parsing) {
	for len(ps) > 0 {
		n := min(len(ps), lanes.Width)
		if n == 1 {
			ps[0].ok = ps[0].p.decompress(ps[0].b)
			return
		}
		var squares, found [lanes.Width][32]byte
		var r [lanes.Width]mont.Elem
		for l := range squares {
			if l >= n {
				squares[l] = squares[0]
				continue
			}
			r[l], ps[l].ok = beginRoot(ps[l].b)
			field.Bytes(&squares[l], &r[l])
		}
		lanes.Roots(&found, &squares)
		for l, p := range ps[:n] {
			var y mont.Elem
			field.SetBytes(&y, &found[l])
			p.ok &= p.p.endRoot(p.b, &r[l], &y)
		}
		ps = ps[n:]
	}
}
