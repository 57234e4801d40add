package fingerprint

import (
	"math"
	"slices"
)

// What a matched minutia scatters about its enrolled place, beside what the bend
// leaves unknown, and how likely the vault holds it at all: trust falls with its
// rank by quality and with the quality, and a minutia that shows a star is left
// out of the vault. Set on DB1_B and U.are.U; broad optima.
const (
	scatter      = 3.5               // pixels
	scatterAngle = 8 * math.Pi / 180 // radians
	starScatter  = 4.0               // pixels a star seen misses its minutia by
	trustRank    = 55.0              // half the trust at this rank
	trustFall    = 10.0
	trustQuality = 0.25 // exponent
	trustStar    = 0.1  // left to a minutia that shows a star
	diagonal     = 0.75 // share of a side's chance that stays beside, not beyond a corner
)

// A candidate is a cell with the chance that the vault holds it.
type candidate struct {
	id int
	p  float64
}

// candidates ranks the cells an aligned query suggests: bent to the stars that it
// shows, each minutia spreads over its own cell and those across the borders, the
// wider the farther it is from the stars.
func candidates(query []point, m motion, sky []point, o offset, most int) []candidate {
	chance := map[int]float64{}
	moved := m.applyAll(query)
	defer clear(moved)
	seen := sighted(moved, sky)
	b := newBend(moved, sky, seen, func(int) float64 { return starScatter })
	defer b.wipe()
	for rank, p := range moved {
		trust := trustOf(rank, p.quality)
		if slices.ContainsFunc(seen, func(s pair) bool { return s.i == rank }) {
			trust *= trustStar
		}
		p, doubt := b.apply(p)
		o.spread(p, math.Sqrt(scatter*scatter+doubt), func(id int, v float64) {
			chance[id] = 1 - (1-chance[id])*(1-trust*v)
		})
	}
	out := make([]candidate, 0, len(chance))
	for id, p := range chance {
		out = append(out, candidate{id, p})
	}
	slices.SortFunc(out, func(a, b candidate) int {
		switch {
		case a.p > b.p:
			return -1
		case a.p < b.p:
			return 1
		}
		return a.id - b.id
	})
	return out[:min(len(out), most)]
}

// trustOf is up to a factor the chance that the vault holds a minutia of this rank
// and quality, 0 to 100, where 0 is not reported.
func trustOf(rank int, quality float64) float64 {
	return math.Pow(math.Max(1, quality)/100, trustQuality) / (1 + math.Exp((float64(rank)-trustRank)/trustFall))
}

// sighted pairs each star with the minutia that shows it best, if one does.
func sighted(moved, sky []point) (ps []pair) {
	for i, s := range sky {
		at, best := -1, 0.0
		for j, p := range moved[:min(len(moved), alignMost)] {
			if v := closeness(distance(p, s), apart(p.a, s.a)); v > best {
				at, best = j, v
			}
		}
		if at >= 0 {
			ps = append(ps, pair{at, i})
		}
	}
	return ps
}

// spread visits the cells p may belong to with their chances, if it scatters by
// so many pixels.
func (o offset) spread(p point, scatter float64, visit func(id int, chance float64)) {
	x, y, s := o.place(p)
	q, r := hexAt(x, y)
	k := int(s) % sectors
	frac := s - math.Floor(s)
	const wide = turn / sectors
	up, down := normal(-(1-frac)*wide/scatterAngle), normal(-frac*wide/scatterAngle)
	share := [3]float64{1 - up - down, up, down}
	sector := [3]int{k, (k + 1) % sectors, (k + sectors - 1) % sectors}
	at := func(q, r int, chance float64) {
		if h := hexIndex(q, r); h >= 0 {
			for i, v := range share {
				visit(h*sectors+sector[i], chance*v)
			}
		}
	}
	own := 1.0
	for _, d := range hexDirs {
		across := normal(-borderDistance(x, y, q, r, d) / scatter)
		own *= 1 - across
		at(q+d[0], r+d[1], diagonal*across)
	}
	at(q, r, own)
}

// normal is the standard normal distribution function.
func normal(z float64) float64 { return 0.5 * math.Erfc(-z/math.Sqrt2) }
