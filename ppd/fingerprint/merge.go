package fingerprint

import (
	"math"
	"slices"

	"github.com/keposs/keposs/core"
)

// A merged minutia: mean position and direction over the captures that show it.
type merged struct {
	point
	support int
	sx, sy  float64 // sums for the mean
	sin, co float64
}

// Enrolment gates.
const (
	MinCaptures   = 2
	MaxCaptures   = 5
	minPairMatch  = 12 // matched minutiae of every capture with the reference
	minCaptureLen = 16 // minutiae of one capture
)

// merge aligns captures on the one that agrees best with the others and
// averages what they share. Every capture must share minPairMatch minutiae with
// the reference. The result is centred and sorted by support, then quality; the
// caller wipes it, as it does the captures.
func merge(captures [][]point) ([]merged, error) {
	n := len(captures)
	pairs := make([][][]pair, n)
	moves := make([][]motion, n)
	score := make([]int, n)
	for i := range n {
		pairs[i], moves[i] = make([][]pair, n), make([]motion, n)
	}
	for i := range n {
		for j := range i {
			m, ps := align(captures[i], captures[j])
			moves[i][j], pairs[i][j] = m, ps
			back := make([]pair, len(ps))
			for k, p := range ps {
				back[k] = pair{p.j, p.i}
			}
			moves[j][i], pairs[j][i] = inverse(m), back
			score[i] += len(ps)
			score[j] += len(ps)
		}
	}
	ref := 0
	for i := range n {
		if score[i] > score[ref] {
			ref = i
		}
	}
	all := 0
	for _, c := range captures {
		all += len(c)
	}
	out := make([]merged, 0, all) // never grown, so no copy is left behind
	for _, p := range captures[ref] {
		out = append(out, newMerged(p))
	}
	for i, c := range captures {
		if i == ref {
			continue
		}
		if len(pairs[i][ref]) < minPairMatch {
			clear(out)
			return nil, core.Errorf(core.CaptureRefused, "fingerprint: enrol", "the impressions show too little of the same area: place the middle of the finger flat on the reader each time")
		}
		moved := moves[i][ref].applyAll(c)
		out = absorb(out, moved)
		clear(moved)
	}
	slices.SortStableFunc(out, func(a, b merged) int {
		if a.support != b.support {
			return b.support - a.support
		}
		return int(b.quality) - int(a.quality)
	})
	centre(out)
	return out, nil
}

func newMerged(p point) merged {
	s, c := math.Sincos(p.a)
	return merged{point: p, support: 1, sx: p.x, sy: p.y, sin: s, co: c}
}

func (m *merged) add(p point) {
	s, c := math.Sincos(p.a)
	m.support++
	m.sx, m.sy, m.sin, m.co = m.sx+p.x, m.sy+p.y, m.sin+s, m.co+c
	n := float64(m.support)
	m.x, m.y, m.a = m.sx/n, m.sy/n, wrap(math.Atan2(m.sin, m.co))
	m.quality = math.Max(m.quality, p.quality)
}

// absorb adds moved points to what is there; unmatched ones are new.
func absorb(out []merged, moved []point) []merged {
	have := make([]point, len(out))
	defer clear(have)
	for i, m := range out {
		have[i] = m.point
	}
	taken := make([]bool, len(moved))
	for _, p := range match(moved, have, matchDist, matchAngle) {
		out[p.j].add(moved[p.i])
		taken[p.i] = true
	}
	for i, p := range moved {
		if !taken[i] {
			out = append(out, newMerged(p))
		}
	}
	return out
}

func inverse(m motion) motion {
	s, c := math.Sincos(-m.r)
	return motion{r: -m.r, dx: -(c*m.dx - s*m.dy), dy: -(s*m.dx + c*m.dy)}
}

// centre moves the mean of the well-supported minutiae to the origin.
func centre(ms []merged) {
	var x, y, n float64
	for _, m := range ms {
		if m.support >= 2 {
			x, y, n = x+m.x, y+m.y, n+1
		}
	}
	if n == 0 {
		return
	}
	for i := range ms {
		ms[i].x -= x / n
		ms[i].y -= y / n
	}
}
