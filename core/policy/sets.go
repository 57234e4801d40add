package policy

import (
	"math/bits"
	"slices"

	"github.com/keposs/keposs/core"
)

// A table is the truth table of a subtree: bit x says whether the factors in
// the mask x open it. Trees are compiled through tables because their size is
// 2^labels whatever the tree looks like: no text makes compilation explode.
type table []uint64

func newTable(labels int) table { return make(table, max(1, (1<<labels)/64)) }

// eval returns n's table. A k-of-n gate is dynamic programming over its kids:
// at[j] holds where at least j kids are open.
func (t *Tree) eval(n *node) table {
	words := len(newTable(len(t.labels)))
	if n.leaf() {
		out, bit := newTable(len(t.labels)), uint(slices.Index(t.labels, n.label))
		for x := range 1 << len(t.labels) {
			out[x/64] |= uint64(x>>bit&1) << (x % 64)
		}
		return out
	}
	at := make([]table, n.k+1)
	for j := range at {
		at[j] = newTable(len(t.labels))
	}
	for w := range words {
		at[0][w] = ^uint64(0)
	}
	for _, c := range n.kids {
		kid := t.eval(c)
		for j := n.k; j > 0; j-- {
			for w := range words {
				at[j][w] |= at[j-1][w] & kid[w]
			}
		}
	}
	return at[n.k]
}

// compile finds the minimal sets: the masks that open the tree and stop doing
// so when any one factor is taken away.
func (t *Tree) compile(op string) error {
	f := t.eval(t.root)
	open := func(x int) bool { return f[x/64]>>(x%64)&1 == 1 }
	var used uint16
	for x := range 1 << len(t.labels) {
		if !open(x) {
			continue
		}
		minimal := true
		for rest := x; rest != 0 && minimal; rest &= rest - 1 {
			minimal = !open(x &^ (rest & -rest))
		}
		if !minimal {
			continue
		}
		if len(t.masks) == MaxSets {
			return core.Errorf(core.Policy, op, "more than %d ways to open the key; use fewer alternatives", MaxSets)
		}
		t.masks = append(t.masks, uint16(x))
		used |= uint16(x)
	}
	for i, l := range t.labels {
		if used>>i&1 == 0 {
			return core.Errorf(core.Policy, op, "factor %s is never needed: another way is always enough without it", l)
		}
	}
	// Canonical order: as lists of labels, lexicographically. Labels are
	// sorted, so the set that has the first differing label comes first. No
	// minimal set is a prefix of another.
	slices.SortFunc(t.masks, func(a, b uint16) int {
		if a == b {
			return 0
		}
		if first := (a ^ b) & -(a ^ b); a&first != 0 {
			return -1
		}
		return 1
	})
	return nil
}

// MinimalSets returns the minimal authorised sets, labels sorted within each,
// sets in lexicographic order. At least one, at most MaxSets.
func (t *Tree) MinimalSets() [][]string {
	out := make([][]string, len(t.masks))
	for i, m := range t.masks {
		out[i] = t.members(m)
	}
	return out
}

// Masks returns the minimal sets as bit masks over Labels(), in the order of
// MinimalSets: bit i stands for label i.
func (t *Tree) Masks() []uint16 { return slices.Clone(t.masks) }

func (t *Tree) members(m uint16) []string {
	out := make([]string, 0, bits.OnesCount16(m))
	for i, l := range t.labels {
		if m>>i&1 == 1 {
			out = append(out, l)
		}
	}
	return out
}

// Choose returns the minimal set to use when the given labels are at hand, and
// its index in MinimalSets: the one with the fewest factors, the first of
// equals. ok is false when they open nothing.
func (t *Tree) Choose(have []string) (set []string, index int, ok bool) {
	var h uint16
	for i, l := range t.labels {
		if slices.Contains(have, l) {
			h |= 1 << i
		}
	}
	index = -1
	for i, m := range t.masks {
		if m&^h == 0 && (index < 0 || bits.OnesCount16(m) < bits.OnesCount16(t.masks[index])) {
			index = i
		}
	}
	if index < 0 {
		return nil, -1, false
	}
	return t.members(t.masks[index]), index, true
}

// Authorised reports whether the labels hold a minimal set.
func (t *Tree) Authorised(have []string) bool {
	_, _, ok := t.Choose(have)
	return ok
}
