package fingerprint

import (
	"math"
	"slices"

	"github.com/keposs/keposs/ppd/fuzzy"
)

// What an open vault must show before its secret is given. The polynomial gives
// all enrolled cells away to the process that found it, so the query is held
// against all of them once more, and against the stars: fitted, then bent to what
// matches, as skin is. Of the cells and stars that the print covers 55 in a hundred
// must then agree closely. The enrolled finger shows more, also a small part of
// it; what another finger has in common with it by chance lies in no smooth
// relation and falls apart at close tolerances. The rule makes a try harder, not
// an attack on a readable helper: who attacks leaves it out (docs/fingerprint.md).
// Set on DB1_B and U.are.U.
const (
	fitDist       = 16.0                 // pixels between a minutia and the middle of its cell, while fitting
	evidenceDist  = 11.0                 // and once bent
	evidenceAngle = 27 * math.Pi / 180   // and the same in direction
	cellScatter   = 6.0                  // pixels by which a minutia misses the middle of its cell
	coverDist     = 30.0                 // a cell this near to any minutia is covered
	evidenceShare = 55                   // in a hundred of what is covered must agree
	leastRoots    = minFeatures * 9 / 10 // of a vault; fewer are an accident of the search
	fits, bends   = 2, 3                 // rounds of matching and fitting
)

// A sight is one finger under one hypothesis: what is needed to look again.
type sight struct {
	query  []point
	sky    []point // the constellation
	m      motion
	off    offset
	finger int
}

// middles are the hexagons' centres by number.
var middles = hexMiddles()

func hexMiddles() []point {
	out := make([]point, hexCount)
	for r := -hexRange; r <= hexRange; r++ {
		for q := -hexRange; q <= hexRange; q++ {
			if h := hexIndex(q, r); h >= 0 {
				out[h].x, out[h].y = hexCentre(q, r)
			}
		}
	}
	return out
}

// middle is the point in the middle of a cell: the inverse of cell.
func (o offset) middle(id int) point {
	u, v := float64(o.u)/256, float64(o.v)/256
	p := middles[id/sectors]
	p.x -= spacing * (u + v/2)
	p.y -= spacing * math.Sqrt(3) / 2 * v
	p.a = wrap(turn / sectors * (float64(id%sectors) + 0.5 - float64(o.w)/256))
	return p
}

// compare counts the enrolled cells and the stars that the aligned query covers and
// those that a minutia agrees with, once the query is fitted and bent to them.
func (s sight) compare(cells []int) (agree, covered int) {
	enrolled := make([]point, 0, len(cells)+len(s.sky))
	for _, id := range cells {
		enrolled = append(enrolled, s.off.middle(id))
	}
	enrolled = append(enrolled, s.sky...)
	defer clear(enrolled)
	moved := s.settle(enrolled, len(cells))
	defer clear(moved)
	for _, c := range enrolled {
		for _, p := range moved {
			if distance(p, c) < coverDist {
				covered++
				break
			}
		}
	}
	return len(match(moved, enrolled, evidenceDist, evidenceAngle)), covered
}

// settle brings the query as near to the enrolled points, cells before stars, as a
// motion and a bend can.
func (s sight) settle(enrolled []point, cells int) []point {
	m := s.m
	for range fits {
		ps := matchMoved(m, s.query, enrolled, fitDist, evidenceAngle)
		if len(ps) < 3 {
			return m.applyAll(s.query)
		}
		m = fit(s.query, enrolled, ps)
	}
	rigid := m.applyAll(s.query)
	defer clear(rigid)
	moved := slices.Clone(rigid)
	dist := fitDist
	for range bends {
		b := newBend(rigid, enrolled, match(moved, enrolled, dist, evidenceAngle), func(j int) float64 {
			if j < cells {
				return cellScatter
			}
			return starScatter
		})
		clear(moved)
		moved = b.applyAll(rigid)
		b.wipe()
		dist = evidenceDist
	}
	return moved
}

// sound tells whether the query agrees with the enrolled cells as the same
// fingers do.
func sound(sights []sight, enrolled [][]int) bool {
	agree, covered := 0, 0
	for _, s := range sights {
		a, c := s.compare(enrolled[s.finger])
		agree, covered = agree+a, covered+c
	}
	return enough(agree, covered)
}

// enough is the rule in whole numbers: in floating point a share of exactly so
// many may lie a little above or below it.
func enough(agree, covered int) bool {
	return agree > 0 && 100*agree >= evidenceShare*covered
}

// enrolled lists the cells of each finger for which held says that the vault
// holds their element, and how many they are.
func (m *cellMap) enrolled(fingers int, held func(e uint16) bool) (ids [][]int, n int) {
	ids = make([][]int, fingers)
	for finger := range ids {
		for id := range cellCount() {
			if held(m.element(finger, id)) {
				ids[finger] = append(ids[finger], id)
				n++
			}
		}
	}
	return ids, n
}

// A verdict is what judge says.
type verdict int

const (
	accident verdict = iota // not the vault's polynomial
	stranger                // the vault is open, but to another finger
	owner
)

// judge looks at what the search found under a plan.
func (a *Attempt) judge(p *plan, f []uint16) verdict {
	ids, n := a.cells.enrolled(a.fingers, func(e uint16) bool { return a.vault.At(e) == fuzzy.Eval(f, e) })
	defer func() {
		for _, v := range ids {
			clear(v)
		}
	}()
	switch {
	case n < leastRoots:
		return accident
	case !sound(p.sights, ids):
		return stranger
	}
	return owner
}
