package fuzzy

import (
	"math/bits"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// rotationRounds of signs and transform make the image of any fixed vector
// close to uniform on the sphere.
const rotationRounds = 3

// MaxDim bounds the vectors a Rotation takes.
const MaxDim = 1024

// A Rotation is a keyed orthogonal map, up to a constant factor. It holds key
// material: Wipe ends it.
type Rotation struct {
	n     int
	signs *secret.Buffer // one bit each, rounds × n
}

// NewRotation keys a rotation of vectors of dim values, 1 ≤ dim ≤ MaxDim. They
// are padded with zeros to n, the next power of two, at least least values.
// key and label together must serve one record only: a rotation used twice
// links the records.
func NewRotation(key *secret.Buffer, label string, dim, least int) (*Rotation, error) {
	if dim < 1 || dim > MaxDim || least < 1 || least > MaxDim {
		return nil, core.Errorf(core.Invalid, "fuzzy: rotation", "dimension %d, want 1 to %d", dim, MaxDim)
	}
	n := 1 << bits.Len(uint(max(dim, least)-1))
	seed := enc.Join(enc.Str(label), key.Bytes())
	defer secret.Zero(seed)
	return &Rotation{n: n, signs: secret.Own(sm.KDF(seed, rotationRounds*max(n, 8)/8))}, nil
}

// Len returns n, the length of Apply's result.
func (r *Rotation) Len() int { return r.n }

// Apply returns the rotated vector, n values; only additions and sign changes,
// in a fixed order, so the result is the same on every platform. The caller
// wipes both.
func (r *Rotation) Apply(in []float64) []float64 {
	x := make([]float64, r.n)
	copy(x, in)
	s := r.signs.Bytes()
	for round := range rotationRounds {
		for i := range x {
			b := round*r.n + i
			// 1 or −1 without a branch on the key; the product is exact.
			x[i] *= float64(1 - 2*int(s[b>>3]>>(b&7)&1))
		}
		hadamard(x)
	}
	return x
}

// Wipe wipes the signs.
func (r *Rotation) Wipe() {
	if r != nil {
		r.signs.Wipe()
	}
}

// hadamard is the unnormalised Walsh-Hadamard transform in place.
func hadamard(x []float64) {
	for h := 1; h < len(x); h *= 2 {
		for i := 0; i < len(x); i += 2 * h {
			for j := i; j < i+h; j++ {
				a, b := x[j], x[j+h]
				x[j], x[j+h] = a+b, a-b
			}
		}
	}
}
