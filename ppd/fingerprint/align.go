package fingerprint

import (
	"math"
	"slices"
)

// Alignment of a query on a constellation.
const (
	starDist   = 18.0               // a star is seen if a minutia is this near
	starAngle  = 30 * math.Pi / 180 // and has this direction
	pairDist   = 14.0               // tolerance of the distance of two stars
	leastStars = 3                  // seen by a hypothesis
	maxTurn    = math.Pi / 3        // a finger is not placed more askew
	alignMost  = 80                 // minutiae used, the best by quality
	refineMost = 200                // hypotheses refined by least squares
)

// A hypothesis is a motion of the query onto the enrolled frame.
type hypothesis struct {
	motion
	seen  int
	score float64
}

// skyOf is the constellation as points.
func skyOf(stars []star) []point {
	sky := make([]point, len(stars))
	for i, s := range stars {
		sky[i] = s.point()
	}
	return sky
}

// hypotheses returns the most likely motions that show at least leastStars
// stars, best first. Pairs of stars are matched with pairs of minutiae of about
// the same distance and directions; the best are refined on all the stars seen.
func hypotheses(query, sky []point, most int) []hypothesis {
	q := query[:min(len(query), alignMost)]
	x := newIndex(q)
	pairs := pairsOf(q)
	var all []hypothesis
	for i := range sky {
		for j := range i {
			all = pairHypotheses(all, x, pairs, sky, i, j)
		}
	}
	slices.SortStableFunc(all, byScore)
	all = all[:min(len(all), refineMost)]
	for i := range all {
		all[i] = refine(all[i], x, sky)
	}
	slices.SortStableFunc(all, byScore)
	var out []hypothesis
	for _, h := range all {
		if len(out) < most && !slices.ContainsFunc(out, func(o hypothesis) bool { return alike(o.motion, h.motion) }) {
			out = append(out, h)
		}
	}
	return out
}

// A span is two minutiae, their distance and the direction from a to b.
type span struct {
	a, b    int
	d, line float64
}

// pairsOf lists all ordered pairs by distance.
func pairsOf(q []point) []span {
	out := make([]span, 0, len(q)*len(q))
	for a, p := range q {
		for b, r := range q {
			if d := distance(p, r); a != b && d >= starGap-pairDist && d <= 2*starRadius+pairDist {
				out = append(out, span{a, b, d, math.Atan2(r.y-p.y, r.x-p.x)})
			}
		}
	}
	slices.SortFunc(out, func(s, t span) int {
		switch {
		case s.d < t.d:
			return -1
		case s.d > t.d:
			return 1
		}
		return (s.a-t.a)*alignMost + s.b - t.b
	})
	return out
}

func pairHypotheses(all []hypothesis, x *index, pairs []span, sky []point, i, j int) []hypothesis {
	s, t := sky[i], sky[j]
	d := distance(s, t)
	line := math.Atan2(t.y-s.y, t.x-s.x)
	from, _ := slices.BinarySearchFunc(pairs, d-pairDist, func(p span, v float64) int {
		if p.d < v {
			return -1
		}
		return 1
	})
	for _, c := range pairs[from:] {
		if c.d > d+pairDist {
			break
		}
		p, r, rot := x.pts[c.a], x.pts[c.b], line-c.line
		if apart(rot, 0) > maxTurn || apart(p.a+rot, s.a) > starAngle || apart(r.a+rot, t.a) > starAngle {
			continue
		}
		sin, cos := math.Sincos(rot)
		mx, my := (p.x+r.x)/2, (p.y+r.y)/2
		m := motion{r: rot, dx: (s.x+t.x)/2 - (cos*mx - sin*my), dy: (s.y+t.y)/2 - (sin*mx + cos*my)}
		if h := x.scoreStars(m, sky); h.seen >= leastStars {
			all = append(all, h)
		}
	}
	return all
}

func byScore(a, b hypothesis) int {
	switch {
	case a.score > b.score:
		return -1
	case a.score < b.score:
		return 1
	}
	return 0
}

// refine fits the motion to the stars seen while that improves the score.
func refine(h hypothesis, x *index, sky []point) hypothesis {
	for range 2 {
		ps := x.seen(h.motion, sky)
		if len(ps) < 2 {
			return h
		}
		n := x.scoreStars(fit(x.pts, sky, ps), sky)
		if n.score <= h.score {
			return h
		}
		h = n
	}
	return h
}

// seen pairs each star with its best match in the query.
func (x *index) seen(m motion, sky []point) (ps []pair) {
	s, c := math.Sincos(-m.r)
	for i, st := range sky {
		ux, uy := st.x-m.dx, st.y-m.dy
		px, py, pa := c*ux-s*uy, s*ux+c*uy, st.a-m.r
		at, best := int32(-1), 0.0
		x.near(px, py, func(j int32) {
			q := x.pts[j]
			if v := closeness(math.Hypot(px-q.x, py-q.y), apart(pa, q.a)); v > best {
				at, best = j, v
			}
		})
		if at >= 0 {
			ps = append(ps, pair{int(at), i})
		}
	}
	return ps
}

// closeness is 1 for a perfect match and 0 at the tolerances.
func closeness(d, a float64) float64 {
	if d >= starDist || a >= starAngle {
		return 0
	}
	u, v := d/starDist, a/starAngle
	return math.Max(0, 1-0.5*u*u-0.5*v*v)
}

// scoreStars moves every star back to the query and adds up the closeness of
// its best match.
func (x *index) scoreStars(m motion, sky []point) hypothesis {
	h := hypothesis{motion: m}
	s, c := math.Sincos(-m.r)
	for _, st := range sky {
		ux, uy := st.x-m.dx, st.y-m.dy
		if v := x.closest(c*ux-s*uy, s*ux+c*uy, st.a-m.r); v > 0 {
			h.seen++
			h.score += v
		}
	}
	return h
}

func (x *index) closest(px, py, pa float64) (best float64) {
	x.near(px, py, func(i int32) {
		q := x.pts[i]
		dx, dy := px-q.x, py-q.y
		if d := dx*dx + dy*dy; d < starDist*starDist {
			best = math.Max(best, closeness(math.Sqrt(d), apart(pa, q.a)))
		}
	})
	return best
}

func alike(a, b motion) bool {
	return math.Hypot(a.dx-b.dx, a.dy-b.dy) < 4 && apart(a.r, b.r) < 0.05
}
