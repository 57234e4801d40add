package fingerprint

import (
	"math"
	"slices"
)

// What a matched minutia scatters about its enrolled place after alignment, and
// how fast trust falls with its rank by quality. Fitted by eye on DB1_B and
// U.are.U; broad optima.
const (
	scatter      = 6.0                // pixels
	scatterAngle = 10 * math.Pi / 180 // radians
	trustRank    = 40.0               // half the trust at this rank
	trustFall    = 10.0
	diagonal     = 0.75 // share of a side's chance that stays beside, not beyond a corner
)

// A candidate is a cell with the chance that the vault holds it.
type candidate struct {
	id int
	p  float64
}

// candidates ranks the cells an aligned query suggests: each minutia spreads
// over its own cell and those across the borders.
func candidates(query []point, m motion, o offset, most int) []candidate {
	chance := map[int]float64{}
	moved := m.applyAll(query)
	defer clear(moved)
	for rank, p := range moved {
		trust := 1 / (1 + math.Exp((float64(rank)-trustRank)/trustFall))
		o.spread(p, func(id int, v float64) {
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

// spread visits the cells p may belong to with their chances.
func (o offset) spread(p point, visit func(id int, chance float64)) {
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
