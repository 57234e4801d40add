package fuzzy

import "slices"

// MaxOrder bounds DecodeSoft's order. The fifth is partial: five errors are
// looked for among the lastBasis least reliable basis positions only, where they
// lie. That is 15,504 candidates instead of 118,755 for K = 29.
const (
	MaxOrder  = 5
	fullOrder = 4
	lastBasis = 20
)

// DecodeSoft returns the codeword that ordered-statistics decoding of the given
// order finds for the received values: soft[i] > 0 leans to bit 0, < 0 to bit
// 1, its magnitude is the reliability. It always returns a codeword.
//
// The number of candidates, Σ C(K, j) for j ≤ order and C(lastBasis, 5) for the
// fifth, does not depend on the values, and each costs the same: no early end tells how close the word was.
// Values are integers, so every platform finds the same word; their sum of
// magnitudes must stay below 2^31.
func (c *Code) DecodeSoft(soft *[CodeLength]int32, order int) Bits {
	order = max(0, min(order, MaxOrder))
	perm := byReliability(soft)
	basis, pivots := c.reduce(perm)
	var hard Bits
	for pos, i := range perm {
		hard = hard.Set(pos, uint64(uint32(soft[i])>>31))
	}
	// The codeword that agrees with every hard decision on the basis.
	diff := hard
	for r, p := range pivots {
		mask := -hard.Get(p)
		diff[0] ^= basis[r][0] & mask
		diff[1] ^= basis[r][1] & mask
	}
	s := newSearch(soft, perm)
	best := s.run(basis, diff, order)
	word := hard.Xor(best)
	var out Bits
	for pos, i := range perm {
		out = out.Set(i, word.Get(pos))
	}
	return out
}

// byReliability orders positions from the most to the least reliable, ties by
// position.
func byReliability(soft *[CodeLength]int32) (perm [CodeLength]int) {
	var keys [CodeLength]uint64
	for i, v := range soft {
		keys[i] = uint64(magnitude(v))<<7 | uint64(CodeLength-1-i)
	}
	slices.Sort(keys[:])
	for i, k := range keys {
		perm[CodeLength-1-i] = CodeLength - 1 - int(k&(CodeLength-1))
	}
	return perm
}

func magnitude(v int32) int32 {
	m := v >> 31
	return (v ^ m) - m
}

// reduce brings the generator, its columns in perm's order, to reduced row
// echelon form: pivots are the most reliable independent positions.
func (c *Code) reduce(perm [CodeLength]int) (rows []Bits, pivots []int) {
	rows = make([]Bits, c.k)
	for r, row := range c.rows {
		for pos, i := range perm {
			rows[r] = rows[r].Set(pos, row.Get(i))
		}
	}
	for pos := 0; len(pivots) < c.k; pos++ {
		n := len(pivots)
		r := n
		for r < c.k && rows[r].Get(pos) == 0 {
			r++
		}
		if r == c.k {
			continue
		}
		rows[n], rows[r] = rows[r], rows[n]
		for o := range rows {
			if o != n && rows[o].Get(pos) == 1 {
				rows[o] = rows[o].Xor(rows[n])
			}
		}
		pivots = append(pivots, pos)
	}
	return rows, pivots
}

// search walks the candidates. cost[b][v] is the sum of the magnitudes of the
// positions 8b… whose bits are set in v.
type search struct {
	cost [16][256]int32
	best Bits
	low  int32
}

func newSearch(soft *[CodeLength]int32, perm [CodeLength]int) *search {
	s := &search{low: 1<<31 - 1}
	for b := range s.cost {
		for v := 1; v < 256; v++ {
			bit := 0
			for v>>bit&1 == 0 {
				bit++
			}
			s.cost[b][v] = s.cost[b][v&(v-1)] + magnitude(soft[perm[8*b+bit]])
		}
	}
	return s
}

func (s *search) try(d Bits) {
	lo, hi := d[0], d[1]
	sum := s.cost[0][lo&255] + s.cost[1][lo>>8&255] + s.cost[2][lo>>16&255] + s.cost[3][lo>>24&255] +
		s.cost[4][lo>>32&255] + s.cost[5][lo>>40&255] + s.cost[6][lo>>48&255] + s.cost[7][lo>>56] +
		s.cost[8][hi&255] + s.cost[9][hi>>8&255] + s.cost[10][hi>>16&255] + s.cost[11][hi>>24&255] +
		s.cost[12][hi>>32&255] + s.cost[13][hi>>40&255] + s.cost[14][hi>>48&255] + s.cost[15][hi>>56]
	if sum < s.low {
		s.low, s.best = sum, d
	}
}

// run tries every sum of at most order rows added to d, and of five among the
// last rows.
func (s *search) run(rows []Bits, d Bits, order int) Bits {
	s.try(d)
	if order > 0 {
		s.walk(rows, 0, d, min(order, fullOrder))
	}
	if order > fullOrder {
		s.last(rows[max(0, len(rows)-lastBasis):], d, MaxOrder)
	}
	return s.best
}

// walk tries every sum of one to left rows from a first one on.
func (s *search) walk(rows []Bits, from int, d Bits, left int) {
	for r := from; r < len(rows); r++ {
		n := d.Xor(rows[r])
		s.try(n)
		if left > 1 {
			s.walk(rows, r+1, n, left-1)
		}
	}
}

// last tries every sum of exactly left rows.
func (s *search) last(rows []Bits, d Bits, left int) {
	for r := range len(rows) - left + 1 {
		n := d.Xor(rows[r])
		if left == 1 {
			s.try(n)
		} else {
			s.last(rows[r+1:], n, left-1)
		}
	}
}
