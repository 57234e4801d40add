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
	for name, c := range map[string]struct {
		query []point
		f     []uint16
		want  verdict
	}{
		"the finger":             {whole, f, owner},
		"half of it":             {half(whole), f, owner},
		"aligned a little off":   {moved.applyAll(whole), f, owner},
		"pressed askew":          {pressed(whole), f, owner},
		"another finger":         {strange, f, stranger},
		"another, with nine":     {append(finger(r, 50), whole[:9]...), f, stranger},
		"an accident":            {whole, append([]uint16{f[0] ^ 1}, f[1:]...), accident},
		"a print beside the map": {[]point{{x: 900, y: 900}}, f, stranger},
	} {
		p := &plan{sights: []sight{{query: c.query, off: off}}}
		if got := a.judge(p, c.f); got != c.want {
			held := func(e uint16) bool { return v.At(e) == fuzzy.Eval(f, e) }
			ids, _ := cells.enrolled(1, held)
			agree, covered := p.sights[0].compare(ids[0])
			t.Errorf("%s: verdict %d, want %d; %d of %d covered cells agree", name, got, c.want, agree, covered)
		}
	}
}
