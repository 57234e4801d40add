package gesture

import (
	"fmt"
	"math"

	"github.com/keposs/keposs/core"
)

// How many gestures of each number of dots the rules of phones allow, and how
// many of them are simple shapes. Counted by the tests: all by a sum over sets
// of visited dots, the simple ones by drawing each.
var (
	all = map[int][]uint64{
		3: {0, 9, 56, 320, 1624, 7152, 26016, 72912, 140704, 140704},
		4: {0, 16, 172, 1744, 16880, 154680, 1331944, 10690096, 79137824, 533427944, 3221413136,
			17068504632, 77129797424, 285415667080, 811404606344, 1577602537520, 1577602537520},
	}
	shapes = map[int][]uint64{
		3: {0, 9, 40, 160, 80, 296, 96, 240, 48, 64},
		4: {0, 16, 84, 408, 388, 2080, 1480, 7160, 4216, 17824, 8408, 29200, 12760, 33176, 10752, 15472, 2096},
	}
)

// Allowed counts the gestures of at least dots dots that the weak-shape rule
// leaves on a grid of 3 or 4 dots a side.
func Allowed(grid, dots int) (n uint64) {
	for d := dots; d < len(all[grid]); d++ {
		n += all[grid][d] - shapes[grid][d]
	}
	return n
}

// strengthOf is the strength of a gesture drawn uniformly from all those
// allowed; how many dots it has stays unknown.
func strengthOf(r Rules) core.Strength {
	n := Allowed(r.Grid, r.Min)
	bits := core.Millibits(math.Floor(1000 * math.Log2(float64(n))))
	return core.Strength{
		PerTry:   bits,
		Offline:  bits,
		Evidence: fmt.Sprintf("counted: %d gestures of %d dots or more on the %d×%d grid are left by the weak-shape rule (ppd/gesture, rules version %d); each is taken as equally likely; no measured distribution for this rule", n, r.Min, r.Grid, r.Grid, rulesVersion),
	}
}
