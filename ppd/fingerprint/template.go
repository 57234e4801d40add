package fingerprint

import (
	"math"
	"math/rand/v2"

	"github.com/keposs/keposs/core"
)

const (
	minStars     = 5  // found on the finger; the rest may be made up
	minFeatures  = 24 // left for the vault
	maxFeatures  = 36 // of one finger, and the share of the vault's degree
	offsetTrials = 64
)

// A Template is one finger's enrolment in the clear: it lives only while the
// helper is made. Wipe clears it.
type Template struct {
	stars []star
	codes []byte // the constellation as stored
	off   offset
	cells []int // distinct, best first, at most maxFeatures
}

// NewTemplate merges 2 to 5 captures of one finger and picks constellation, grid
// offset and features. What is missing is CaptureRefused with what to do.
func NewTemplate(captures []View, rng *rand.Rand) (*Template, error) {
	if len(captures) < MinCaptures || len(captures) > MaxCaptures {
		return nil, core.Errorf(core.Usage, "fingerprint: enrol", "%d captures, want %d to %d", len(captures), MinCaptures, MaxCaptures)
	}
	return templateOf(captures, rng)
}

// templateOf works with a single capture too: the enrolment's own test needs it.
func templateOf(captures []View, rng *rand.Rand) (*Template, error) {
	ps := make([][]point, len(captures))
	for i, v := range captures {
		ps[i] = points(v)
		defer clear(ps[i])
	}
	ms, err := merge(ps)
	if err != nil {
		return nil, err
	}
	defer clear(ms)
	return pick(ms, rng)
}

func pick(ms []merged, rng *rand.Rand) (*Template, error) {
	t := &Template{}
	rest := t.pickStars(ms, rng)
	defer clear(rest)
	if rest == nil {
		return nil, core.Errorf(core.CaptureRefused, "fingerprint: enrol", "too few clear features near the middle of the finger: place it more centrally, clean and dry, or use another finger")
	}
	best := -1.0
	for range offsetTrials {
		o := offset{uint8(rng.Uint32()), uint8(rng.Uint32()), uint8(rng.Uint32())}
		if cells, score := cellsOf(rest, o); score > best {
			best, t.off, t.cells = score, o, cells
		}
	}
	if len(t.cells) < minFeatures {
		return nil, core.Errorf(core.CaptureRefused, "fingerprint: enrol", "%d features where %d are needed: use another finger, or press a larger area on the reader", len(t.cells), minFeatures)
	}
	return t, nil
}

// pickStars takes the best-supported minutiae that keep starGap, spread over the
// finger so that a partial print still shows some, in random order: the order
// must not tell support. If too few are found the others are made up; nil if
// fewer than minStars. It returns the minutiae left for the vault.
func (t *Template) pickStars(ms []merged, rng *rand.Rand) (rest []merged) {
	rest = make([]merged, 0, len(ms))
	spread := make([]point, 0, starCount)
	defer clear(spread[:starCount])
	chosen := spread
	for _, m := range ms {
		if len(chosen) < starCount && math.Hypot(m.x, m.y) <= starRadius-starStep && farFrom(m.point, chosen) {
			chosen = append(chosen, m.point)
		} else {
			rest = append(rest, m)
		}
	}
	if len(chosen) < minStars {
		clear(rest)
		return nil
	}
	rng.Shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
	made := starCount - len(chosen)
	for i := range starCount {
		// A made-up star takes a random place among the real ones.
		if made > 0 && rng.IntN(starCount-i) < made {
			made--
			if code := t.madeUp(chosen, rng); code != nil {
				continue
			}
			clear(rest)
			return nil
		}
		s, code := encodeStar(t.stars, chosen[0], rng)
		chosen = chosen[1:]
		t.stars, t.codes = append(t.stars, s), append(t.codes, code...)
	}
	return rest
}

// madeUp appends a random star that leaves the coming ones their places.
func (t *Template) madeUp(coming []point, rng *rand.Rand) []byte {
	for range 1000 {
		v, dir := rng.IntN(1<<16), uint8(rng.Uint32())
		s := starAt(t.stars, v, dir)
		if farFrom(s.point(), coming) {
			code := []byte{byte(v >> 8), byte(v), dir}
			t.stars, t.codes = append(t.stars, s), append(t.codes, code...)
			return code
		}
	}
	return nil
}

func farFrom(p point, others []point) bool {
	for _, o := range others {
		if distance(p, o) < starGap+2*starStep { // rounding to the lattice must not bring them too close
			return false
		}
	}
	return true
}

// cellsOf quantises in order of support and scores an offset by how far the
// minutiae lie from borders, weighted by support.
func cellsOf(ms []merged, o offset) (cells []int, score float64) {
	seen := map[int]bool{}
	for _, m := range ms {
		if len(cells) == maxFeatures {
			break
		}
		id, margin := o.cell(m.point)
		if id < 0 || seen[id] {
			continue
		}
		seen[id] = true
		cells = append(cells, id)
		score += float64(m.support) * math.Min(margin, 6)
	}
	return cells, score
}

// Wipe clears the template.
func (t *Template) Wipe() {
	clear(t.stars)
	clear(t.codes)
	clear(t.cells)
}
