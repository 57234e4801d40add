package gesture

import (
	"math/bits"
	"slices"
	"testing"
)

// countAll sums over (set of visited dots, last dot): a line to a dot is
// allowed when the dots it passes are in the set. It shares no code with rule.
func countAll(grid int) []uint64 {
	n := grid * grid
	over := make([][]uint32, n)
	for a := range n {
		over[a] = make([]uint32, n)
		for b := range n {
			for c := range n {
				ax, ay, bx, by, cx, cy := a%grid, a/grid, b%grid, b/grid, c%grid, c/grid
				cross := (bx-ax)*(cy-ay) - (by-ay)*(cx-ax)
				dot := (cx-ax)*(cx-bx) + (cy-ay)*(cy-by)
				if a != b && c != a && c != b && cross == 0 && dot < 0 {
					over[a][b] |= 1 << c
				}
			}
		}
	}
	ways := make([]uint64, n<<n)
	for a := range n {
		ways[(1<<a)*n+a] = 1
	}
	out := make([]uint64, n+1)
	for set := uint32(1); set < 1<<n; set++ {
		for last := range n {
			w := ways[int(set)*n+last]
			if w == 0 {
				continue
			}
			out[bits.OnesCount32(set)] += w
			for b := range n {
				if set>>b&1 == 0 && over[last][b]&^set == 0 {
					ways[int(set|1<<b)*n+b] += w
				}
			}
		}
	}
	return out
}

// countSimple draws every path of neighbouring dots. It counts turns as it
// goes, without asking simple.
func countSimple(grid int) []uint64 {
	n := grid * grid
	out := make([]uint64, n+1)
	var draw func(seen uint32, last, dots, turns, px, py int)
	draw = func(seen uint32, last, dots, turns, px, py int) {
		if turns <= (dots-1)/2 {
			out[dots]++
		}
		for dy := -1; dy <= 1; dy++ {
			for dx := -1; dx <= 1; dx++ {
				x, y := last%grid+dx, last/grid+dy
				if x < 0 || y < 0 || x >= grid || y >= grid || seen>>(y*grid+x)&1 == 1 {
					continue
				}
				t := turns
				if dots > 1 && (dx != px || dy != py) {
					t++
				}
				if t <= (n-1)/2 {
					draw(seen|1<<(y*grid+x), y*grid+x, dots+1, t, dx, dy)
				}
			}
		}
	}
	for a := range n {
		draw(1<<a, a, 1, 0, 0, 0)
	}
	return out
}

// req: G-7.4-04
func TestCounts(t *testing.T) {
	for _, grid := range []int{3, 4} {
		if got := countAll(grid); !slices.Equal(got, all[grid]) {
			t.Errorf("grid %d: all %v, table says %v", grid, got, all[grid])
		}
		if got := countSimple(grid); !slices.Equal(got, shapes[grid]) {
			t.Errorf("grid %d: simple %v, table says %v", grid, got, shapes[grid])
		}
	}
	var phones uint64
	for _, n := range all[3][4:] {
		phones += n
	}
	if phones != 389112 {
		t.Errorf("3×3 with 4 dots or more: %d, want the well-known 389112", phones)
	}
	// A 3×3 gesture alone stays below the level-2 bound, a 4×4 one passes.
	if n := Allowed(3, 4); n >= 1_000_000 {
		t.Errorf("3×3: %d", n)
	}
	if n := Allowed(4, 6); n <= 1_000_000 {
		t.Errorf("4×4: %d", n)
	}
}

// All 3×3 gestures one by one: the code's own rules give the same counts.
func TestRulesByEnumeration(t *testing.T) {
	got, weak := make([]uint64, 10), make([]uint64, 10)
	var draw func(p Path)
	draw = func(p Path) {
		for d := uint8(1); d <= 9; d++ {
			q := append(p[:len(p):len(p)], d)
			if rule(3, q) != "" {
				continue
			}
			got[len(q)]++
			if simple(3, q) {
				weak[len(q)]++
			}
			draw(q)
		}
	}
	draw(nil)
	if !slices.Equal(got, all[3]) || !slices.Equal(weak, shapes[3]) {
		t.Errorf("all %v, simple %v", got, weak)
	}
}
