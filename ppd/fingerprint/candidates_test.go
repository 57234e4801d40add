package fingerprint

import (
	mrand "math/rand/v2"
	"slices"
	"testing"
)

// A print pressed askew suggests the enrolled cells once it is bent to its stars,
// and a minutia that shows a star suggests none before the others.
func TestCandidatesBentToStars(t *testing.T) {
	r := mrand.New(mrand.NewPCG(11, 12))
	off := offset{31, 7, 150}
	var bent, rigid, leading, stars int
	for range 20 {
		own := finger(r, 40)
		sky, rest := own[:8], own[8:]
		query := pressed(own)
		for i := range query {
			// The rigid motion is known: what is left is a third of the displacement.
			query[i].x, query[i].y = own[i].x+(query[i].x-own[i].x)/3, own[i].y+(query[i].y-own[i].y)/3
			query[i].quality = 50
		}
		held := map[int]bool{}
		for _, p := range rest {
			if id, _ := off.cell(p); id >= 0 {
				held[id] = true
			}
		}
		count := func(cs []candidate) (n int) {
			for _, c := range cs {
				if held[c.id] {
					n++
				}
			}
			return n
		}
		got := candidates(query, motion{}, sky, off, 38)
		bent += count(got)
		rigid += count(candidates(query, motion{}, nil, off, 38))
		for _, p := range sky {
			id, _ := off.cell(p)
			if held[id] || id < 0 {
				continue
			}
			stars++
			if slices.ContainsFunc(got[:20], func(c candidate) bool { return c.id == id }) {
				leading++
			}
		}
	}
	if bent < rigid*5/4 {
		t.Errorf("%d enrolled cells among the candidates with the bend, %d without", bent, rigid)
	}
	if stars < 100 || leading > 0 {
		t.Errorf("%d of %d stars lead the candidates", leading, stars)
	}
}

// Trust falls with rank and grows with quality, and a record that reports none is
// ranked all the same.
func TestTrust(t *testing.T) {
	for rank := range 100 {
		for q := range 101 {
			v := trustOf(rank, float64(q))
			if v <= 0 || v > 1 || rank > 0 && v >= trustOf(rank-1, float64(q)) || q > 1 && v <= trustOf(rank, float64(q-1)) {
				t.Fatalf("rank %d, quality %d: %g", rank, q, v)
			}
		}
	}
}
