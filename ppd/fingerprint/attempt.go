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
var prefixes = [...]int{22, 30, 38}

// An Attempt is a query held against a helper, ready to search. Wipe clears it.
type Attempt struct {
	k       int
	fingers int
	vault   fuzzy.Vault
	cells   *cellMap
	plans   []plan
	queries [][]point // of the fingers, as given
}

// A plan is one prefix of one hypothesis.
type plan struct {
	elems []uint16 // all candidates of the hypothesis, likeliest first
	n     int      // how many of them are drawn from
	dec   *fuzzy.Decoder

	sights []sight
	hyp    int // number of the hypothesis
}

// Prepare aligns one impression of each finger. A helper of another length is
// Invalid; a query that fits nowhere gives an attempt that finds nothing.
func (s *Sketcher) Prepare(key *secret.Buffer, helper []byte, fingers []View) (*Attempt, error) {
	const op = "fingerprint: recover"
	if len(helper) != s.p.HelperSize() || len(fingers) != s.p.Fingers {
		return nil, core.Errorf(core.Invalid, op, "helper of %d bytes and %d fingers, want %d and %d", len(helper), len(fingers), s.p.HelperSize(), s.p.Fingers)
	}
	most := maxHypotheses
	if s.p.Fingers > 1 {
		most = jointEach
	}
	a := &Attempt{k: s.p.K, fingers: s.p.Fingers, cells: newCellMap(key, s.p.Fingers)}
	views := make([][]look, len(fingers)) // by finger, by hypothesis
	for i, f := range fingers {
		off := offset{helper[0], helper[1], helper[2]}
		sky := skyOf(decodeStars(helper[offsetBytes:]))
		helper = helper[offsetBytes+starCount*starBytes:]
		q := points(f)
		a.queries = append(a.queries, q)
		for _, h := range hypotheses(q, sky, most) {
			views[i] = append(views[i], look{sight{q, sky, h.motion, off, i}, candidates(q, h.motion, sky, off, prefixes[len(prefixes)-1])})
		}
	}
	var err error
	if a.vault, err = fuzzy.VaultOf(helper); err != nil {
		a.Wipe()
		return nil, err
	}
	for hyp, j := range combine(views) {
		var elems []uint16
		for _, c := range j.all {
			elems = append(elems, a.cells.element(c.finger, c.id))
		}
		dec, err := fuzzy.NewDecoder(a.vault, elems, s.p.K)
		if err != nil {
			a.Wipe()
			return nil, err
		}
		a.add(plan{elems: elems, dec: dec, sights: j.sights, hyp: hyp})
	}
	return a, nil
}

// add plans the prefixes of one hypothesis that differ.
func (a *Attempt) add(p plan) {
	for _, n := range prefixes {
		if n = min(n*a.fingers, len(p.elems)); n > p.n && n >= a.k {
			p.n = n
			a.plans = append(a.plans, p)
		}
	}
}

// slice is the draws of one plan in one round, in whole looks at the clock.
func (a *Attempt) slice(work int) int { return work / max(1, len(a.plans)*rounds) }

// Search spends at most work draws, or until stop says so, and returns the
// vault's polynomial if the query agrees with all that it opens (evidence.go).
// stop may be nil; it is asked about every millisecond. A draw is one point held
// against one base (package fuzzy).
func (a *Attempt) Search(rng *rand.Rand, work int, stop func() bool) fuzzy.Found {
	used, slice := 0, a.slice(work)
	refused := map[int]bool{} // hypotheses under which the vault opened to a stranger
	for range rounds {
		for i := range a.plans {
			p := &a.plans[i]
			for left := slice; left > 0 && !refused[p.hyp]; left -= stopEvery {
				got := p.dec.Search(rng, p.n, min(left, stopEvery))
				used += got.Draws
				if got.F != nil {
					switch a.judge(p, got.F) {
					case owner:
						got.Draws, got.Sure = used, true
						return got
					case stranger:
						refused[p.hyp] = true
					case accident:
					}
					clear(got.F)
				}
				if stop != nil && stop() {
					return fuzzy.Found{Draws: used}
				}
			}
		}
	}
	return fuzzy.Found{Draws: used}
}

// Wipe clears the attempt.
func (a *Attempt) Wipe() {
	a.cells.wipe()
	for _, p := range a.plans {
		clear(p.elems)
		p.dec.Wipe()
	}
	for _, q := range a.queries {
		clear(q)
	}
}
