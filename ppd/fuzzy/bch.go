package fuzzy

import (
	"math/bits"

	"github.com/keposs/keposs/core"
)

// Bits is a word of 128 bits; bit i is Bits[i/64]>>(i%64)&1.
type Bits [2]uint64

// Get returns bit i as 0 or 1.
func (b Bits) Get(i int) uint64 { return b[i>>6] >> (i & 63) & 1 }

// Set returns b with bit i set to v&1.
func (b Bits) Set(i int, v uint64) Bits {
	b[i>>6] = b[i>>6]&^(1<<(i&63)) | (v&1)<<(i&63)
	return b
}

// Xor returns b ^ o.
func (b Bits) Xor(o Bits) Bits { return Bits{b[0] ^ o[0], b[1] ^ o[1]} }

// Weight returns the number of ones.
func (b Bits) Weight() int { return bits.OnesCount64(b[0]) + bits.OnesCount64(b[1]) }

// Bytes returns 16 bytes, bit 0 first in each byte's low end.
func (b Bits) Bytes() [16]byte {
	var out [16]byte
	for i := range out {
		out[i] = byte(b[i>>3] >> (8 * (i & 7)))
	}
	return out
}

// BitsOf is the inverse of Bytes.
func BitsOf(in [16]byte) Bits {
	var b Bits
	for i, v := range in {
		b[i>>3] |= uint64(v) << (8 * (i & 7))
	}
	return b
}

// CodeLength is the length of every Code.
const CodeLength = 128

// A Code is an extended BCH code of length 128: the narrow-sense primitive code
// of length 127 with one overall parity bit. It is read-only after NewCode.
type Code struct {
	k    int
	t    int
	rows []Bits // systematic generator: row i has message bit i at position i

	columns [CodeLength]uint64 // the same by position: bit r is row r's
}

// NewCode returns the code whose length-127 part corrects t errors, 10 ≤ t ≤ 31:
// below that a message would not fit 64 bits. Its dimension follows from t: 29
// for t = 21, 36 for t = 15.
func NewCode(t int) (*Code, error) {
	if t < 10 || t > 31 {
		return nil, core.Errorf(core.Invalid, "fuzzy: bch", "t = %d, want 10 to 31", t)
	}
	g := generator(t)
	deg := g.degree()
	k := 127 - deg
	c := &Code{k: k, t: t}
	for i := range k {
		// Message bit i is the coefficient of x^(deg+i); the remainder of
		// x^(deg+i) modulo g makes the word a multiple of g.
		w := monomial(deg + i)
		w = w.xor(monomial(deg + i).mod(g))
		c.rows = append(c.rows, extend(w, deg, k))
	}
	for i := range c.columns {
		for r, row := range c.rows {
			c.columns[i] |= row.Get(i) << r
		}
	}
	return c, nil
}

// extend puts the message bits first, then the check bits, then the parity.
func extend(w poly, deg, k int) Bits {
	var b Bits
	for i := range k {
		b = b.Set(i, w.get(deg+i))
	}
	for i := range deg {
		b = b.Set(k+i, w.get(i))
	}
	return b.Set(CodeLength-1, uint64(b.Weight()))
}

// K returns the number of message bits.
func (c *Code) K() int { return c.k }

// MinDistance returns the designed distance of the extended code, 2t+2: a
// lower bound of the true one.
func (c *Code) MinDistance() int { return 2*c.t + 2 }

// Encode returns the codeword of the low K bits of message.
func (c *Code) Encode(message uint64) Bits {
	var w Bits
	for i, row := range c.rows {
		mask := -(message >> i & 1)
		w[0] ^= row[0] & mask
		w[1] ^= row[1] & mask
	}
	return w
}

// Message returns the message bits of a codeword.
func (c *Code) Message(w Bits) uint64 { return w[0] & (1<<c.k - 1) }

// poly is a polynomial over GF(2) of degree below 192; the generator and its
// multiples fit.
type poly [3]uint64

func monomial(i int) poly       { var p poly; p[i>>6] = 1 << (i & 63); return p }
func (p poly) get(i int) uint64 { return p[i>>6] >> (i & 63) & 1 }
func (p poly) xor(o poly) poly  { return poly{p[0] ^ o[0], p[1] ^ o[1], p[2] ^ o[2]} }
func (p poly) shift(n int) (q poly) {
	for i := range 192 - n {
		if p.get(i) == 1 {
			q = q.xor(monomial(i + n))
		}
	}
	return q
}

func (p poly) degree() int {
	for w := 2; w >= 0; w-- {
		if p[w] != 0 {
			return 64*w + bits.Len64(p[w]) - 1
		}
	}
	return -1
}

func (p poly) mod(g poly) poly {
	d := g.degree()
	for e := p.degree(); e >= d; e = p.degree() {
		p = p.xor(g.shift(e - d))
	}
	return p
}

func (p poly) mul(o poly) (q poly) {
	for i := range o.degree() + 1 {
		if o.get(i) == 1 {
			q = q.xor(p.shift(i))
		}
	}
	return q
}

// generator is the least common multiple of the minimal polynomials of α, α²,
// …, α^2t, where α is a root of x⁷+x³+1.
func generator(t int) poly {
	exp, log := field7()
	g := monomial(0)
	seen := map[int]bool{}
	for i := 1; i <= 2*t; i += 2 { // even powers are conjugates of lower ones
		class := i
		for j, least := 2*i%127, i; j != i; j = 2 * j % 127 {
			least = min(least, j)
			class = least
		}
		if seen[class] {
			continue
		}
		seen[class] = true
		g = g.mul(minimal(class, exp, log))
	}
	return g
}

// field7 builds GF(2⁷) by its generator x, modulo x⁷+x³+1.
func field7() (exp [254]uint8, log [128]int) {
	v := uint8(1)
	for i := range 127 {
		exp[i], exp[i+127] = v, v
		log[v] = i
		v <<= 1
		if v&0x80 != 0 {
			v ^= 0x89
		}
	}
	return exp, log
}

// minimal is ∏ (x − α^j) over the conjugates j of i; its coefficients are 0 or 1.
func minimal(i int, exp [254]uint8, log [128]int) poly {
	coef := []uint8{1}
	for j := i; ; {
		next := make([]uint8, len(coef)+1)
		for d, c := range coef {
			next[d+1] ^= c
			if c != 0 {
				next[d] ^= exp[log[c]+j]
			}
		}
		coef = next
		if j = 2 * j % 127; j == i {
			break
		}
	}
	var p poly
	for d, c := range coef {
		if c&1 == 1 {
			p = p.xor(monomial(d))
		}
	}
	return p
}
