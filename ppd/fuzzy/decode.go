package fuzzy

import (
	"math/rand/v2"

	"github.com/keposs/keposs/core"
)

// MaxPoints bounds the candidates of one search.
const MaxPoints = 128

// A Decoder searches the points of one query for a polynomial of k−2
// coefficients that passes through k of them.
//
// It is randomised: bases of k−3 points are drawn. Over a base B of genuine
// points the divided difference f[B, p] of order k−3 is the same for every
// genuine p, because f has k−2 coefficients. One base therefore tests all its
// triples at once: three equal differences are k points on one polynomial. In
// barycentric form
//
//	f[B, p] = y_p ∏ 1/(x_p − x_b) + Σ c_b/(x_p − x_b),  c_b = y_b ∏ 1/(x_b − x_c)
//
// every factor 1/(x_p − x_b) comes from a table made once, so a point costs
// k−2 independent look-ups. Work is counted in draws: one draw is one point held
// against one base.
//
// Its running time tells about the query. Only constant answer times keep that
// inside the process.
type Decoder struct {
	k, n int
	x, y []uint16
	inv  []int32 // n × n, log of 1/(x_i − x_j)
	logY []int32
}

// Found is what a search found.
type Found struct {
	F      []uint16 // k−2 coefficients, lowest first; nil if none. The caller wipes it
	Points int      // candidates on it
	Draws  int      // work done
	Sure   bool     // more than k points: not one of the 2⁻³² accidents
}

// NewDecoder prepares a search of v over distinct non-zero points, the likeliest
// first, at most MaxPoints. The points are copied.
func NewDecoder(v Vault, points []uint16, k int) (*Decoder, error) {
	const op = "fuzzy: decoder"
	if k < MinVaultK || k > MaxVaultK || len(points) > MaxPoints {
		return nil, core.Errorf(core.Invalid, op, "%d points for k = %d", len(points), k)
	}
	n := len(points)
	d := &Decoder{k: k, n: n, x: append([]uint16(nil), points...), y: make([]uint16, n), inv: make([]int32, n*n), logY: make([]int32, n)}
	for i, a := range d.x {
		d.y[i] = v.At(a)
		d.logY[i] = gfLog[d.y[i]]
		for j, b := range d.x {
			if i == j {
				continue
			}
			if a == b || a == 0 {
				return nil, core.Errorf(core.Invalid, op, "points must be distinct and not zero")
			}
			d.inv[i*n+j] = 65535 - gfLog[a^b]
		}
	}
	return d, nil
}

// Search draws bases among the first n points until the work is done or a
// polynomial through more than k of all points is found. One through exactly k
// may be an accident of a long search: the first such is kept, the search goes
// on. The result is a function of rng.
func (d *Decoder) Search(rng *rand.Rand, n, draws int) Found {
	n = min(n, d.n)
	if n < d.k {
		return Found{Draws: draws}
	}
	var got Found
	m := d.k - 3
	s := trial{d: d, n: n, m: m}
	for i := range n {
		s.order[i] = int32(i)
	}
	for got.Draws+n <= draws {
		got.Draws += n
		p, hit := s.base(rng)
		if !hit {
			continue
		}
		f, count := d.through(s.order[:m], p)
		if count > got.Points {
			clear(got.F)
			got.F, got.Points = f, count
		}
		if got.Points > d.k {
			got.Sure = true
			return got
		}
	}
	got.Draws = draws
	return got
}

// trial is the working state of one Search.
type trial struct {
	d     *Decoder
	n, m  int
	order [MaxPoints]int32
	logC  [MaxVaultK]int32
	u     [MaxPoints]uint16
	next  [MaxPoints]uint8
	head  [256]uint8
}

// base draws one base and reports a point of the first three that agree over it.
func (s *trial) base(rng *rand.Rand) (p int32, hit bool) {
	d, n, m := s.d, s.n, s.m
	for i := range m {
		j := i + int(rng.Uint32N(uint32(n-i)))
		s.order[i], s.order[j] = s.order[j], s.order[i]
	}
	base := s.order[:m]
	for i, b := range base {
		row := d.inv[int(b)*d.n : int(b)*d.n+d.n]
		sum := int32(0)
		for j, c := range base {
			if j != i {
				sum += row[c]
			}
		}
		s.logC[i] = gfLog[0]
		if d.y[b] != 0 {
			s.logC[i] = (d.logY[b] + sum) % 65535
		}
	}
	clear(s.head[:])
	for i := m; i < n; i++ {
		q := s.order[i]
		row := d.inv[int(q)*d.n : int(q)*d.n+d.n]
		sum, u := int32(0), uint16(0)
		for j, b := range base {
			l := row[b]
			sum += l
			u ^= gfExp[s.logC[j]+l]
		}
		u ^= gfExp[d.logY[q]+sum%65535]
		if s.join(i, u) {
			return q, true
		}
	}
	return 0, false
}

// join files the difference of order[i] and reports the third of a kind.
func (s *trial) join(i int, u uint16) bool {
	slot := uint8(u ^ u>>8)
	same := 0
	for j := s.head[slot]; j != 0; j = s.next[j-1] {
		if s.u[j-1] == u {
			same++
		}
	}
	s.u[i], s.next[i] = u, s.head[slot]
	s.head[slot] = uint8(i + 1)
	return same == 2
}

// through interpolates base and p and counts all points on the polynomial.
func (d *Decoder) through(base []int32, p int32) (f []uint16, count int) {
	var xs, ys [MaxVaultK]uint16
	for i, b := range base {
		xs[i], ys[i] = d.x[b], d.y[b]
	}
	m := len(base)
	xs[m], ys[m] = d.x[p], d.y[p]
	f = Interpolate(xs[:m+1], ys[:m+1])
	for i := range d.x {
		if Eval(f, d.x[i]) == d.y[i] {
			count++
		}
	}
	return f, count
}

// Wipe clears the points.
func (d *Decoder) Wipe() {
	clear(d.x)
	clear(d.y)
	clear(d.inv)
	clear(d.logY)
}
