package mf

import (
	"encoding/binary"
	"math/bits"
)

// orderMinus2 is n−2 for the SM2 curve's order n, least significant limb first.
var orderMinus2 = [4]uint64{0x53bbf40939d54121, 0x7203df6b21c6052b, 0xffffffffffffffff, 0xfffffffeffffffff}

// reduce sets out to 1 + (wide mod (n−2)), big-endian, in constant time. 320 bits
// over a 256-bit modulus leave a bias below 2^-63. It runs inside sm.Guard.
//
// It shifts wide in bit by bit and subtracts the modulus under a mask: 320
// rounds of straight-line limb arithmetic, with no branch or index on a secret.
func reduce(out *[32]byte, wide *[40]byte) {
	var r, d [4]uint64
	for _, b := range wide {
		for bit := 7; bit >= 0; bit-- {
			top := r[3] >> 63
			r[3] = r[3]<<1 | r[2]>>63
			r[2] = r[2]<<1 | r[1]>>63
			r[1] = r[1]<<1 | r[0]>>63
			r[0] = r[0]<<1 | uint64(b>>bit&1)
			var borrow uint64
			for i := range d {
				d[i], borrow = bits.Sub64(r[i], orderMinus2[i], borrow)
			}
			// Keep the difference when the shifted value had a 257th bit or
			// the subtraction did not borrow.
			mask := -(top | (borrow ^ 1))
			for i := range r {
				r[i] = d[i]&mask | r[i]&^mask
			}
		}
	}
	carry := uint64(1)
	for i := range r {
		r[i], carry = bits.Add64(r[i], 0, carry)
	}
	for i := range r {
		binary.BigEndian.PutUint64(out[24-8*i:], r[i])
	}
}
