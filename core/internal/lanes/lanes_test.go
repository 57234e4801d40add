package lanes

import (
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/emmansun/gmsm/sm2/sm2ec"
)

var curve = sm2ec.P256()

func draw(r *rand.Rand) (b [32]byte) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// below draws a scalar below the group order.
func below(r *rand.Rand) (b [32]byte) {
	k := draw(r)
	new(big.Int).Mod(new(big.Int).SetBytes(k[:]), curve.Params().N).FillBytes(b[:])
	return b
}

func point(k [32]byte) (p [64]byte) {
	x, y := curve.ScalarBaseMult(k[:]) //nolint:staticcheck // gmsm's curve has no other door
	x.FillBytes(p[:32])
	y.FillBytes(p[32:])
	return p
}

func oracle(k *[32]byte, p *[64]byte) (q [64]byte) {
	x, y := curve.ScalarMult(new(big.Int).SetBytes(p[:32]), new(big.Int).SetBytes(p[32:]), k[:]) //nolint:staticcheck // gmsm's curve has no other door
	x.FillBytes(q[:32])
	y.FillBytes(q[32:])
	return q
}

func check(t *testing.T, k *[Width][32]byte, p *[Width][64]byte) {
	t.Helper()
	var out [Width][64]byte
	done := Mult(&out, k, p)
	for l := range out {
		if want := oracle(&k[l], &p[l]); !done[l] || out[l] != want {
			t.Fatalf("lane %d: %x times %x gave %x (done %v), want %x", l, k[l], p[l], out[l], done[l], want)
		}
	}
}

func TestMultIsGmsms(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 25 {
		var k [Width][32]byte
		var p [Width][64]byte
		for l := range k {
			k[l], p[l] = below(r), point(below(r))
		}
		check(t, &k, &p)
	}
}

// fromN is n − d.
func fromN(d int64) (b [32]byte) {
	new(big.Int).Sub(curve.Params().N, big.NewInt(d)).FillBytes(b[:])
	return b
}

// TestMultAtTheEnds takes scalars beside 0, beside n, and of windows that are
// empty or full, apart and together with others.
func TestMultAtTheEnds(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var ks [][32]byte
	for d := int64(1); d <= 40; d++ {
		small := [32]byte{31: byte(d)}
		ks = append(ks, small)
		ks = append(ks, fromN(d))
	}
	for i := range 32 {
		for _, v := range []byte{1, 0x80, 0xff} {
			var k [32]byte
			k[i] = v
			ks = append(ks, k)
		}
	}
	odd := 0
	for len(ks) > 0 {
		var k [Width][32]byte
		var p [Width][64]byte
		for l := range k {
			k[l], p[l] = below(r), point(below(r))
			if len(ks) > 0 && l != 3 {
				k[l], ks = ks[0], ks[1:]
				if new(big.Int).SetBytes(k[l][:]).Cmp(curve.Params().N) >= 0 {
					k[l] = below(r)
				}
			}
		}
		var out [Width][64]byte
		done := Mult(&out, &k, &p)
		for l := range out {
			if !done[l] {
				odd++
			} else if want := oracle(&k[l], &p[l]); out[l] != want {
				t.Fatalf("%x times %x: %x, want %x", k[l], p[l], out[l], want)
			}
		}
	}
	if odd > 1 {
		t.Fatalf("%d scalars were given back, want at most the one whose last addition doubles", odd)
	}
	var k [Width][32]byte
	p := [Width][64]byte{}
	for l := range p {
		p[l] = point(below(r))
	}
	k[5] = below(r)
	var out [Width][64]byte
	for l, done := range Mult(&out, &k, &p) {
		if done != (l == 5) || !done && out[l] != [64]byte{} {
			t.Fatalf("lane %d with scalar 0: done %v, %x", l, done, out[l])
		}
	}
}

// residue is the value of a lane modulo p, out of Montgomery form.
func residue(f *fe, l int) *big.Int {
	v := new(big.Int)
	for i := 4; i >= 0; i-- {
		v.Lsh(v, 52).Add(v, new(big.Int).SetUint64(f[i][l]))
	}
	return v
}

// TestFieldIsGos compares every operation of the assembly with its plain form,
// to the bit, and the plain form with math/big, on values up to their bound.
func TestFieldIsGos(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	p := curve.Params().P
	inv := new(big.Int).ModInverse(new(big.Int).Lsh(big.NewInt(1), 260), p)
	edge := [][5]uint64{{}, {1}, prime, {low52, low52, low52, low52, 1<<48 - 1}, {low52, low52, low52, low52, 1<<49 - 1<<18}}
	some := func() (f fe) {
		for l := range Width {
			v := [5]uint64{r.Uint64() & low52, r.Uint64() & low52, r.Uint64() & low52, r.Uint64() & low52, r.Uint64() & (1<<48 - 1)}
			if r.IntN(3) == 0 {
				v = edge[r.IntN(len(edge))]
			}
			for i := range v {
				f[i][l] = v[i]
			}
		}
		return f
	}
	ops := []struct {
		name  string
		fast  func(z, x, y *fe)
		plain func(z, x, y *fe)
		big   func(x, y *big.Int) *big.Int
	}{
		{"mul", mul, mulGo, func(x, y *big.Int) *big.Int { return new(big.Int).Mul(new(big.Int).Mul(x, y), inv) }},
		{"sqr", func(z, x, _ *fe) { sqr(z, x, 1) }, func(z, x, _ *fe) { sqrGo(z, x, 1) }, func(x, _ *big.Int) *big.Int { return new(big.Int).Mul(new(big.Int).Mul(x, x), inv) }},
		{"add", add, func(z, x, y *fe) { sumGo(z, x, y, 0, false, 0) }, func(x, y *big.Int) *big.Int { return new(big.Int).Add(x, y) }},
		{"add2", add2, func(z, x, y *fe) { sumGo(z, x, y, 0, false, 1) }, func(x, y *big.Int) *big.Int { return new(big.Int).Add(x, new(big.Int).Lsh(y, 1)) }},
		{"sub", sub, func(z, x, y *fe) { sumGo(z, x, y, 0, true, 0) }, func(x, y *big.Int) *big.Int { return new(big.Int).Sub(x, y) }},
		{"sub2", sub2, func(z, x, y *fe) { sumGo(z, x, y, 0, true, 1) }, func(x, y *big.Int) *big.Int { return new(big.Int).Sub(x, new(big.Int).Lsh(y, 1)) }},
		{"sub8", sub8, func(z, x, y *fe) { sumGo(z, x, y, 0, true, 3) }, func(x, y *big.Int) *big.Int { return new(big.Int).Sub(x, new(big.Int).Lsh(y, 3)) }},
		{"four1", four1, func(z, x, y *fe) { sumGo(z, x, y, 2, true, 0) }, func(x, y *big.Int) *big.Int { return new(big.Int).Sub(new(big.Int).Lsh(x, 2), y) }},
	}
	bound := new(big.Int).Lsh(p, 1)
	for range 400 {
		x, y := some(), some()
		for _, o := range ops {
			var a, b fe
			o.fast(&a, &x, &y)
			o.plain(&b, &x, &y)
			if a != b {
				t.Fatalf("%s of %x and %x: %x, in plain Go %x", o.name, x, y, a, b)
			}
			for l := range Width {
				got := residue(&b, l)
				want := o.big(residue(&x, l), residue(&y, l))
				if got.Cmp(bound) >= 0 || new(big.Int).Mod(new(big.Int).Sub(got, want), p).Sign() != 0 {
					t.Fatalf("%s of %x and %x: %x, want %x below %x", o.name, residue(&x, l), residue(&y, l), got, want, bound)
				}
				for i := range b {
					if b[i][l] > low52 {
						t.Fatalf("%s: limb %d is %x", o.name, i, b[i][l])
					}
				}
			}
		}
	}
}

// TestPickAndChoose compares both selections with the plain ones.
func TestPickAndChoose(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	var table [16]triple
	for e := range table {
		for c := range table[e] {
			for i := range table[e][c] {
				for l := range Width {
					table[e][c][i][l] = r.Uint64()
				}
			}
		}
	}
	for range 50 {
		var d, bit lane
		for l := range d {
			d[l], bit[l] = uint64(r.IntN(17)), uint64(r.IntN(2))
		}
		var a, b triple
		pick(&a, &table, &d)
		pickGo(&b, &table, &d)
		for l, v := range d {
			if v > 0 && a[2][4][l] != table[v-1][2][4][l] || v == 0 && a[0][0][l] != 0 {
				t.Fatalf("lane %d is not entry %d", l, v)
			}
		}
		var e, f fe
		choose(&e, &table[0][0], &table[1][0], &bit)
		chooseGo(&f, &table[0][0], &table[1][0], &bit)
		if a != b || e != f || e[0][0] != table[1-bit[0]][0][0][0] {
			t.Fatal("the selections differ")
		}
	}
}

func FuzzMult(f *testing.F) {
	f.Add(make([]byte, 32), []byte{1})
	f.Add([]byte("scalar"), []byte("point"))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		n := curve.Params().N
		var k [Width][32]byte
		var p [Width][64]byte
		for l := range k {
			i := big.NewInt(int64(l))
			v := new(big.Int).SetBytes(a[:min(len(a), 64)])
			v.Mod(v.Add(v, i), n).FillBytes(k[l][:])
			var s [32]byte
			v = new(big.Int).SetBytes(b[:min(len(b), 64)])
			v.Mod(v.Add(v, i), n).FillBytes(s[:])
			if s == [32]byte{} {
				s[31] = 1
			}
			p[l] = point(s)
		}
		var out [Width][64]byte
		for l, done := range Mult(&out, &k, &p) {
			if want := oracle(&k[l], &p[l]); done && out[l] != want {
				t.Fatalf("%x times %x: %x, want %x", k[l], p[l], out[l], want)
			}
		}
	})
}

func BenchmarkMult(b *testing.B) {
	r := rand.New(rand.NewPCG(9, 10))
	var k [Width][32]byte
	var p, out [Width][64]byte
	for l := range k {
		k[l], p[l] = below(r), point(below(r))
	}
	b.Run("eight", func(b *testing.B) {
		for b.Loop() {
			Mult(&out, &k, &p)
		}
	})
	b.Run("gmsm", func(b *testing.B) {
		for b.Loop() {
			oracle(&k[0], &p[0])
		}
	})
	var x, y, z fe
	x, y = spread(prime), spread([5]uint64{3, 4, 5, 6, 7})
	b.Run("mul", func(b *testing.B) {
		for b.Loop() {
			mul(&z, &x, &y)
		}
	})
	b.Run("sub", func(b *testing.B) {
		for b.Loop() {
			sub(&z, &x, &y)
		}
	})
}

// A root squared is what it is the root of, or its negative when that has none.
func TestRoots(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 32))
	p := curve.Params().P
	for range 20 {
		var in, out [Width][32]byte
		for l := range in {
			v := draw(r)
			new(big.Int).Mod(new(big.Int).SetBytes(v[:]), p).FillBytes(in[l][:])
		}
		in[3], in[4] = [32]byte{}, [32]byte{31: 1}
		Roots(&out, &in)
		for l := range out {
			y := new(big.Int).SetBytes(out[l][:])
			square, want := new(big.Int).Exp(y, big.NewInt(2), p), new(big.Int).SetBytes(in[l][:])
			if big.Jacobi(want, p) < 0 {
				want.Sub(p, want)
			}
			if square.Cmp(want) != 0 || y.Cmp(p) >= 0 {
				t.Fatalf("lane %d: %x of %x", l, out[l], in[l])
			}
		}
	}
}
