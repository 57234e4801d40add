package fuzzy_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	mrand "math/rand/v2"
	"slices"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/ppd/fuzzy"
)

// The field's laws, against a bitwise multiplication that shares nothing with
// the tables.
func TestField(t *testing.T) {
	slow := func(a, b uint16) uint16 {
		var p uint32
		for i := range 16 {
			if b>>i&1 == 1 {
				p ^= uint32(a) << i
			}
		}
		for i := 31; i >= 16; i-- {
			if p>>i&1 == 1 {
				p ^= 0x1100b << (i - 16)
			}
		}
		return uint16(p)
	}
	r := mrand.New(mrand.NewPCG(1, 1))
	for range 20000 {
		a, b := uint16(r.Uint32()), uint16(r.Uint32())
		if fuzzy.Mul(a, b) != slow(a, b) {
			t.Fatalf("%04x·%04x = %04x, want %04x", a, b, fuzzy.Mul(a, b), slow(a, b))
		}
		if a != 0 && fuzzy.Mul(a, fuzzy.Inv(a)) != 1 {
			t.Fatalf("inverse of %04x", a)
		}
	}
	// x generates the whole group: the polynomial is primitive.
	v, n := uint16(2), 1
	for ; v != 1; n++ {
		v = fuzzy.Mul(v, 2)
	}
	if n != 65535 {
		t.Errorf("x has order %d", n)
	}
}

func TestPolynomials(t *testing.T) {
	r := mrand.New(mrand.NewPCG(2, 2))
	for range 200 {
		f := make([]uint16, 1+r.IntN(12))
		xs, ys := distinct(r, len(f)), make([]uint16, len(f))
		for i := range f {
			f[i] = uint16(r.Uint32())
		}
		for i, x := range xs {
			ys[i] = fuzzy.Eval(f, x)
		}
		if !slices.Equal(fuzzy.Interpolate(xs, ys), f) {
			t.Fatal("interpolation does not return the polynomial")
		}
		p := fuzzy.FromRoots(xs)
		for _, x := range xs {
			if fuzzy.Eval(p, x) != 0 {
				t.Fatal("a root is not a root")
			}
		}
	}
}

func distinct(r *mrand.Rand, n int) []uint16 {
	seen := map[uint16]bool{0: true}
	var out []uint16
	for len(out) < n {
		if x := uint16(r.Uint32()); !seen[x] {
			seen[x] = true
			out = append(out, x)
		}
	}
	return out
}

// With k genuine points and more the decoder finds f; with one too few it does
// not. The rate over many draws is what hypergeometric counts say.
func TestVaultOpens(t *testing.T) {
	r := mrand.New(mrand.NewPCG(3, 3))
	const k = 9
	for _, c := range []struct {
		genuine, n, draws int
		opens             bool
	}{{18, 30, 1 << 16, true}, {12, 30, 1 << 20, true}, {10, 24, 1 << 20, true}, {9, 20, 1 << 20, true}, {8, 20, 1 << 20, false}} {
		feats := distinct(r, 36)
		v, f, err := fuzzy.Lock(rand.Reader, feats, k, 36, nil)
		if err != nil {
			t.Fatal(err)
		}
		query := append(slices.Clone(feats[:c.genuine]), distinct(r, 40)[:c.n-c.genuine]...)
		d, err := fuzzy.NewDecoder(v, query, k)
		if err != nil {
			t.Fatal(err)
		}
		got := d.Search(mrand.New(mrand.NewPCG(4, 4)), c.n, c.draws)
		if slices.Equal(got.F, f) != c.opens {
			t.Errorf("%d genuine of %d: opened %t after %d draws", c.genuine, c.n, !c.opens, got.Draws)
		}
		if c.opens && (got.Points != c.genuine || got.Sure != (c.genuine > k)) {
			t.Errorf("%d genuine points, %d counted, sure %t", c.genuine, got.Points, got.Sure)
		}
		if got.Draws > c.draws {
			t.Errorf("%d draws of %d", got.Draws, c.draws)
		}
	}
}

// A polynomial that passes through points with y = 0, and a vault at whose
// points V is 0, exercise the logarithm of zero.
func TestDecoderZeros(t *testing.T) {
	r := mrand.New(mrand.NewPCG(9, 9))
	x := distinct(r, 20)
	v := fuzzy.Vault(fuzzy.FromRoots(x)[:20]) // f = 0
	d, err := fuzzy.NewDecoder(v, x, 9)
	if err != nil {
		t.Fatal(err)
	}
	got := d.Search(mrand.New(mrand.NewPCG(1, 1)), 20, 1000)
	if !got.Sure || got.Points != 20 || !slices.Equal(got.F, make([]uint16, 7)) {
		t.Errorf("zero polynomial: %+v", got)
	}
}

// How often a search succeeds is the hypergeometric chance of its bases.
func TestSearchRate(t *testing.T) {
	r := mrand.New(mrand.NewPCG(10, 10))
	const k, n, genuine, bases = 8, 24, 10, 40
	// C(10,5)/C(24,5) = 252/42504 a base; 1 − (1 − that)^40 = 0.2117.
	const want, rounds = 0.2117, 2000
	feats := distinct(r, 30)
	v, _, err := fuzzy.Lock(rand.Reader, feats, k, 30, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := fuzzy.NewDecoder(v, append(slices.Clone(feats[:genuine]), distinct(r, 40)[:n-genuine]...), k)
	if err != nil {
		t.Fatal(err)
	}
	hits := 0
	for i := range rounds {
		if d.Search(mrand.New(mrand.NewPCG(uint64(i), 1)), n, bases*n).Sure {
			hits++
		}
	}
	// Five deviations of Binomial(2000, 0.2117) are 0.046.
	if got := float64(hits) / rounds; got < want-0.046 || got > want+0.046 {
		t.Errorf("success %.4f, want %.4f", got, want)
	}
}

func TestVaultRefusals(t *testing.T) {
	r := mrand.New(mrand.NewPCG(5, 5))
	for name, c := range map[string]struct {
		feats     []uint16
		k, degree int
	}{
		"too few": {distinct(r, 8), 9, 36}, "too many": {distinct(r, 37), 9, 36}, "zero": {append(distinct(r, 10), 0), 9, 36},
		"twice": {[]uint16{1, 2, 3, 4, 5, 6, 6}, 6, 36}, "k low": {distinct(r, 10), 5, 36}, "k high": {distinct(r, 30), 25, 36},
		"degree": {distinct(r, 30), 9, 129},
	} {
		if _, _, err := fuzzy.Lock(rand.Reader, c.feats, c.k, c.degree, nil); !errors.Is(err, core.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	v := make(fuzzy.Vault, 36)
	for name, pts := range map[string][]uint16{"twice": {1, 2, 1}, "zero": {0, 1}, "too many": distinct(r, 129)} {
		if _, err := fuzzy.NewDecoder(v, pts, 9); !errors.Is(err, core.Invalid) {
			t.Errorf("points %s: %v", name, err)
		}
	}
	for _, n := range []int{0, 3, 258} {
		if _, err := fuzzy.VaultOf(make([]byte, n)); !errors.Is(err, core.Invalid) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// The filling avoids what is forbidden.
func TestLockFilling(t *testing.T) {
	odd := func(a uint16) bool { return a&1 == 1 }
	feats := []uint16{2, 4, 6, 8, 10, 12, 14, 16}
	v, f, err := fuzzy.Lock(rand.Reader, feats, 8, 36, odd)
	if err != nil {
		t.Fatal(err)
	}
	roots := 0
	for x := 1; x < 65536; x++ {
		if v.At(uint16(x)) == fuzzy.Eval(f, uint16(x)) {
			if roots++; x&1 == 1 {
				t.Fatalf("%04x is forbidden and a root", x)
			}
		}
	}
	if roots != 36 {
		t.Errorf("%d roots, want 36", roots)
	}
}

// The stored coefficients look uniform: each of 16 bits is set half the time.
func TestVaultLooksUniform(t *testing.T) {
	r := mrand.New(mrand.NewPCG(6, 6))
	const rounds = 400
	var ones [36][16]int
	for range rounds {
		v, _, err := fuzzy.Lock(rand.Reader, distinct(r, 30), 9, 36, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range v {
			for b := range 16 {
				ones[i][b] += int(c >> b & 1)
			}
		}
	}
	for i := range ones {
		for b, n := range ones[i] {
			// 576 counts of Binomial(400, 1/2): 5.2 deviations is 52.
			if n < rounds/2-52 || n > rounds/2+52 {
				t.Errorf("coefficient %d bit %d set %d of %d times", i, b, n, rounds)
			}
		}
	}
}

// A fixed vault: features 1..10, f = 0x0102 + 0x0304 X + … and filling from a
// counter, so that another implementation can check every coefficient.
func TestVaultVector(t *testing.T) {
	feats := []uint16{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	v, f, err := fuzzy.Lock(bytes.NewReader([]byte{0, 11, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}), feats, 8, 12, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(f, []uint16{0x0102, 0x0304, 0x0506, 0x0708, 0x090a, 0x0b0c}) {
		t.Errorf("f = %04x", f)
	}
	if got := hex.EncodeToString(v.Append(nil)); got != vaultVector {
		t.Errorf("vault %s", got)
	}
}

const vaultVector = "d84128fcdff0ef8c1d170976007fc65c10a500220007000c"

func FuzzVaultOf(f *testing.F) {
	f.Add(make([]byte, 72))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := fuzzy.VaultOf(b)
		if err == nil && !bytes.Equal(v.Append(nil), b) {
			t.Fatal("not a bijection")
		}
	})
}

// FuzzDecoder: any vault and points give an answer within the work, and what is
// found lies on the points it counts.
func FuzzDecoder(f *testing.F) {
	f.Add(make([]byte, 72), []byte("0123456789abcdefghijklmnop"), uint8(9))
	f.Fuzz(func(t *testing.T, b, pts []byte, k uint8) {
		v, err := fuzzy.VaultOf(b)
		if err != nil {
			return
		}
		var x []uint16
		for i := 0; i+1 < len(pts); i += 2 {
			x = append(x, uint16(pts[i])<<8|uint16(pts[i+1]))
		}
		d, err := fuzzy.NewDecoder(v, x, int(k))
		if err != nil {
			return
		}
		got := d.Search(mrand.New(mrand.NewPCG(1, 1)), len(x), 2000)
		on := 0
		for _, a := range x {
			if got.F != nil && fuzzy.Eval(got.F, a) == v.At(a) {
				on++
			}
		}
		if got.Draws > 2000 || on != got.Points || got.F != nil && on < int(k) {
			t.Fatalf("%d draws, %d points, %d on f", got.Draws, got.Points, on)
		}
	})
}

// BenchmarkDraw is the price of one draw; a full refusal at 2²³ draws is 2²³
// times it.
func BenchmarkDraw(b *testing.B) {
	r := mrand.New(mrand.NewPCG(7, 7))
	v, _, err := fuzzy.Lock(rand.Reader, distinct(r, 36), 9, 36, nil)
	if err != nil {
		b.Fatal(err)
	}
	d, err := fuzzy.NewDecoder(v, distinct(r, 44), 9)
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	d.Search(mrand.New(mrand.NewPCG(8, 8)), 44, b.N)
}
