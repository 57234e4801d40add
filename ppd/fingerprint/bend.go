package fingerprint

import "math"

// Skin is pressed and pulled onto a reader: beyond the rigid motion a print is
// displaced smoothly, by up to a dozen pixels. Known displacements at a few
// places tell about the places around them, and how much. The model is a
// Gaussian process (Rasmussen, Williams 2006, chapter 2): displacements of
// bendSize, alike within bendReach, observed with some noise. Unlike thin plates
// it needs no least number of places: far from all of them it says nothing and
// owns up to it.
const (
	bendSize  = 8.0   // pixels, standard deviation of a displacement by itself
	bendReach = 150.0 // pixels over which displacements are alike
)

// A bend is what places with known displacement say about all places. wipe
// clears it: it is as secret as the places.
type bend struct {
	at     []point
	inv    [][]float64  // inverse covariance of the observations
	weight [][2]float64 // inv · displacements
}

// alikeness is the covariance of the displacements at two places, px².
func alikeness(a, b point) float64 {
	d := distance(a, b) / bendReach
	return bendSize * bendSize * math.Exp(-d*d/2)
}

// newBend learns from matched points: each from[p.i] belongs at to[p.j], known
// but for noise(p.j) pixels.
func newBend(from, to []point, pairs []pair, noise func(j int) float64) bend {
	n := len(pairs)
	b := bend{at: make([]point, n), inv: make([][]float64, n), weight: make([][2]float64, n)}
	for i, p := range pairs {
		b.at[i] = from[p.i]
	}
	for i, p := range pairs {
		b.inv[i] = make([]float64, n)
		for j := range n {
			b.inv[i][j] = alikeness(b.at[i], b.at[j])
		}
		s := noise(p.j)
		b.inv[i][i] += s * s
	}
	invert(b.inv)
	for i := range n {
		for j, p := range pairs {
			b.weight[i][0] += b.inv[i][j] * (to[p.j].x - from[p.i].x)
			b.weight[i][1] += b.inv[i][j] * (to[p.j].y - from[p.i].y)
		}
	}
	return b
}

// apply displaces p and gives the variance in px² of what is left unknown along
// each axis.
func (b bend) apply(p point) (point, float64) {
	k := make([]float64, len(b.at))
	for i, a := range b.at {
		k[i] = alikeness(p, a)
	}
	doubt := bendSize * bendSize
	for i, row := range b.inv {
		p.x += k[i] * b.weight[i][0]
		p.y += k[i] * b.weight[i][1]
		for j, v := range row {
			doubt -= k[i] * v * k[j]
		}
	}
	return p, math.Max(0, doubt)
}

// applyAll is apply of many points without the variance.
func (b bend) applyAll(ps []point) []point {
	out := make([]point, len(ps))
	for i, p := range ps {
		for j, a := range b.at {
			v := alikeness(ps[i], a)
			p.x += v * b.weight[j][0]
			p.y += v * b.weight[j][1]
		}
		out[i] = p
	}
	return out
}

// wipe clears the bend.
func (b bend) wipe() {
	clear(b.at)
	clear(b.weight)
	for _, row := range b.inv {
		clear(row)
	}
}

// invert replaces a symmetric, positive definite matrix by its inverse: Gauss and
// Jordan in place, where no pivot can vanish.
func invert(m [][]float64) {
	for i, pivot := range m {
		d := 1 / pivot[i]
		pivot[i] = 1
		for c := range pivot {
			pivot[c] *= d
		}
		for r, row := range m {
			if r == i {
				continue
			}
			f := row[i]
			row[i] = 0
			for c := range row {
				row[c] -= f * pivot[c]
			}
		}
	}
}
