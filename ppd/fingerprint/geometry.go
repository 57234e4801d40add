package fingerprint

import (
	"math"
	"slices"
)

const turn = 2 * math.Pi

// A point is a minutia in pixels at 500 dpi, y upwards, direction in radians
// counter-clockwise.
type point struct {
	x, y, a float64
	quality float64
}

// reference is 500 dpi in pixels per centimetre.
const reference = 500 / 2.54

// points converts a view, best quality first.
func points(v View) []point {
	out := make([]point, 0, len(v.Minutiae))
	for _, m := range v.Minutiae {
		out = append(out, point{
			x: float64(m.X) * reference / float64(v.DPCMx), y: -float64(m.Y) * reference / float64(v.DPCMy),
			a: m.Angle, quality: float64(m.Quality),
		})
	}
	slices.SortStableFunc(out, func(a, b point) int { return int(b.quality) - int(a.quality) })
	return out
}

// wrap brings an angle to [0, 2π).
func wrap(a float64) float64 {
	if a -= turn * math.Floor(a/turn); a >= turn {
		return 0 // rounding of a tiny negative angle
	}
	return a
}

// apart is the smaller angle between two directions, 0..π.
func apart(a, b float64) float64 {
	d := a - b
	return math.Abs(d - turn*math.Round(d/turn))
}

func distance(a, b point) float64 {
	dx, dy := a.x-b.x, a.y-b.y
	return math.Sqrt(dx*dx + dy*dy)
}

// A motion rotates by r about the origin, then shifts.
type motion struct{ r, dx, dy float64 }

func (m motion) applyAll(ps []point) []point {
	s, c := math.Sincos(m.r)
	out := make([]point, len(ps))
	for i, p := range ps {
		out[i] = point{x: c*p.x - s*p.y + m.dx, y: s*p.x + c*p.y + m.dy, a: wrap(p.a + m.r), quality: p.quality}
	}
	return out
}

// onto is the motion that carries p to q, direction included.
func onto(p, q point) motion {
	r := q.a - p.a
	s, c := math.Sincos(r)
	return motion{r: r, dx: q.x - (c*p.x - s*p.y), dy: q.y - (s*p.x + c*p.y)}
}

// A pair is two matched points, by index.
type pair struct{ i, j int }

// fit is the least-squares motion of matched points (Umeyama without scale).
func fit(from, to []point, pairs []pair) motion {
	var fx, fy, tx, ty float64
	for _, p := range pairs {
		fx, fy, tx, ty = fx+from[p.i].x, fy+from[p.i].y, tx+to[p.j].x, ty+to[p.j].y
	}
	n := float64(len(pairs))
	fx, fy, tx, ty = fx/n, fy/n, tx/n, ty/n
	var dot, cross float64
	for _, p := range pairs {
		ax, ay, bx, by := from[p.i].x-fx, from[p.i].y-fy, to[p.j].x-tx, to[p.j].y-ty
		dot += ax*bx + ay*by
		cross += ax*by - ay*bx
	}
	r := math.Atan2(cross, dot)
	s, c := math.Sincos(r)
	return motion{r: r, dx: tx - (c*fx - s*fy), dy: ty - (s*fx + c*fy)}
}
