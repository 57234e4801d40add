package fingerprint

import (
	"math"
	mrand "math/rand/v2"
	"testing"
)

func TestInvert(t *testing.T) {
	r := mrand.New(mrand.NewPCG(7, 8))
	for n := range 12 {
		m, was := make([][]float64, n), make([][]float64, n)
		at := finger(r, n)
		for i := range n {
			m[i], was[i] = make([]float64, n), make([]float64, n)
			for j := range n {
				m[i][j] = alikeness(at[i], at[j])
			}
			m[i][i] += 9
			copy(was[i], m[i])
		}
		invert(m)
		for i := range n {
			for j := range n {
				v := 0.0
				for k := range n {
					v += was[i][k] * m[k][j]
				}
				want := 0.0
				if i == j {
					want = 1
				}
				if math.Abs(v-want) > 1e-9 {
					t.Fatalf("%d points: product with the inverse has %g at %d, %d", n, v, i, j)
				}
			}
		}
	}
}

// A smooth displacement, seen at some places, is taken back in between; where
// nothing was seen nothing is claimed.
func TestBend(t *testing.T) {
	r := mrand.New(mrand.NewPCG(9, 10))
	own := finger(r, 60)
	to := pressed(own)
	var pairs []pair
	for i := range 20 {
		pairs = append(pairs, pair{i, i})
	}
	b := newBend(own, to, pairs, func(int) float64 { return 2 })
	var before, after float64
	for i := 20; i < len(own); i++ {
		got, doubt := b.apply(own[i])
		if doubt < 0 || doubt > bendSize*bendSize {
			t.Fatalf("variance %g", doubt)
		}
		if all := b.applyAll(own[i : i+1])[0]; distance(all, got) > 1e-9 {
			t.Fatal("one point and many are bent differently")
		}
		before += distance(own[i], to[i])
		after += distance(got, to[i])
	}
	if after > before/2 {
		t.Errorf("mean error %.1f px with the bend, %.1f without", after/40, before/40)
	}
	far := point{x: 5000}
	if got, doubt := b.apply(far); distance(got, far) > 1e-6 || math.Abs(doubt-bendSize*bendSize) > 1e-6 {
		t.Errorf("a point far from all moves to %v, variance %g", got, doubt)
	}
	none := newBend(nil, nil, nil, nil)
	if got, doubt := none.apply(own[0]); got != own[0] || doubt != bendSize*bendSize {
		t.Errorf("without matches %v moves to %v, variance %g", own[0], got, doubt)
	}
	b.wipe()
	if got := b.applyAll(own)[3]; b.at[0] != (point{}) || got != own[3] {
		t.Error("the bend is not wiped")
	}
}
