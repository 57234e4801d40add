package fingerprint

import (
	"math"
	"slices"
)

// Tolerances of a match between two captures of one finger.
const (
	matchDist  = 16.0
	matchAngle = 25 * math.Pi / 180
)

// match pairs each moved point with its nearest free partner within the
// tolerances, closest pairs first.
func match(moved, to []point, dist, angle float64) []pair {
	type cand struct {
		pair
		d float64
	}
	var cs []cand
	for i, p := range moved {
		for j, q := range to {
			if math.Abs(p.x-q.x) > dist || math.Abs(p.y-q.y) > dist {
				continue
			}
			if d := distance(p, q); d <= dist && apart(p.a, q.a) <= angle {
				cs = append(cs, cand{pair{i, j}, d})
			}
		}
	}
	slices.SortStableFunc(cs, func(a, b cand) int {
		switch {
		case a.d < b.d:
			return -1
		case a.d > b.d:
			return 1
		}
		return 0
	})
	usedI, usedJ := make([]bool, len(moved)), make([]bool, len(to))
	var out []pair
	for _, c := range cs {
		if !usedI[c.i] && !usedJ[c.j] {
			usedI[c.i], usedJ[c.j] = true, true
			out = append(out, c.pair)
		}
	}
	return out
}

// matchMoved is match of the points as m moves them; the moved copy is wiped.
func matchMoved(m motion, from, to []point, dist, angle float64) []pair {
	moved := m.applyAll(from)
	defer clear(moved)
	return match(moved, to, dist, angle)
}

// maxAlign bounds the points used to align two captures: the best by quality.
const maxAlign = 48

// align finds the motion of a onto b with the most matched minutiae, refined by
// least squares, and the matched pairs.
func align(a, b []point) (motion, []pair) {
	ta, tb := a[:min(len(a), maxAlign)], b[:min(len(b), maxAlign)]
	grid := newIndex(tb)
	type scored struct {
		m motion
		n int
	}
	var best []scored
	for _, p := range ta {
		for _, q := range tb {
			m := onto(p, q)
			if apart(m.r, 0) > math.Pi/3 {
				continue
			}
			n := grid.count(m, ta)
			if len(best) < 12 || n > best[len(best)-1].n {
				best = append(best, scored{m, n})
				slices.SortStableFunc(best, func(x, y scored) int { return y.n - x.n })
				best = best[:min(len(best), 12)]
			}
		}
	}
	var top motion
	var pairs []pair
	for _, s := range best {
		m := s.m
		var ps []pair
		for range 3 {
			ps = matchMoved(m, a, b, matchDist, matchAngle)
			if len(ps) < 3 {
				break
			}
			m = fit(a, b, ps)
		}
		ps = matchMoved(m, a, b, matchDist, matchAngle)
		if len(ps) > len(pairs) {
			top, pairs = m, ps
		}
	}
	return top, pairs
}
