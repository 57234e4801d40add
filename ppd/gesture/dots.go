package gesture

import (
	"strconv"

	"github.com/keposs/keposs/core"
)

// A Path is a gesture: dots from 1, row by row from the upper left.
type Path []uint8

// Wipe zeroes the dots.
func (p Path) Wipe() { clear(p[:cap(p)]) }

// maxText is the longest text ParseDots looks at: 16 two-digit dots and dashes.
const maxText = 64

// ParseDots reads a typed gesture on a grid of 3 or 4 dots a side: "1-2-5-8",
// and for the 3×3 grid, where every dot is one digit, "1258" as well. It
// checks form and the rules of phones, and its errors never tell a dot. The
// caller wipes the path.
func ParseDots(grid int, text []byte) (Path, error) {
	const op = "gesture: dots"
	if grid != 3 && grid != 4 {
		return nil, core.Errorf(core.Invalid, op, "grid of side %d, want 3 or 4", grid)
	}
	if len(text) == 0 || len(text) > maxText {
		return nil, core.Errorf(core.Invalid, op, "type the dots as 1-2-5-8")
	}
	p := make(Path, 0, grid*grid)
	fail := func(format string, args ...any) (Path, error) {
		p.Wipe()
		return nil, core.Errorf(core.Invalid, op, format, args...)
	}
	joined := grid == 3
	for _, c := range text {
		joined = joined && c != '-'
	}
	for i := 0; i < len(text); {
		n, k := 0, 0
		for i < len(text) && text[i] >= '0' && text[i] <= '9' && (k == 0 || !joined) && k < 3 {
			n, i, k = n*10+int(text[i]-'0'), i+1, k+1
		}
		if k == 0 || k > 1 && text[i-k] == '0' {
			return fail("type the dots as 1-2-5-8")
		}
		if n < 1 || n > grid*grid {
			return fail("dots go from 1 to %d", grid*grid)
		}
		if len(p) == grid*grid {
			return fail("no dot may be used twice")
		}
		p = append(p, uint8(n))
		if !joined && i < len(text) {
			if text[i] != '-' || i+1 == len(text) {
				return fail("type the dots as 1-2-5-8")
			}
			i++
		}
	}
	if why := rule(grid, p); why != "" {
		return fail("%s", why)
	}
	return p, nil
}

// Text returns the canonical form, "1-2-5-8". The caller wipes it.
func (p Path) Text() []byte {
	out := make([]byte, 0, 3*len(p)) // enough: growing would leave a copy behind
	for i, d := range p {
		if i > 0 {
			out = append(out, '-')
		}
		out = strconv.AppendUint(out, uint64(d), 10)
	}
	return out
}

// Next reports the dots a finger touches when it is drawn from the end of p to
// dot: dot itself, preceded by those not yet visited that lie in between, as
// phones do. nil when dot was visited or is not on the grid.
func Next(grid int, p Path, dot uint8) []uint8 {
	if dot < 1 || int(dot) > grid*grid || visited(p, dot) {
		return nil
	}
	if len(p) == 0 {
		return []uint8{dot}
	}
	var out []uint8
	for _, d := range between(grid, p[len(p)-1], dot) {
		if !visited(p, d) {
			out = append(out, d)
		}
	}
	return append(out, dot)
}

// rule tells which rule of phones p breaks, "" if none.
func rule(grid int, p Path) string {
	for i, d := range p {
		if visited(p[:i], d) {
			return "no dot may be used twice"
		}
		if i == 0 {
			continue
		}
		for _, b := range between(grid, p[i-1], d) {
			if !visited(p[:i], b) {
				return "a line may not pass over a dot that is not yet used"
			}
		}
	}
	return ""
}

func visited(p Path, dot uint8) bool {
	for _, d := range p {
		if d == dot {
			return true
		}
	}
	return false
}

// between lists the dots on the straight line from a to b, without both.
func between(grid int, a, b uint8) []uint8 {
	x, y := int(a-1)%grid, int(a-1)/grid
	dx, dy := int(b-1)%grid-x, int(b-1)/grid-y
	n := gcd(abs(dx), abs(dy))
	if n < 2 {
		return nil
	}
	out := make([]uint8, 0, 2)
	for i := 1; i < n; i++ {
		out = append(out, uint8((y+i*dy/n)*grid+x+i*dx/n+1))
	}
	return out
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func abs(a int) int {
	if a < 0 {
		return -a
	}
	return a
}

// simple reports a weak shape: every line goes to a neighbouring dot and the
// direction changes at most half as often as there are lines. Straight lines,
// L, V, Z, N, U, C, S, M, W, O and the frame are such shapes.
func simple(grid int, p Path) bool {
	turns, px, py := 0, 0, 0
	for i := 1; i < len(p); i++ {
		dx := int(p[i]-1)%grid - int(p[i-1]-1)%grid
		dy := int(p[i]-1)/grid - int(p[i-1]-1)/grid
		if abs(dx) > 1 || abs(dy) > 1 {
			return false
		}
		if i > 1 && (dx != px || dy != py) {
			turns++
		}
		px, py = dx, dy
	}
	return turns <= (len(p)-1)/2
}
