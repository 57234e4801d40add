package fuzzy

import "math/bits"

// Reaches tells whether DecodeSoft of the same order has word, a codeword,
// among its candidates. They are exactly the codewords that differ from the
// hard decisions in at most order positions of the most reliable basis (a fifth
// counts only with all five among the last of it), so a far query is told apart without a search: a few microseconds, which lets a
// laboratory hold millions of impostors. It takes time that depends on the
// values; no source calls it.
func (c *Code) Reaches(soft *[CodeLength]int32, word Bits, order int) bool {
	perm := byReliability(soft)
	// reduced[b] is a combination of earlier columns whose highest bit is b.
	var reduced [64]uint64
	differ, early, rank := 0, 0, 0
	for _, i := range perm {
		v := c.columns[i]
		for v != 0 {
			top := bits.Len64(v) - 1
			if reduced[top] == 0 {
				reduced[top] = v
				break
			}
			v ^= reduced[top]
		}
		if v == 0 {
			continue // depends on more reliable positions: not in the basis
		}
		rank++
		if uint64(uint32(soft[i])>>31) != word.Get(i) {
			if rank <= c.k-lastBasis {
				early++
			}
			if differ++; differ > order || differ > fullOrder && early > 0 {
				return false
			}
		}
		if rank == c.k {
			break
		}
	}
	return true
}
