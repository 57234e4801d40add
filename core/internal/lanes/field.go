// Package lanes multiplies eight points of the SM2 curve by eight scalars at
// once, lane by lane, in constant time.
//
// A processor with AVX-512 IFMA does in one instruction what eight lanes need
// of a 52-bit product; there, eight multiplications together cost less than
// two of the fastest single ones. SS-CC's tries come in batches, and a proof
// alone has four multiplications, so lanes are filled. Where the processor
// has no such instructions everything here works, but slowly: [Fast] tells.
//
// Source: Montgomery multiplication in radix 2^52 as S. Gueron and V. Krasnov
// describe it for IFMA (ARITH 2016, "Accelerating big integer arithmetic using
// Intel IFMA extensions"); the prime p = 2^256 − 2^224 − 2^96 + 2^64 − 1 makes
// the quotient of a column the column itself.
package lanes

//go:generate go run gen.go

// Width is the number of lanes.
const Width = 8

// Fast tells that the processor multiplies eight lanes in one instruction.
func Fast() bool { return fast }

// A lane holds one word per lane.
type lane [Width]uint64

// A fe is eight field elements in Montgomery form (times 2^260), five limbs of
// 52 bits, the lowest first. Every operation leaves limbs below 2^52 and a
// value below 2·p, not canonical, and accepts such values.
type fe [5]lane

const low52 = 1<<52 - 1

func all(v uint64) (l lane) {
	for i := range l {
		l[i] = v
	}
	return l
}

func spread(limbs [5]uint64) (z fe) {
	for i, v := range limbs {
		z[i] = all(v)
	}
	return z
}

// Constants, the assembly's too.
var (
	prime = [5]uint64{0xfffffffffffff, 0xff00000000fff, 0xfffffffffffff, 0xfffffffffffff, 0xfffffffeffff}
	one   = spread([5]uint64{0x10, 0xffffffff0000, 0, 0, 0x100000})                                   // 2^260 mod p
	rr    = spread([5]uint64{0x20000000300, 0xffffffff00000, 0x100000002, 0x200000001000, 0x4000000}) // 2^520 mod p
	unit  = spread([5]uint64{1})

	mask48 = all(1<<48 - 1)
	quot1  = all(1<<52 - 1<<44 + 1<<12)
	quot4  = all(1<<48 - 1<<16)
	fold1  = all(1<<44 - 1<<12)

	times16 = func() (z fe) { // not carried: 2^4 times each limb
		for i, v := range prime {
			z[i] = all(v << 4)
		}
		return z
	}()
)

// invert sets z = x^(p−2); the inverse of 0 is 0. t holds what it works with.
func invert(z, x *fe, t *[4]fe) {
	x30, x32 := &t[0], &t[1]
	a, b := &t[2], &t[3]
	// a ← a^(2^n)·m, for exponents of ones: 1, 2, 4 … doubled
	sqr(a, x, 1)
	mul(a, a, x) // 2
	sqr(b, a, 2)
	mul(b, b, a) // 4
	sqr(x30, b, 4)
	mul(x30, x30, b) // 8
	sqr(x32, x30, 8)
	mul(x32, x32, x30) // 16
	sqr(x32, x32, 8)
	mul(x32, x32, x30) // 24
	sqr(x32, x32, 4)
	mul(x32, x32, b) // 28
	sqr(x30, x32, 2)
	mul(x30, x30, a) // 30
	sqr(x32, x30, 2)
	mul(x32, x32, a) // 32
	sqr(a, x30, 1)
	mul(a, a, x) // 31
	sqr(a, a, 1) // fffffffe
	for range 4 {
		sqr(a, a, 32)
		mul(a, a, x32)
	}
	sqr(a, a, 64)
	mul(a, a, x32)
	sqr(a, a, 30)
	mul(a, a, x30)
	sqr(a, a, 2)
	mul(z, a, x)
}
