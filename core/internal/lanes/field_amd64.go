//go:build !purego

package lanes

import "golang.org/x/sys/cpu"

var fast = cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512IFMA

// Constants that only the assembly reads.
var (
	mask52 = all(low52)
	ones   = all(1)

	_ = [...]*lane{&mask52, &ones}
)

//go:noescape
func mulIFMA(z, x, y *fe)

//go:noescape
func sqrIFMA(z, x *fe, n int)

//go:noescape
func addIFMA(z, x, y *fe)

//go:noescape
func add2IFMA(z, x, y *fe)

//go:noescape
func subIFMA(z, x, y *fe)

//go:noescape
func sub2IFMA(z, x, y *fe)

//go:noescape
func sub8IFMA(z, x, y *fe)

//go:noescape
func four1IFMA(z, x, y *fe)

//go:noescape
func pickIFMA(z *triple, table *[16]triple, digit *lane)

//go:noescape
func chooseIFMA(z, x, y *fe, bit *lane)

func forgetIFMA()

// mul is z = x·y.
func mul(z, x, y *fe) {
	if fast {
		mulIFMA(z, x, y)
	} else {
		mulGo(z, x, y)
	}
}

// sqr is z = x^(2^n), n ≥ 1.
func sqr(z, x *fe, n int) {
	if fast {
		sqrIFMA(z, x, n)
	} else {
		sqrGo(z, x, n)
	}
}

// add is z = x + y.
func add(z, x, y *fe) {
	if fast {
		addIFMA(z, x, y)
	} else {
		sumGo(z, x, y, 0, false, 0)
	}
}

// add2 is z = x + 2y.
func add2(z, x, y *fe) {
	if fast {
		add2IFMA(z, x, y)
	} else {
		sumGo(z, x, y, 0, false, 1)
	}
}

// sub is z = x − y.
func sub(z, x, y *fe) {
	if fast {
		subIFMA(z, x, y)
	} else {
		sumGo(z, x, y, 0, true, 0)
	}
}

// sub2 is z = x − 2y.
func sub2(z, x, y *fe) {
	if fast {
		sub2IFMA(z, x, y)
	} else {
		sumGo(z, x, y, 0, true, 1)
	}
}

// sub8 is z = x − 8y.
func sub8(z, x, y *fe) {
	if fast {
		sub8IFMA(z, x, y)
	} else {
		sumGo(z, x, y, 0, true, 3)
	}
}

// four1 is z = 4x − y.
func four1(z, x, y *fe) {
	if fast {
		four1IFMA(z, x, y)
	} else {
		sumGo(z, x, y, 2, true, 0)
	}
}

// pick sets z to the table's entry of each lane's digit, zeros for digit 0.
func pick(z *triple, table *[16]triple, digit *lane) {
	if fast {
		pickIFMA(z, table, digit)
	} else {
		pickGo(z, table, digit)
	}
}

// choose is z = x in the lanes whose bit is 1 and y where it is 0.
func choose(z, x, y *fe, bit *lane) {
	if fast {
		chooseIFMA(z, x, y, bit)
	} else {
		chooseGo(z, x, y, bit)
	}
}

// forget zeroes the vector registers.
func forget() {
	if fast {
		forgetIFMA()
	}
}
