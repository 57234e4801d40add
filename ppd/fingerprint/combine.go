package fingerprint

import "slices"

// A fingered candidate says whose cell it is.
type fingered struct {
	candidate
	finger int
}

// A look is one finger under one hypothesis: what it saw and what it suggests.
type look struct {
	sight
	cells []candidate
}

// A joint is one look at each finger that could be aligned, and all candidates
// by chance.
type joint struct {
	sights []sight
	all    []fingered
}

// combine joins one look at each finger in every way, the best first, and merges
// their candidates by chance. A finger without hypothesis leaves the others to it.
func combine(views [][]look) []joint {
	joints := []joint{{}}
	for finger, looks := range views {
		if len(looks) == 0 {
			continue
		}
		var next []joint
		for _, before := range joints {
			for _, l := range looks {
				j := joint{append(slices.Clone(before.sights), l.sight), slices.Clone(before.all)}
				for _, c := range l.cells {
					j.all = append(j.all, fingered{c, finger})
				}
				next = append(next, j)
			}
		}
		joints = next
	}
	for i := range joints {
		slices.SortStableFunc(joints[i].all, func(a, b fingered) int {
			switch {
			case a.p > b.p:
				return -1
			case a.p < b.p:
				return 1
			}
			return 0
		})
	}
	if len(joints) == 1 && joints[0].all == nil {
		return nil
	}
	return joints
}
