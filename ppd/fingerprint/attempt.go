package fingerprint

import (
	"math/rand/v2"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/ppd/fuzzy"
)

// How a search shares its work: the best hypotheses, in each the likeliest
// candidates in growing prefixes, all in turn and in equal slices.
const (
	maxHypotheses = 4       // of one finger
	jointEach     = 2       // of each of several fingers, in all combinations
	rounds        = 8       // how often the work goes round
	stopEvery     = 1 << 16 // draws between two looks at the clock, about a millisecond
)

// prefixes are candidates of one finger; several fingers use their sum.
var prefixes = [...]int{18, 26, 38}

// An Attempt is a query held against a helper, ready to search. Wipe clears it.
type Attempt struct {
	k     int
	plans []plan
}

// A plan is one prefix of one hypothesis.
type plan struct {
	elems []uint16 // all candidates of the hypothesis, likeliest first
	n     int      // how many of them are drawn from
	dec   *fuzzy.Decoder
}

// Prepare aligns one impression of each finger. A helper of another length is
// Invalid; a query that fits nowhere gives an attempt that finds nothing.
func (s *Sketcher) Prepare(key *secret.Buffer, helper []byte, fingers []View) (*Attempt, error) {
	const op = "fingerprint: recover"
	if len(helper) != s.p.HelperSize() || len(fingers) != s.p.Fingers {
		return nil, core.Errorf(core.Invalid, op, "helper of %d bytes and %d fingers, want %d and %d", len(helper), len(fingers), s.p.HelperSize(), s.p.Fingers)
	}
	cells := newCellMap(key, s.p.Fingers)
	defer cells.wipe()
	most := maxHypotheses
	if s.p.Fingers > 1 {
		most = jointEach
	}
	views := make([][][]candidate, len(fingers)) // by finger, by hypothesis
	for i, f := range fingers {
		off := offset{helper[0], helper[1], helper[2]}
		stars := decodeStars(helper[offsetBytes:])
		helper = helper[offsetBytes+starCount*starBytes:]
		q := points(f)
		for _, h := range hypotheses(q, stars, most) {
			views[i] = append(views[i], candidates(q, h.motion, off, prefixes[len(prefixes)-1]))
		}
		clear(q)
	}
	v, err := fuzzy.VaultOf(helper)
	if err != nil {
		return nil, err
	}
	a := &Attempt{k: s.p.K}
	for _, joint := range combine(views) {
		var elems []uint16
		for _, c := range joint {
			elems = append(elems, cells.element(c.finger, c.id))
		}
		dec, err := fuzzy.NewDecoder(v, elems, s.p.K)
		if err != nil {
			return nil, err
		}
		a.add(elems, dec, s.p.Fingers)
	}
	return a, nil
}

// add plans the prefixes of one hypothesis that differ.
func (a *Attempt) add(elems []uint16, dec *fuzzy.Decoder, fingers int) {
	last := 0
	for _, n := range prefixes {
		if n = min(n*fingers, len(elems)); n > last && n >= a.k {
			a.plans = append(a.plans, plan{elems, n, dec})
			last = n
		}
	}
}

// slice is the draws of one plan in one round, in whole looks at the clock.
func (a *Attempt) slice(work int) int { return work / max(1, len(a.plans)*rounds) }

// Search spends at most work draws, or until stop says so, and returns what is
// surest. stop may be nil; it is asked about every millisecond. A draw is one
// point held against one base (package fuzzy).
func (a *Attempt) Search(rng *rand.Rand, work int, stop func() bool) fuzzy.Found {
	var best fuzzy.Found
	used, slice := 0, a.slice(work)
	for range rounds {
		for _, p := range a.plans {
			for left := slice; left > 0; left -= stopEvery {
				got := p.dec.Search(rng, p.n, min(left, stopEvery))
				used += got.Draws
				if got.Points > best.Points {
					clear(best.F)
					best = got
				}
				if best.Sure || stop != nil && stop() {
					best.Draws = used
					return best
				}
			}
		}
	}
	best.Draws = used
	return best
}

// Wipe clears the attempt.
func (a *Attempt) Wipe() {
	for _, p := range a.plans {
		clear(p.elems)
		p.dec.Wipe()
	}
}
