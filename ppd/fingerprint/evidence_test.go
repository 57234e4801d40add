package fingerprint

import (
	"crypto/rand"
	"math"
	mrand "math/rand/v2"
	"slices"
	"testing"

	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/ppd/fuzzy"
)

// middle is the inverse of cell, whatever the offset.
func TestMiddleOfCell(t *testing.T) {
	r := mrand.New(mrand.NewPCG(1, 1))
	for range 5 {
		o := offset{uint8(r.Uint32()), uint8(r.Uint32()), uint8(r.Uint32())}
		for id := range cellCount() {
			if got, margin := o.cell(o.middle(id)); got != id || margin < spacing/2-1e-6 {
				t.Fatalf("the middle of cell %d lies in cell %d, %.1f from a border", id, got, margin)
			}
		}
	}
}

// The share is reached by just as many cells as it says, for every number of them.
func TestEnoughIsExact(t *testing.T) {
	for covered := 1; covered <= 2*maxFeatures; covered++ {
		least := (55*covered + 99) / 100
		if !enough(least, covered) || enough(least-1, covered) {
			t.Errorf("%d covered cells: %d agreeing give %t and %d give %t, want true and false", covered, least, enough(least, covered), least-1, enough(least-1, covered))
		}
	}
	if enough(0, 0) {
		t.Error("a print that covers nothing is taken")
	}
}

// Twelve enrolled cells among the candidates are plain, eleven are not, and of
// two fingers each must show them: one finger's many do not stand for the other.
func TestPlain(t *testing.T) {
	cells := newCellMap(secret.Copy(make([]byte, 32)), 2)
	ids := func(n int) (out []int) {
		for i := range n {
			out = append(out, 7*i)
		}
		return out
	}
	for name, c := range map[string]struct {
		first, second int // enrolled cells among the candidates
		fingers       int
		want          bool
	}{
		"one finger":            {12, 0, 1, true},
		"one finger, too few":   {11, 0, 1, false},
		"two fingers":           {12, 12, 2, true},
		"the first alone":       {36, 11, 2, false},
		"the second alone":      {0, 36, 2, false},
		"nothing of one finger": {0, 0, 1, false},
	} {
		p := &plan{}
		for _, id := range ids(c.first) {
			p.elems = append(p.elems, cells.element(0, id))
		}
		for _, id := range ids(c.second) {
			p.elems = append(p.elems, cells.element(1, id))
		}
		a := &Attempt{k: 9, fingers: c.fingers, cells: cells}
		enrolled := [][]int{ids(36), ids(36)}[:c.fingers]
		if got := a.plain(p, enrolled); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}

// prints of a made-up finger: n minutiae in the disc, each seen with some noise.
func finger(r *mrand.Rand, n int) (ps []point) {
	for len(ps) < n {
		p := point{x: 400*r.Float64() - 200, y: 400*r.Float64() - 200, a: turn * r.Float64()}
		if p.x*p.x+p.y*p.y < 200*200 {
			ps = append(ps, p)
		}
	}
	return ps
}

func seen(r *mrand.Rand, ps []point) []point {
	out := make([]point, len(ps))
	for i, p := range ps {
		out[i] = point{x: p.x + 4*r.NormFloat64(), y: p.y + 4*r.NormFloat64(), a: wrap(p.a + 0.1*r.NormFloat64())}
	}
	return out
}

// pressed displaces a print as skin may be, by up to 20 pixels along each axis.
func pressed(ps []point) []point {
	out := slices.Clone(ps)
	for i, p := range ps {
		out[i].x += 20 * math.Sin(p.y/110)
		out[i].y -= 20 * math.Cos(p.x/130)
	}
	return out
}

// An open vault gives its secret to the enrolled finger, also where only half of
// it is seen, not to another, and not to a polynomial that is none of its own.
func TestJudge(t *testing.T) {
	r := mrand.New(mrand.NewPCG(2, 3))
	key := secret.Copy(make([]byte, 32))
	cells := newCellMap(key, 1)
	own := finger(r, 36)
	off := offset{9, 200, 77}
	var elems []uint16
	taken := map[int]bool{}
	for _, p := range own {
		if id, _ := off.cell(p); id >= 0 && !taken[id] {
			taken[id] = true
			elems = append(elems, cells.element(0, id))
		}
	}
	v, f, err := fuzzy.Lock(rand.Reader, elems, 9, 36, cells.isCell)
	if err != nil {
		t.Fatal(err)
	}
	a := &Attempt{k: 9, fingers: 1, vault: v, cells: cells}
	half := func(ps []point) (out []point) {
		for _, p := range ps {
			if p.x > -20 {
				out = append(out, p)
			}
		}
		return out
	}
	whole := seen(r, own)
	strange := finger(r, 60)
	moved := motion{r: 0.02, dx: 3, dy: -2}
	shown := append(slices.Clone(elems[:plainCells]), 1, 2, 3)
	for name, c := range map[string]struct {
		query []point
		elems []uint16 // candidates
		f     []uint16
		want  verdict
	}{
		"the finger":             {whole, nil, f, owner},
		"half of it":             {half(whole), nil, f, owner},
		"aligned a little off":   {moved.applyAll(whole), nil, f, owner},
		"pressed askew":          {pressed(whole), nil, f, owner},
		"another finger":         {strange, nil, f, stranger},
		"another, with nine":     {append(finger(r, 50), whole[:9]...), nil, f, stranger},
		"an accident":            {whole, nil, append([]uint16{f[0] ^ 1}, f[1:]...), accident},
		"a print beside the map": {[]point{{x: 900, y: 900}}, nil, f, stranger},
		"a sliver of the finger": {strange, shown, f, owner},
		"a sliver, too small":    {strange, shown[1:], f, stranger},
	} {
		p := &plan{elems: c.elems, sights: []sight{{query: c.query, off: off}}}
		if got := a.judge(p, c.f); got != c.want {
			held := func(e uint16) bool { return v.At(e) == fuzzy.Eval(f, e) }
			ids, _ := cells.enrolled(1, held)
			agree, covered := p.sights[0].compare(ids[0])
			t.Errorf("%s: verdict %d, want %d; %d of %d covered cells agree", name, got, c.want, agree, covered)
		}
	}
}
