package fingerprint

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
)

// The constellation: stars on a lattice in a disc, no two closer than starGap.
const (
	starCount  = 8
	starGap    = 50  // pixels
	starRadius = 170 // pixels from the centre
	starStep   = 3   // pixels between lattice places
	starBytes  = 3   // place u16, direction u8
)

// A star is a place on the lattice, in pixels, and a direction in 256ths of a
// turn.
type star struct{ x, y, angle int }

func (s star) point() point {
	return point{x: float64(s.x), y: float64(s.y), a: turn / 256 * float64(s.angle)}
}

// Places are coded so that every u16 is a place and, by the priors, every place
// comes up about as often for random bytes as for fingers: a wrong key gives a
// constellation like any other. Each star's code depends on the stars before
// it, because places near those are no longer free.

// lattice holds every place with its weight, row by row.
var lattice = makeLattice()

type place struct{ x, y, weight int }

func makeLattice() (out []place) {
	const n = starRadius / starStep
	for j := -n; j <= n; j++ {
		for i := -n; i <= n; i++ {
			x, y := i*starStep, j*starStep
			if r := x*x + y*y; r < starRadius*starRadius {
				out = append(out, place{x, y, radialPrior[8*r/(starRadius*starRadius)]})
			}
		}
	}
	return out
}

// places visits the places still free, in order.
func places(before []star, visit func(p place) bool) {
	for _, p := range lattice {
		if freePlace(before, p.x, p.y) && !visit(p) {
			return
		}
	}
}

func freePlace(before []star, x, y int) bool {
	for _, s := range before {
		dx, dy := x-s.x, y-s.y
		if dx*dx+dy*dy < starGap*starGap {
			return false
		}
	}
	return true
}

func totalWeight(before []star) (sum int) {
	places(before, func(p place) bool { sum += p.weight; return true })
	return sum
}

// decodeStars turns any starCount·starBytes bytes into a constellation.
func decodeStars(b []byte) []star {
	out := make([]star, 0, starCount)
	for i := range starCount {
		v := int(binary.BigEndian.Uint16(b[starBytes*i:]))
		out = append(out, starAt(out, v, b[starBytes*i+2]))
	}
	return out
}

// starAt is the place whose interval of the total weight holds code v.
func starAt(before []star, v int, dir uint8) (s star) {
	target, sum := v*totalWeight(before)>>16, 0
	places(before, func(p place) bool {
		s = star{x: p.x, y: p.y}
		sum += p.weight
		return sum <= target
	})
	s.angle = decodeDirection(shares(before, s.x, s.y), dir)
	return s
}

// encodeStar finds the free place nearest to p and a random code of it.
func encodeStar(before []star, p point, rng *rand.Rand) (star, []byte) {
	total := totalWeight(before)
	best := math.Inf(1)
	var s star
	low, high, sum := 0, 0, 0
	places(before, func(l place) bool {
		// The first code at or above a share is its ceiling; a place too light
		// for any code is passed over.
		from, to := (sum<<16+total-1)/total, ((sum+l.weight)<<16+total-1)/total
		sum += l.weight
		if d := math.Hypot(p.x-float64(l.x), p.y-float64(l.y)); d < best && from < to {
			best, s, low, high = d, star{x: l.x, y: l.y}, from, to
		}
		return true
	})
	z := shares(before, s.x, s.y)
	dir := encodeDirection(z, p.a)
	s.angle = decodeDirection(z, dir)
	v := low + rng.IntN(high-low)
	return s, append(binary.BigEndian.AppendUint16(nil, uint16(v)), dir)
}

// decodeDirection is the angle of a code: shares of the sixteenths, linear
// within each.
func decodeDirection(z [16]uint8, code uint8) int {
	c := int(code)
	for i, w := range z {
		if c < int(w) {
			return 16*i + (32*c+16)/(2*int(w))
		}
		c -= int(w)
	}
	return 0 // never: the shares are 256 in all
}

func encodeDirection(z [16]uint8, a float64) uint8 {
	at := wrap(a)/turn*16 + 1e-9 // an angle that was decoded codes to its own sixteenth
	bin := min(15, int(at))
	code := 0
	for _, w := range z[:bin] {
		code += int(w)
	}
	w := int(z[bin])
	return uint8(code + min(w-1, int((at-float64(bin))*float64(w))))
}
