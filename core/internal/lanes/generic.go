package lanes

import "math/bits"

// The operations in plain Go say what the assembly does, to the bit, and serve
// where it does not run.

// lo52 and hi52 are the halves of a product of the low 52 bits of both.
func lo52(a, b uint64) uint64 {
	return (a & low52) * (b & low52) & low52
}

func hi52(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a&low52, b&low52)
	return hi<<12 | lo>>52
}

// sra is an arithmetic shift by 52: a column may be negative.
func sra(v uint64) uint64 { return uint64(int64(v) >> 52) }

// reduceColumns is Montgomery's reduction of ten columns and the carry.
func reduceColumns(z *fe, l int, t *[10]uint64) {
	for i := range 5 {
		q := t[i] & low52
		t[i+1] += sra(t[i]) + lo52(quot1[l], q)
		t[i+2] += hi52(quot1[l], q) - q
		t[i+4] += lo52(quot4[l], q)
		t[i+5] += hi52(quot4[l], q)
	}
	for i := 5; i < 9; i++ {
		t[i+1] += sra(t[i])
		t[i] &= low52
	}
	for i := range 5 {
		z[i][l] = t[5+i]
	}
}

func mulGo(z, x, y *fe) {
	for l := range Width {
		var t [10]uint64
		for i := range 5 {
			for j := range 5 {
				t[i+j] += lo52(x[i][l], y[j][l])
				t[i+j+1] += hi52(x[i][l], y[j][l])
			}
		}
		reduceColumns(z, l, &t)
	}
}

func sqrGo(z, x *fe, n int) {
	*z = *x
	for range n {
		mulGo(z, z, z)
	}
}

// sumGo is z = x·2^a + y·2^b, or the difference plus 16·p, folded below
// 2^256·(1+2^-24): v·2^256 becomes v·(2^224 + 2^96 − 2^64 + 1).
func sumGo(z, x, y *fe, a uint, minus bool, b uint) {
	for l := range Width {
		var t [5]uint64
		for i := range t {
			t[i] = x[i][l]<<a + y[i][l]<<b
			if minus {
				t[i] = x[i][l]<<a + times16[i][l] - y[i][l]<<b
			}
		}
		v := t[4] >> 48
		t[4] = t[4]&mask48[l] + v<<16
		t[0] += v
		t[1] += lo52(fold1[l], v)
		for i := range 4 {
			t[i+1] += sra(t[i])
			t[i] &= low52
		}
		for i := range t {
			z[i][l] = t[i]
		}
	}
}

func pickGo(z *triple, table *[16]triple, digit *lane) {
	*z = triple{}
	for e := range table {
		for l, d := range digit {
			v := d ^ uint64(e+1)
			hit := -(1 ^ ((v | -v) >> 63))
			for c := range z {
				for i := range z[c] {
					z[c][i][l] |= table[e][c][i][l] & hit
				}
			}
		}
	}
}

func chooseGo(z, x, y *fe, bit *lane) {
	for l, v := range bit {
		m := -v
		for i := range z {
			z[i][l] = y[i][l] ^ (m & (x[i][l] ^ y[i][l]))
		}
	}
}
