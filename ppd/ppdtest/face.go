package ppdtest

import (
	"math"
	"math/rand/v2"
)

// Faces makes synthetic embeddings: people on a sphere, captures around them.
// Spreads follow what ArcFace-like models show on unconstrained photographs:
// two captures of one person meet at a cosine near 0.6, two people near 0, and
// sharper captures are longer and closer to their person. It is for tests and
// demonstrations; rates measured on it say nothing about real faces. Products are
// rounded before they are added, so every platform makes the same people.
type Faces struct {
	Dim  int
	seed uint64
}

// NewFaces returns a generator; the same seed gives the same people.
func NewFaces(dim int, seed uint64) *Faces { return &Faces{Dim: dim, seed: seed} }

// Capture returns the n-th capture of a person, not normalised.
func (f *Faces) Capture(person, n int) []float64 {
	who := rand.New(rand.NewPCG(f.seed, uint64(person)+1))
	mean := unit(normal(who, f.Dim))
	shot := rand.New(rand.NewPCG(f.seed^0x9e3779b97f4a7c15, uint64(person)<<20|uint64(n)))
	quality := 0.70 + float64(0.22*shot.Float64())
	noise := unit(normal(shot, f.Dim))
	// cos(mean, capture) = quality; the rest of the length is noise.
	side := math.Sqrt(1 - float64(quality*quality))
	length := 8 + float64(8*quality) + shot.NormFloat64()
	out := make([]float64, f.Dim)
	for i := range out {
		out[i] = length * (float64(quality*mean[i]) + float64(side*noise[i]))
	}
	return out
}

func normal(r *rand.Rand, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = r.NormFloat64()
	}
	return v
}

func unit(v []float64) []float64 {
	var s float64
	for _, x := range v {
		s += float64(x * x)
	}
	s = math.Sqrt(s)
	for i := range v {
		v[i] /= s
	}
	return v
}
