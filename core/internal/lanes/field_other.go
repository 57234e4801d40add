//go:build !amd64 || purego

package lanes

const fast = false

func mul(z, x, y *fe)                                { mulGo(z, x, y) }
func sqr(z, x *fe, n int)                            { sqrGo(z, x, n) }
func add(z, x, y *fe)                                { sumGo(z, x, y, 0, false, 0) }
func add2(z, x, y *fe)                               { sumGo(z, x, y, 0, false, 1) }
func sub(z, x, y *fe)                                { sumGo(z, x, y, 0, true, 0) }
func sub2(z, x, y *fe)                               { sumGo(z, x, y, 0, true, 1) }
func sub8(z, x, y *fe)                               { sumGo(z, x, y, 0, true, 3) }
func four1(z, x, y *fe)                              { sumGo(z, x, y, 2, true, 0) }
func pick(z *triple, table *[16]triple, digit *lane) { pickGo(z, table, digit) }
func choose(z, x, y *fe, bit *lane)                  { chooseGo(z, x, y, bit) }
func forget()                                        {}
