package lanes

import (
	"encoding/binary"
	"math/bits"
	"sync"
)

// A triple is eight points in Jacobian coordinates, x = X/Z², y = Y/Z³.
type triple [3]fe

// work is everything a multiplication writes, the scalars' digits and the
// table of multiples among it. It is wiped before it goes back to the pool.
type work struct {
	table [16]triple
	acc   triple
	sum   triple
	entry triple
	t     [12]fe
	k     [Width][4]uint64 // scalars, lowest word first
	digit lane
	minus lane // 1 where the digit is negative
	none  lane // 1 where nothing was added to the lane so far
	skip  lane // 1 where the digit is 0
}

var pool = sync.Pool{New: func() any { return new(work) }}

// Mult sets out[i] = k[i]·p[i] for every lane: affine points x ‖ y, big-endian,
// on the curve and not the identity, scalars below the group order n,
// big-endian. Nothing of time or memory access depends on them. done[i] is
// false, and out[i] zeros, for k = 0 and for one more scalar, near n, whose
// last addition would be a doubling; the caller computes those another way.
func Mult(out *[Width][64]byte, k *[Width][32]byte, p *[Width][64]byte) (done [Width]bool) {
	w := pool.Get().(*work)
	for l := range k {
		for i := range w.k[l] {
			w.k[l][i] = binary.BigEndian.Uint64(k[l][24-8*i:])
		}
	}
	w.load(p)
	w.multiples()
	w.walk()
	done = w.affine(out)
	*w = work{}
	forget()
	pool.Put(w)
	return done
}

// load sets the table's first entry to the points.
func (w *work) load(p *[Width][64]byte) {
	e := &w.table[0]
	for l := range p {
		for c := range 2 {
			putBytes(&e[c], l, (*[32]byte)(p[l][32*c:]))
		}
	}
	mul(&e[0], &e[0], &rr)
	mul(&e[1], &e[1], &rr)
	e[2] = one
}

// multiples fills the table with 1 to 16 times the points.
func (w *work) multiples() {
	for i := 1; i < 16; i++ {
		if i%2 == 1 {
			w.double(&w.table[i], &w.table[i/2])
		} else {
			w.add(&w.table[i], &w.table[i-1], &w.table[0])
		}
	}
}

// double sets r = 2·a for A = −3 (dbl-2001-b of the Explicit-Formulas
// Database); the identity, Z = 0, stays. r may be a.
func (w *work) double(r, a *triple) {
	delta, gamma, beta, alpha, u, v := &w.t[0], &w.t[1], &w.t[2], &w.t[3], &w.t[4], &w.t[5]
	sqr(delta, &a[2], 1)
	sqr(gamma, &a[1], 1)
	sub(u, &a[0], delta)
	add(v, &a[0], delta)
	mul(beta, &a[0], gamma)
	mul(alpha, u, v)
	mul(u, &a[1], &a[2])
	add2(alpha, alpha, alpha)
	sqr(gamma, gamma, 1)
	sqr(v, alpha, 1)
	add(&r[2], u, u)
	sub8(&r[0], v, beta)
	four1(beta, beta, &r[0])
	mul(alpha, alpha, beta)
	sub8(&r[1], alpha, gamma)
}

// add sets r = a + b (add-1998-cmo-2) for points that are not the identity and
// not the same; for those, and for opposite ones, Z becomes 0. r may be a.
func (w *work) add(r, a, b *triple) {
	z1, z2, u1, s1, h, r2 := &w.t[0], &w.t[1], &w.t[2], &w.t[3], &w.t[4], &w.t[5]
	u, v := &w.t[6], &w.t[7]
	sqr(z1, &a[2], 1)
	sqr(z2, &b[2], 1)
	mul(u1, &a[0], z2)
	mul(h, &b[0], z1)
	mul(z2, z2, &b[2])
	mul(z1, z1, &a[2])
	sub(h, h, u1)
	mul(s1, &a[1], z2)
	mul(r2, &b[1], z1)
	mul(u, &a[2], &b[2])
	sub(r2, r2, s1)
	mul(&r[2], u, h)
	sqr(u, h, 1)
	sqr(v, r2, 1)
	mul(h, h, u)
	mul(u1, u1, u)
	sub(v, v, h)
	mul(s1, s1, h)
	sub2(&r[0], v, u1)
	sub(u1, u1, &r[0])
	mul(u1, u1, r2)
	sub(&r[1], u1, s1)
}

// digits recodes the bits 5i−1 to 5i+4 of every scalar to −16…16 (A. Booth's
// recoding), magnitude and sign apart.
func (w *work) digits(i int) {
	for l := range w.k {
		k := &w.k[l]
		var in uint64
		if i == 0 {
			in = k[0] << 1 & 63
		} else {
			at := 5*i - 1
			in = k[at/64] >> (at % 64)
			if at/64 < 3 && at%64 > 58 {
				in |= k[at/64+1] << (64 - at%64)
			}
			in &= 63
		}
		sign := in >> 5
		d := in ^ (-sign & 63)
		d = d>>1 + d&1
		w.digit[l], w.minus[l] = d, sign
		w.skip[l] = 1 ^ ((d | -d) >> 63)
	}
}

// walk sets acc = k·p: 52 windows of five bits from the top, each digit's
// multiple chosen among all and negated by sign. A lane stays empty until its
// first digit that is not 0.
func (w *work) walk() {
	w.digits(51)
	pick(&w.acc, &w.table, &w.digit)
	w.none = w.skip
	neg, e := &w.t[8], &w.entry
	for i := 50; i >= 0; i-- {
		for range 5 {
			w.double(&w.acc, &w.acc)
		}
		w.digits(i)
		pick(e, &w.table, &w.digit)
		sub(neg, &zero, &e[1])
		choose(&e[1], neg, &e[1], &w.minus)
		w.add(&w.sum, &w.acc, e)
		for c := range e {
			choose(&w.sum[c], &e[c], &w.sum[c], &w.none)
			choose(&w.acc[c], &w.acc[c], &w.sum[c], &w.skip)
		}
		for l := range w.none {
			w.none[l] &= w.skip[l]
		}
	}
}

var zero fe

// affine writes acc as bytes.
func (w *work) affine(out *[Width][64]byte) (done [Width]bool) {
	inv, v := &w.t[4], &w.t[5]
	invert(inv, &w.acc[2], (*[4]fe)(w.t[:4]))
	sqr(v, inv, 1)
	mul(&w.acc[0], &w.acc[0], v)
	mul(v, v, inv)
	mul(&w.acc[1], &w.acc[1], v)
	mul(inv, inv, &unit)
	mul(&w.acc[0], &w.acc[0], &unit)
	mul(&w.acc[1], &w.acc[1], &unit)
	for l := range out {
		z := canonical(inv, l)
		done[l] = z[0]|z[1]|z[2]|z[3] != 0
		for c := range 2 {
			b := canonical(&w.acc[c], l)
			for i, v := range b {
				binary.BigEndian.PutUint64(out[l][32*c+24-8*i:], v)
			}
			clear(b[:])
		}
		clear(z[:])
	}
	return done
}

// prime64 is p in words.
var prime64 = [4]uint64{0xffffffffffffffff, 0xffffffff00000000, 0xffffffffffffffff, 0xfffffffeffffffff}

// canonical takes lane l of a value of at most p out of its limbs.
func canonical(f *fe, l int) (b [4]uint64) {
	b[0] = f[0][l] | f[1][l]<<52
	b[1] = f[1][l]>>12 | f[2][l]<<40
	b[2] = f[2][l]>>24 | f[3][l]<<28
	b[3] = f[3][l]>>36 | f[4][l]<<16
	var r [4]uint64
	var c uint64
	for i := range r {
		r[i], c = bits.Sub64(b[i], prime64[i], c)
	}
	for i := range r { // c is 1 when b was below p
		r[i] ^= -c & (r[i] ^ b[i])
	}
	return r
}
