package fuzzy

// GF(2¹⁶) modulo x¹⁶+x¹²+x³+x+1, a primitive polynomial. Elements are uint16;
// addition is xor.
const gf16Poly = 0x1100b

// gfExp[i] is x^i for i below 2·65535 and 0 above: with gfLog[0] = 2·65535 a
// product of logarithms needs no test for zero as long as one term is reduced.
var (
	gfExp [4 * 65536]uint16
	gfLog [65536]int32
)

// The tables are a function of the polynomial alone; building them here costs
// under a millisecond and keeps them out of the binary.
var _ = buildGF16()

func buildGF16() bool {
	gfLog[0] = 2 * 65535
	v := uint32(1)
	for i := range 65535 {
		gfExp[i], gfExp[i+65535] = uint16(v), uint16(v)
		gfLog[v] = int32(i)
		if v <<= 1; v&0x10000 != 0 {
			v ^= gf16Poly
		}
	}
	return true
}

// Mul multiplies in GF(2¹⁶). Its table look-ups depend on the operands: it is
// for helper arithmetic inside a source's own process, not for long-term keys.
func Mul(a, b uint16) uint16 {
	if a == 0 || b == 0 {
		return 0
	}
	return gfExp[gfLog[a]+gfLog[b]]
}

// Inv inverts; Inv(0) is 0.
func Inv(a uint16) uint16 {
	if a == 0 {
		return 0
	}
	return gfExp[65535-gfLog[a]]
}

// Eval evaluates the polynomial with coefficients p, lowest first, at x.
func Eval(p []uint16, x uint16) (y uint16) {
	for i := len(p) - 1; i >= 0; i-- {
		y = Mul(y, x) ^ p[i]
	}
	return y
}

// FromRoots returns ∏ (X − root), lowest coefficient first, monic.
func FromRoots(roots []uint16) []uint16 {
	p := make([]uint16, 1, len(roots)+1)
	p[0] = 1
	for _, r := range roots {
		p = append(p, 0)
		for i := len(p) - 1; i > 0; i-- {
			p[i] = p[i-1] ^ Mul(p[i], r)
		}
		p[0] = Mul(p[0], r)
	}
	return p
}

// Interpolate returns the polynomial of degree below len(x) through the points,
// lowest coefficient first. The x must be distinct.
func Interpolate(x, y []uint16) []uint16 {
	n := len(x)
	d := append([]uint16(nil), y...)
	for j := 1; j < n; j++ {
		for i := n - 1; i >= j; i-- {
			d[i] = Mul(d[i]^d[i-1], Inv(x[i]^x[i-j]))
		}
	}
	p := make([]uint16, n)
	for i := n - 1; i >= 0; i-- {
		for j := n - 1; j > 0; j-- {
			p[j] = p[j-1] ^ Mul(p[j], x[i])
		}
		p[0] = Mul(p[0], x[i]) ^ d[i]
	}
	return p
}
