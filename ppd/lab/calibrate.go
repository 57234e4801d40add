package lab

import (
	"math"

	"gonum.org/v1/gonum/mat"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/ppd/face"
)

// Calibrate makes a profile from a set: the mean of the unit vectors, a partial
// PCA whitening with eigenvalues to the power −1/4, and the 10 % norm quantile.
// Every identity weighs the same, however many captures it has. At least four
// captures per dimension are needed for a covariance worth using.
func Calibrate(set *FaceSet, model string) (*face.Profile, error) {
	d := set.Dim
	var rows [][]float64
	var weights []float64 // of the rows; they sum to 1
	for _, p := range set.People {
		for _, c := range p.Captures {
			var s float64
			for _, v := range c {
				s += v * v
			}
			if s = math.Sqrt(s); s < 1e-6 || math.IsNaN(s) || math.IsInf(s, 0) {
				return nil, core.Errorf(core.Invalid, "lab: calibrate", "a capture of %s has no usable length", p.ID)
			}
			unit := make([]float64, d)
			for i, v := range c {
				unit[i] = v / s
			}
			rows = append(rows, unit)
			weights = append(weights, 1/float64(len(p.Captures)*len(set.People)))
		}
	}
	if len(rows) < 4*d {
		return nil, core.Errorf(core.Invalid, "lab: calibrate", "%d captures for %d dimensions, want at least %d", len(rows), d, 4*d)
	}
	mu := make([]float64, d)
	for n, r := range rows {
		for i, v := range r {
			mu[i] += v * weights[n]
		}
	}
	cov := mat.NewSymDense(d, nil)
	for n, r := range rows {
		for i := range d {
			for j := i; j < d; j++ {
				cov.SetSym(i, j, cov.At(i, j)+(r[i]-mu[i])*(r[j]-mu[j])*weights[n])
			}
		}
	}
	var eig mat.EigenSym
	if !eig.Factorize(cov, true) {
		return nil, core.Errorf(core.Internal, "lab: calibrate", "the covariance has no eigenvalues")
	}
	var vectors, scaled, w mat.Dense
	eig.VectorsTo(&vectors)
	values := eig.Values(nil)
	top := values[len(values)-1]
	scaled.CloneFrom(&vectors)
	for j, v := range values {
		s := math.Pow(math.Max(v, 1e-9*top), -0.25)
		for i := range d {
			scaled.Set(i, j, vectors.At(i, j)*s)
		}
	}
	w.Mul(&scaled, vectors.T())
	all := FaceSet{People: set.People}
	gate, _ := normQuantile(&all)
	p := &face.Profile{Model: model, Dim: d, Mu: mu, W: append([]float64(nil), w.RawMatrix().Data...), NormP10: gate}
	return p, p.Check()
}
