package face

import (
	"math"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/sm"
)

// Dimensions an embedding may have.
const (
	MinDim = 64
	MaxDim = 1024
)

// A Profile adapts the source to one model and camera: z = normalise(W(x/|x| −
// mu)). It is public, made from people who are not enrolled. Read-only.
type Profile struct {
	Model   string    // tag of the embedding model, "" = any
	Dim     int       // of the embedding
	Mu      []float64 // Dim values
	W       []float64 // Dim × Dim, row-major; nil = identity
	NormP10 float64   // 10 % quantile of |x| of good captures; 0 = no gate
}

// Identity is the profile that changes nothing but the length of a vector. It
// earns less credit: a deployment should calibrate its own.
func Identity(dim int) *Profile {
	return &Profile{Dim: dim, Mu: make([]float64, dim)}
}

// Check refuses a profile whose parts do not fit.
func (p *Profile) Check() error {
	const op = "face: profile"
	switch {
	case p.Dim < MinDim || p.Dim > MaxDim:
		return core.Errorf(core.Invalid, op, "dimension %d, want %d to %d", p.Dim, MinDim, MaxDim)
	case len(p.Mu) != p.Dim:
		return core.Errorf(core.Invalid, op, "mu has %d values, want %d", len(p.Mu), p.Dim)
	case p.W != nil && len(p.W) != p.Dim*p.Dim:
		return core.Errorf(core.Invalid, op, "W has %d values, want %d × %d", len(p.W), p.Dim, p.Dim)
	case !finite(p.Mu) || !finite(p.W) || p.NormP10 < 0 || math.IsNaN(p.NormP10) || math.IsInf(p.NormP10, 0):
		return core.Errorf(core.Invalid, op, "a value is not finite")
	case len(p.Model) > 64:
		return core.Errorf(core.Invalid, op, "model tag of %d bytes, at most 64", len(p.Model))
	}
	return nil
}

// Hash names the profile: SM3(enc("keposs/face/profile/1", model, dim, mu, W,
// norm quantile)), values as float64 big-endian. Enrolments bind to it.
func (p *Profile) Hash() [32]byte {
	return sm.SM3(enc.Join(enc.Str("keposs/face/profile/1"), enc.Str(p.Model), enc.U32(uint32(p.Dim)),
		packFloats(p.Mu), packFloats(p.W), packFloats([]float64{p.NormP10})))
}

func packFloats(v []float64) []byte {
	b := make([]byte, 0, 8*len(v))
	for _, x := range v {
		b = append(b, enc.U64(math.Float64bits(x))...)
	}
	return b
}

// transform returns the whitened unit vector of x in a new slice. x is not
// changed. Every product is rounded before it is added, so that no platform
// fuses them and all give the same bits.
func (p *Profile) transform(x []float64) []float64 {
	n := norm(x)
	c := make([]float64, p.Dim)
	for i := range c {
		c[i] = float64(x[i]/n) - p.Mu[i]
	}
	z := c
	if p.W != nil {
		z = make([]float64, p.Dim)
		for i := range z {
			row := p.W[i*p.Dim : (i+1)*p.Dim]
			var s float64
			for j, v := range c {
				s += float64(row[j] * v)
			}
			z[i] = s
		}
		clear(c)
	}
	scale(z)
	return z
}

// norm is the Euclidean length, summed in order.
func norm(x []float64) float64 {
	var s float64
	for _, v := range x {
		s += float64(v * v)
	}
	return math.Sqrt(s)
}

// scale brings x to unit length; a zero vector stays.
func scale(x []float64) {
	n := norm(x)
	if n == 0 {
		return
	}
	for i := range x {
		x[i] /= n
	}
}

// Cosine of two unit vectors, summed in order.
func Cosine(a, b []float64) float64 {
	var s float64
	for i := range a {
		s += float64(a[i] * b[i])
	}
	return s
}

func finite(x []float64) bool {
	for _, v := range x {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}
