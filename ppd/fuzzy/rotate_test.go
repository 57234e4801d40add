package fuzzy_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/ppd/fuzzy"
)

func rotation(t testing.TB, key byte, dim int) *fuzzy.Rotation {
	t.Helper()
	r, err := fuzzy.NewRotation(secret.Copy([]byte{key}), "test", dim, 128)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func dot(a, b []float64) (s float64) {
	for i := range a {
		s += a[i] * b[i]
	}
	return s
}

// Angles and, up to n^3 for three unnormalised transforms, lengths survive.
func TestRotationIsOrthogonal(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, dim := range []int{64, 100, 128, 256, 512} {
		rot := rotation(t, 1, dim)
		a, b := gauss(rng, dim), gauss(rng, dim)
		ra, rb := rot.Apply(a), rot.Apply(b)
		scale := math.Pow(float64(rot.Len()), 3)
		if got, want := dot(ra, rb)/scale, dot(a, b); math.Abs(got-want) > 1e-9 {
			t.Errorf("dim %d: inner product %g, want %g", dim, got, want)
		}
	}
}

func gauss(r *rand.Rand, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = r.NormFloat64()
	}
	return v
}

// Two keys give unrelated images of one vector: sign agreement near one half
// on average, while the same key agrees wholly.
func TestRotationKeysSeparate(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	v := gauss(rng, 128)
	same, trials := 0, 0
	for k := range byte(100) {
		a, b := rotation(t, k, 128).Apply(v), rotation(t, k+100, 128).Apply(v)
		for i := range a {
			if (a[i] < 0) == (b[i] < 0) {
				same++
			}
			trials++
		}
	}
	// 12,800 signs: six standard deviations are 0.027.
	if f := float64(same) / float64(trials); math.Abs(f-0.5) > 0.027 {
		t.Errorf("sign agreement %f", f)
	}
	a, b := rotation(t, 7, 128).Apply(v), rotation(t, 7, 128).Apply(v)
	for i := range a {
		if a[i] != b[i] {
			t.Fatal("the same key gives another image")
		}
	}
}

func TestRotationBounds(t *testing.T) {
	for _, dim := range []int{-1, 0, fuzzy.MaxDim + 1} {
		if _, err := fuzzy.NewRotation(secret.New(32), "x", dim, 128); err == nil {
			t.Errorf("dim %d accepted", dim)
		}
	}
}
