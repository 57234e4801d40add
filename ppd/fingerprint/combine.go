package fingerprint

import "slices"

// A fingered candidate says whose cell it is.
type fingered struct {
	candidate
	finger int
}

// combine joins one hypothesis of each finger in every way, the best first, and
// merges their candidates by chance. A finger without hypothesis leaves the
// others to it.
func combine(views [][][]candidate) [][]fingered {
	joint := [][]fingered{nil}
	for finger, hyps := range views {
		if len(hyps) == 0 {
			continue
		}
		var next [][]fingered
		for _, before := range joint {
			for _, cs := range hyps {
				all := slices.Clone(before)
				for _, c := range cs {
					all = append(all, fingered{c, finger})
				}
				next = append(next, all)
			}
		}
		joint = next
	}
	for i := range joint {
		slices.SortStableFunc(joint[i], func(a, b fingered) int {
			switch {
			case a.p > b.p:
				return -1
			case a.p < b.p:
				return 1
			}
			return 0
		})
	}
	if len(joint) == 1 && joint[0] == nil {
		return nil
	}
	return joint
}
