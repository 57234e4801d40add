// Package mont is constant-time arithmetic modulo a 256-bit odd prime, in
// Montgomery form over four 64-bit limbs.
//
// core/sm computes modulo the SM2 group order with it and core/oprf modulo the
// SM2 field prime. No operation branches on, or indexes memory by, the value
// of an Elem; the modulus and exponents are public. Nothing is allocated, so a
// caller that wipes its Elems and the stack below it leaves no copy behind.
//
// Source: Montgomery multiplication with interleaved reduction (CIOS), Ç. K.
// Koç, T. Acar, B. Kaliski, IEEE Micro 16(3), 1996.
package mont

import (
	"encoding/binary"
	"math/bits"
)

// Elem is a value below the modulus, little-endian limbs. Whether it stands in
// Montgomery form (times 2^256) is the caller's knowledge.
type Elem [4]uint64

// Modulus is an odd prime above 2^255 with its constants. It is read-only
// after New and safe for concurrent use.
type Modulus struct {
	m      Elem
	k0     uint64 // -m^-1 mod 2^64
	rr     Elem   // 2^512 mod m
	one    Elem   // 2^256 mod m
	minus2 Elem   // m - 2, the exponent of inversion
}

// New returns the constants of the prime given as 32 big-endian bytes. It
// panics when the value is even or below 2^255: a modulus is a constant of a
// program, never input.
func New(prime [32]byte) *Modulus {
	md := new(Modulus)
	md.m = limbs(&prime)
	if md.m[0]&1 == 0 || md.m[3]>>63 == 0 {
		panic("mont: modulus is even or below 2^255")
	}
	inv := md.m[0] // Newton: correct to 3 bits, doubled each round
	for range 5 {
		inv *= 2 - md.m[0]*inv
	}
	md.k0 = -inv
	// 2^256 mod m = 2^256 - m, as m > 2^255.
	var b uint64
	for i := range md.one {
		md.one[i], b = bits.Sub64(0, md.m[i], b)
	}
	md.rr = md.one
	for range 256 {
		md.Add(&md.rr, &md.rr, &md.rr)
	}
	md.minus2 = md.m
	md.minus2[0], b = bits.Sub64(md.m[0], 2, 0)
	for i := 1; i < 4; i++ {
		md.minus2[i], b = bits.Sub64(md.m[i], 0, b)
	}
	return md
}

func limbs(b *[32]byte) (e Elem) {
	for i := range e {
		e[i] = binary.BigEndian.Uint64(b[24-8*i:])
	}
	return e
}

// One is 1 in Montgomery form.
func (md *Modulus) One() Elem { return md.one }

// SetBytes sets z to the Montgomery form of the big-endian b and returns 1 when
// b is canonical (below the modulus), 0 when it is not; z is then b reduced.
func (md *Modulus) SetBytes(z *Elem, b *[32]byte) (canonical uint64) {
	t := limbs(b)
	_, c := bits.Sub64(t[0], md.m[0], 0)
	_, c = bits.Sub64(t[1], md.m[1], c)
	_, c = bits.Sub64(t[2], md.m[2], c)
	_, c = bits.Sub64(t[3], md.m[3], c)
	md.Mul(z, &t, &md.rr)
	return c
}

// SetWide sets z to the Montgomery form of a 64-byte big-endian integer.
func (md *Modulus) SetWide(z *Elem, b *[64]byte) {
	hi := limbs((*[32]byte)(b[:32]))
	lo := limbs((*[32]byte)(b[32:]))
	md.Mul(&hi, &hi, &md.rr)
	md.Mul(&hi, &hi, &md.rr)
	md.Mul(&lo, &lo, &md.rr)
	md.Add(z, &hi, &lo)
}

// Bytes writes the big-endian bytes of x, which is in Montgomery form.
func (md *Modulus) Bytes(out *[32]byte, x *Elem) {
	t := Elem{1}
	md.Mul(&t, x, &t)
	for i, v := range t {
		binary.BigEndian.PutUint64(out[24-8*i:], v)
	}
}

// Mul sets z = x·y·2^-256 mod m. One factor must be below m, the other may be
// any 256-bit value. z may be x or y.
func (md *Modulus) Mul(z, x, y *Elem) {
	m0, m1, m2, m3 := md.m[0], md.m[1], md.m[2], md.m[3]
	y0, y1, y2, y3 := y[0], y[1], y[2], y[3]
	var t0, t1, t2, t3, t4 uint64
	for i := range 4 {
		xi := x[i]
		// t += x[i]·y
		h0, l0 := bits.Mul64(xi, y0)
		h1, l1 := bits.Mul64(xi, y1)
		h2, l2 := bits.Mul64(xi, y2)
		h3, l3 := bits.Mul64(xi, y3)
		var c, t5 uint64
		t0, c = bits.Add64(t0, l0, 0)
		t1, c = bits.Add64(t1, l1, c)
		t2, c = bits.Add64(t2, l2, c)
		t3, c = bits.Add64(t3, l3, c)
		t4, t5 = bits.Add64(t4, 0, c)
		t1, c = bits.Add64(t1, h0, 0)
		t2, c = bits.Add64(t2, h1, c)
		t3, c = bits.Add64(t3, h2, c)
		t4, c = bits.Add64(t4, h3, c)
		t5 += c
		// t = (t + q·m) / 2^64
		q := t0 * md.k0
		h0, l0 = bits.Mul64(q, m0)
		h1, l1 = bits.Mul64(q, m1)
		h2, l2 = bits.Mul64(q, m2)
		h3, l3 = bits.Mul64(q, m3)
		_, c = bits.Add64(t0, l0, 0)
		t1, c = bits.Add64(t1, l1, c)
		t2, c = bits.Add64(t2, l2, c)
		t3, c = bits.Add64(t3, l3, c)
		t4, c = bits.Add64(t4, 0, c)
		t5 += c
		t0, c = bits.Add64(t1, h0, 0)
		t1, c = bits.Add64(t2, h1, c)
		t2, c = bits.Add64(t3, h2, c)
		t3, c = bits.Add64(t4, h3, c)
		t4 = t5 + c
	}
	r0, b := bits.Sub64(t0, m0, 0)
	r1, b := bits.Sub64(t1, m1, b)
	r2, b := bits.Sub64(t2, m2, b)
	r3, b := bits.Sub64(t3, m3, b)
	_, b = bits.Sub64(t4, 0, b)
	keep := -b // all ones when t < m
	z[0] = r0 ^ (keep & (r0 ^ t0))
	z[1] = r1 ^ (keep & (r1 ^ t1))
	z[2] = r2 ^ (keep & (r2 ^ t2))
	z[3] = r3 ^ (keep & (r3 ^ t3))
}

// SqrN sets z to x squared n times, n public.
func (md *Modulus) SqrN(z, x *Elem, n int) {
	*z = *x
	for range n {
		md.Mul(z, z, z)
	}
}

// Add sets z = x + y mod m.
func (md *Modulus) Add(z, x, y *Elem) {
	t0, c := bits.Add64(x[0], y[0], 0)
	t1, c := bits.Add64(x[1], y[1], c)
	t2, c := bits.Add64(x[2], y[2], c)
	t3, c := bits.Add64(x[3], y[3], c)
	r0, b := bits.Sub64(t0, md.m[0], 0)
	r1, b := bits.Sub64(t1, md.m[1], b)
	r2, b := bits.Sub64(t2, md.m[2], b)
	r3, b := bits.Sub64(t3, md.m[3], b)
	_, b = bits.Sub64(c, 0, b)
	keep := -b
	z[0] = r0 ^ (keep & (r0 ^ t0))
	z[1] = r1 ^ (keep & (r1 ^ t1))
	z[2] = r2 ^ (keep & (r2 ^ t2))
	z[3] = r3 ^ (keep & (r3 ^ t3))
}

// Sub sets z = x - y mod m.
func (md *Modulus) Sub(z, x, y *Elem) {
	t0, b := bits.Sub64(x[0], y[0], 0)
	t1, b := bits.Sub64(x[1], y[1], b)
	t2, b := bits.Sub64(x[2], y[2], b)
	t3, b := bits.Sub64(x[3], y[3], b)
	mask := -b
	var c uint64
	z[0], c = bits.Add64(t0, md.m[0]&mask, 0)
	z[1], c = bits.Add64(t1, md.m[1]&mask, c)
	z[2], c = bits.Add64(t2, md.m[2]&mask, c)
	z[3], _ = bits.Add64(t3, md.m[3]&mask, c)
}

// Neg sets z = -x mod m.
func (md *Modulus) Neg(z, x *Elem) {
	var zero Elem
	md.Sub(z, &zero, x)
}

// Exp sets z = x^e for a public exponent e of 32 big-endian bytes, by fixed
// windows of four bits. x and z are in Montgomery form and may be the same.
func (md *Modulus) Exp(z, x *Elem, e *[32]byte) {
	var table [16]Elem
	table[0], table[1] = md.one, *x
	for i := 2; i < 16; i++ {
		md.Mul(&table[i], &table[i-1], x)
	}
	acc := md.one
	for i, v := range e {
		if i > 0 {
			md.SqrN(&acc, &acc, 4)
		}
		if v>>4 != 0 {
			md.Mul(&acc, &acc, &table[v>>4])
		}
		md.SqrN(&acc, &acc, 4)
		if v&15 != 0 {
			md.Mul(&acc, &acc, &table[v&15])
		}
	}
	*z = acc
	table = [16]Elem{}
	acc = Elem{}
}

// Inv sets z = x^-1, both in Montgomery form, by Fermat; the inverse of 0 is 0.
func (md *Modulus) Inv(z, x *Elem) {
	var e [32]byte
	for i, v := range md.minus2 {
		binary.BigEndian.PutUint64(e[24-8*i:], v)
	}
	md.Exp(z, x, &e)
}

// IsZero returns 1 when x is zero and 0 otherwise.
func IsZero(x *Elem) uint64 {
	v := x[0] | x[1] | x[2] | x[3]
	return 1 ^ ((v | -v) >> 63)
}

// Equal returns 1 when x and y hold the same limbs and 0 otherwise.
func Equal(x, y *Elem) uint64 {
	v := (x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3])
	return 1 ^ ((v | -v) >> 63)
}

// Select sets z = x when cond is 1 and z = y when it is 0.
func Select(z, x, y *Elem, cond uint64) {
	mask := -cond
	for i := range z {
		z[i] = y[i] ^ (mask & (x[i] ^ y[i]))
	}
}
