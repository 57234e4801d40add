package fingerprint

import "math"

// An index finds points near a place: square cells over the points' extent.
type index struct {
	pts    []point
	x0, y0 float64
	w, h   int
	first  []int32 // of each cell, an index into items
	items  []int32
}

const indexCell = 18.0

// newIndex keeps ps; the extent is bounded because records are.
func newIndex(ps []point) *index {
	x := &index{pts: ps}
	if len(ps) == 0 {
		return x
	}
	x1, y1 := ps[0].x, ps[0].y
	x.x0, x.y0 = x1, y1
	for _, p := range ps {
		x.x0, x.y0, x1, y1 = math.Min(x.x0, p.x), math.Min(x.y0, p.y), math.Max(x1, p.x), math.Max(y1, p.y)
	}
	x.w, x.h = int((x1-x.x0)/indexCell)+1, int((y1-x.y0)/indexCell)+1
	if x.w*x.h > maxIndex {
		// Sparse beyond any finger: one cell holds all.
		x.w, x.h = 1, 1
	}
	x.first = make([]int32, x.w*x.h+1)
	for _, p := range ps {
		x.first[x.cellOf(p)+1]++
	}
	for i := 1; i < len(x.first); i++ {
		x.first[i] += x.first[i-1]
	}
	x.items = make([]int32, len(ps))
	next := append([]int32(nil), x.first...)
	for i, p := range ps {
		c := x.cellOf(p)
		x.items[next[c]] = int32(i)
		next[c]++
	}
	return x
}

// maxIndex is the cells of an area of 2,300 pixels squared.
const maxIndex = 1 << 14

func (x *index) cellOf(p point) int {
	if x.w*x.h == 1 {
		return 0
	}
	return int((p.y-x.y0)/indexCell)*x.w + int((p.x-x.x0)/indexCell)
}

// near visits the points of the cells within indexCell of a place.
func (x *index) near(px, py float64, visit func(i int32)) {
	if x.w*x.h <= 1 {
		for _, i := range x.items {
			visit(i)
		}
		return
	}
	cx, cy := int(math.Floor((px-x.x0)/indexCell)), int(math.Floor((py-x.y0)/indexCell))
	for j := max(0, cy-1); j <= min(x.h-1, cy+1); j++ {
		from, to := max(0, cx-1), min(x.w-1, cx+1)
		if from > to {
			continue
		}
		for _, i := range x.items[x.first[j*x.w+from]:x.first[j*x.w+to+1]] {
			visit(i)
		}
	}
}

// count is how many moved points have some partner within the tolerances.
func (x *index) count(m motion, ps []point) (n int) {
	s, c := math.Sincos(m.r)
	for _, p := range ps {
		px, py, pa := c*p.x-s*p.y+m.dx, s*p.x+c*p.y+m.dy, p.a+m.r
		found := 0
		x.near(px, py, func(i int32) {
			q := x.pts[i]
			dx, dy := px-q.x, py-q.y
			if dx*dx+dy*dy <= matchDist*matchDist && apart(pa, q.a) <= matchAngle {
				found = 1
			}
		})
		n += found
	}
	return n
}
