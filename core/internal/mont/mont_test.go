package mont_test

import (
	"crypto/rand"
	"math/big"
	"testing"

	"github.com/keposs/keposs/core/internal/mont"
)

var primes = map[string]string{
	"SM2 p":   "fffffffeffffffffffffffffffffffffffffffff00000000ffffffffffffffff",
	"SM2 n":   "fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123",
	"P-256 p": "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
	"P-256 n": "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
}

func modulus(t testing.TB, hex string) (*mont.Modulus, *big.Int) {
	p, ok := new(big.Int).SetString(hex, 16)
	if !ok {
		t.Fatal(hex)
	}
	return mont.New([32]byte(p.FillBytes(make([]byte, 32)))), p
}

// values returns edges of the range and n random ones.
func values(t testing.TB, p *big.Int, n int) []*big.Int {
	one := big.NewInt(1)
	out := []*big.Int{new(big.Int), one, big.NewInt(2), new(big.Int).Sub(p, one), new(big.Int).Sub(p, big.NewInt(2)),
		new(big.Int).Rsh(p, 1), new(big.Int).Lsh(one, 64), new(big.Int).Lsh(one, 255),
		new(big.Int).Sub(new(big.Int).Lsh(one, 256), p)}
	for range n {
		v, err := rand.Int(rand.Reader, p)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

func load(t testing.TB, md *mont.Modulus, v *big.Int) (e mont.Elem) {
	b := [32]byte(v.FillBytes(make([]byte, 32)))
	if md.SetBytes(&e, &b) != 1 {
		t.Fatalf("%x is said not to be canonical", v)
	}
	return e
}

func TestAgainstBig(t *testing.T) {
	for name, hex := range primes {
		t.Run(name, func(t *testing.T) {
			md, p := modulus(t, hex)
			same := func(op string, got mont.Elem, want *big.Int, in ...*big.Int) {
				t.Helper()
				var b [32]byte
				md.Bytes(&b, &got)
				if new(big.Int).SetBytes(b[:]).Cmp(want.Mod(want, p)) != 0 {
					t.Fatalf("%s of %x: %x, want %x", op, in, b, want)
				}
			}
			vs := values(t, p, 40)
			for _, x := range vs {
				ex := load(t, md, x)
				var z mont.Elem
				md.Neg(&z, &ex)
				same("neg", z, new(big.Int).Neg(x), x)
				md.Inv(&z, &ex)
				if x.Sign() == 0 {
					same("inv", z, new(big.Int), x)
				} else {
					same("inv", z, new(big.Int).ModInverse(x, p), x)
				}
				md.SqrN(&z, &ex, 3)
				same("x^8", z, new(big.Int).Exp(x, big.NewInt(8), p), x)
				if (mont.IsZero(&ex) == 1) != (x.Sign() == 0) {
					t.Fatalf("IsZero(%x)", x)
				}
				for _, y := range vs {
					ey := load(t, md, y)
					md.Mul(&z, &ex, &ey)
					same("mul", z, new(big.Int).Mul(x, y), x, y)
					md.Add(&z, &ex, &ey)
					same("add", z, new(big.Int).Add(x, y), x, y)
					md.Sub(&z, &ex, &ey)
					same("sub", z, new(big.Int).Sub(x, y), x, y)
					if (mont.Equal(&ex, &ey) == 1) != (x.Cmp(y) == 0) {
						t.Fatalf("Equal(%x, %x)", x, y)
					}
					mont.Select(&z, &ex, &ey, 1)
					same("select 1", z, new(big.Int).Set(x), x, y)
					mont.Select(&z, &ex, &ey, 0)
					same("select 0", z, new(big.Int).Set(y), x, y)
				}
			}
		})
	}
}

func TestNotCanonicalAndWide(t *testing.T) {
	for name, hex := range primes {
		md, p := modulus(t, hex)
		all := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))
		for _, v := range []*big.Int{p, new(big.Int).Add(p, big.NewInt(1)), all} {
			b := [32]byte(v.FillBytes(make([]byte, 32)))
			var e mont.Elem
			if md.SetBytes(&e, &b) != 0 {
				t.Errorf("%s: %x is said to be canonical", name, v)
			}
			var out [32]byte
			md.Bytes(&out, &e)
			if new(big.Int).SetBytes(out[:]).Cmp(new(big.Int).Mod(v, p)) != 0 {
				t.Errorf("%s: %x reduces to %x", name, v, out)
			}
		}
		for i := range 200 {
			var w [64]byte
			if i == 0 {
				for j := range w {
					w[j] = 0xff
				}
			} else if _, err := rand.Read(w[i%33:]); err != nil {
				t.Fatal(err)
			}
			var e mont.Elem
			md.SetWide(&e, &w)
			var out [32]byte
			md.Bytes(&out, &e)
			want := new(big.Int).SetBytes(w[:])
			if new(big.Int).SetBytes(out[:]).Cmp(want.Mod(want, p)) != 0 {
				t.Fatalf("%s: %x reduces to %x", name, w, out)
			}
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, b := range [][32]byte{{0: 0x80}, {31: 7}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("New(%x) did not panic", b)
				}
			}()
			mont.New(b)
		}()
	}
}

func BenchmarkMul(b *testing.B) {
	md, p := modulus(b, primes["SM2 n"])
	x := load(b, md, values(b, p, 1)[9])
	for b.Loop() {
		md.Mul(&x, &x, &x)
	}
}

func BenchmarkInv(b *testing.B) {
	md, p := modulus(b, primes["SM2 n"])
	x := load(b, md, values(b, p, 1)[9])
	for b.Loop() {
		md.Inv(&x, &x)
	}
}
