package fuzzy_test

import (
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/keposs/keposs/internal/testenv"
	"github.com/keposs/keposs/ppd/fuzzy"
)

func code(t testing.TB, tt int) *fuzzy.Code {
	t.Helper()
	c, err := fuzzy.NewCode(tt)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Dimensions of the primitive BCH codes of length 127 as tabulated (Lin and
// Costello, table 6.1).
func TestDimensions(t *testing.T) {
	for tt, k := range map[int]int{10: 64, 11: 57, 13: 50, 14: 43, 15: 36, 21: 29, 23: 22, 27: 15, 31: 8} {
		if got := code(t, tt).K(); got != k {
			t.Errorf("t=%d: k=%d, want %d", tt, got, k)
		}
	}
	for _, bad := range []int{-1, 0, 9, 32} {
		if _, err := fuzzy.NewCode(bad); err == nil {
			t.Errorf("t=%d accepted", bad)
		}
	}
}

// The whole weight distribution of the small code, and the minimum distance of
// the one in use, over all messages at level 1 and a sample at level 0. Every
// weight of these extended codes is even, and the all-ones word is one of them.
func TestWeights(t *testing.T) {
	small := code(t, 31)
	seen := map[int]int{}
	for m := range uint64(1 << 8) {
		seen[small.Encode(m).Weight()]++
	}
	if seen[0] != 1 || seen[64] != 254 || seen[128] != 1 || len(seen) != 3 {
		t.Errorf("extended (128,8): weights %v, want those of the first-order Reed-Muller code", seen)
	}
	for _, tt := range []int{15, 21} {
		c := code(t, tt)
		least := 128
		visit := func(m uint64) {
			w := c.Encode(m).Weight()
			if w%2 != 0 {
				t.Fatalf("t=%d: odd weight %d", tt, w)
			}
			if w > 0 {
				least = min(least, w)
			}
		}
		if testenv.Level() >= 1 && c.K() == 29 {
			for m := range uint64(1) << 29 {
				visit(m)
			}
		} else {
			for m := range uint64(1 << 16) {
				visit(m)
			}
			r := rand.New(rand.NewPCG(1, 2))
			for range 200_000 {
				visit(r.Uint64N(1 << c.K()))
			}
		}
		if least < c.MinDistance() {
			t.Errorf("t=%d: weight %d below the designed distance %d", tt, least, c.MinDistance())
		}
		if tt == 21 && testenv.Level() >= 1 && least != 44 {
			t.Errorf("eBCH(128,29): minimum distance %d, want 44", least)
		}
	}
}

func TestEncodeIsSystematicAndLinear(t *testing.T) {
	c := code(t, 21)
	r := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		a, b := r.Uint64N(1<<29), r.Uint64N(1<<29)
		if c.Message(c.Encode(a)) != a {
			t.Fatalf("message %x comes back as %x", a, c.Message(c.Encode(a)))
		}
		if c.Encode(a).Xor(c.Encode(b)) != c.Encode(a^b) {
			t.Fatal("not linear")
		}
	}
}

// Golden words: a changed bit order would silently change every stored face.
func TestEncodeGolden(t *testing.T) {
	for _, g := range []struct {
		t    int
		m    uint64
		want string
	}{
		{21, 1, "010000a08d9f30586f0fc67d2f269381"},
		{21, 0x1234567, "674523411ab7548c31de66ef1496e103"},
		{15, 0xabcdef123, "23f1debc0abb48a8dd7b01b06e613d52"},
	} {
		w := code(t, g.t).Encode(g.m).Bytes()
		if got := hex.EncodeToString(w[:]); got != g.want {
			t.Errorf("t=%d message %x: %s, want %s", g.t, g.m, got, g.want)
		}
	}
}

// Anything within half the minimum distance decodes, whatever the reliabilities.
func TestDecodeWithinRadius(t *testing.T) {
	c := code(t, 21)
	r := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		m := r.Uint64N(1 << 29)
		w := c.Encode(m)
		soft := received(w, func(i int) int32 { return int32(1000 + r.IntN(4000)) })
		// Errors sit on unreliable places, as they do in practice.
		for range 21 {
			i := r.IntN(128)
			soft[i] = -soft[i] / 8
		}
		if got := c.Message(c.DecodeSoft(&soft, 3)); got != m {
			t.Fatalf("message %x decodes as %x", m, got)
		}
	}
}

func received(w fuzzy.Bits, mag func(int) int32) (soft [128]int32) {
	for i := range soft {
		soft[i] = mag(i) * int32(1-2*int(w.Get(i)))
	}
	return soft
}

// Order 3 is never worse than order 2, nor order 1 than 0: the search is a superset.
func TestHigherOrderIsCloser(t *testing.T) {
	c := code(t, 21)
	r := rand.New(rand.NewPCG(7, 8))
	distance := func(w fuzzy.Bits, soft *[128]int32) (d int64) {
		for i, v := range soft {
			if (v < 0) != (w.Get(i) == 1) {
				d += int64(max(v, -v))
			}
		}
		return d
	}
	better := 0
	for range 200 {
		var soft [128]int32
		for i := range soft {
			soft[i] = int32(r.IntN(20001) - 10000)
		}
		last := int64(1) << 62
		for order := range fuzzy.MaxOrder + 1 {
			d := distance(c.DecodeSoft(&soft, order), &soft)
			if d > last {
				t.Fatalf("order %d is farther", order)
			}
			if d < last && order > 0 {
				better++
			}
			last = d
		}
	}
	if better == 0 {
		t.Error("control: a higher order never helped")
	}
}

// Reaches says exactly when the enrolled word is among the candidates: never
// no where the search finds it, and no for most random queries.
func TestReachesIsExact(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for _, tt := range []int{21, 15} {
		c := code(t, tt)
		found, reached := 0, 0
		for n := range 400 {
			w := c.Encode(r.Uint64N(1 << c.K()))
			sigma := 800.0 * float64(n%4) // from clean to hopeless
			soft := received(w, func(int) int32 { return 1000 })
			for i := range soft {
				soft[i] += int32(r.NormFloat64() * sigma)
			}
			if c.Reaches(&soft, w, 2) {
				reached++
			}
			if c.DecodeSoft(&soft, 2) == w {
				if found++; !c.Reaches(&soft, w, 2) {
					t.Fatal("a word that the search finds is called out of reach")
				}
			}
		}
		if found == 0 || reached == 400 {
			t.Errorf("t=%d: %d found, %d reached of 400: nothing was told apart", tt, found, reached)
		}
	}
}

// The word that wins is reached, at every order and whatever the values.
func FuzzReaches(f *testing.F) {
	f.Add(uint64(1), uint64(2), 3)
	f.Add(uint64(3), uint64(4), 2)
	c, err := fuzzy.NewCode(21)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, a, b uint64, order int) {
		r := rand.New(rand.NewPCG(a, b))
		order = []int{0, 1, 2, 5}[uint(order)%4]
		var soft [128]int32
		for i := range soft {
			soft[i] = int32(r.IntN(41) - 20) // many ties
		}
		if w := c.DecodeSoft(&soft, order); !c.Reaches(&soft, w, order) {
			t.Fatalf("order %d: the winner is called out of reach", order)
		}
	})
}

// Whatever comes in, a codeword comes out, and it decodes to itself.
func FuzzDecodeSoft(f *testing.F) {
	f.Add([]byte{1, 2, 3}, uint64(5))
	f.Add([]byte{}, uint64(0))
	c, err := fuzzy.NewCode(21)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, noise []byte, m uint64) {
		w := c.Encode(m & (1<<29 - 1))
		soft := received(w, func(int) int32 { return 100 })
		for i, n := range noise {
			soft[i%128] += int32(int8(n))
		}
		out := c.DecodeSoft(&soft, 2)
		if c.Encode(c.Message(out)) != out {
			t.Fatalf("not a codeword: %x", out)
		}
	})
}

func BenchmarkDecodeOrder3(b *testing.B) {
	c := code(b, 21)
	r := rand.New(rand.NewPCG(9, 1))
	var soft [128]int32
	for i := range soft {
		soft[i] = int32(r.IntN(20001) - 10000)
	}
	for b.Loop() {
		c.DecodeSoft(&soft, 3)
	}
}
