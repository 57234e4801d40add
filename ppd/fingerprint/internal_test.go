package fingerprint

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math"
	mrand "math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"testing"

	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/internal/testenv"
)

// auc is the chance that a value of a exceeds one of b, ties halved.
func auc(a, b []float64) float64 {
	var s float64
	for _, x := range a {
		for _, y := range b {
			if x > y {
				s++
			} else if x == y {
				s += 0.5
			}
		}
	}
	return s / float64(len(a)*len(b))
}

func realTemplates(t *testing.T) (out []*Template) {
	t.Helper()
	for _, set := range []string{"fvc2002_db1b", "fvc2002_db2b", "neuro_uareu"} {
		dir := testenv.Data(t, "fingerprint", set)
		first, err := filepath.Glob(filepath.Join(dir, "*_1.fmr"))
		if err != nil {
			t.Fatal(err)
		}
		sort.Strings(first)
		for i, f := range first {
			var caps []View
			for _, n := range "123" {
				b, err := os.ReadFile(f[:len(f)-5] + string(n) + ".fmr")
				if err != nil {
					t.Fatal(err)
				}
				v, err := ParseFMR(b)
				if err != nil {
					t.Fatal(err)
				}
				caps = append(caps, v[0])
			}
			tp, err := NewTemplate(caps, mrand.New(mrand.NewPCG(uint64(i), 5)))
			if err == nil {
				out = append(out, tp)
			}
		}
	}
	return out
}

// A helper unmasked with a wrong key looks like one unmasked with the right key
// (key-schedule, attack test 13): on real fingers no figure of its constellation separates them. Control:
// places and directions stored plainly are told apart at once.
func TestWrongKeyPlausible(t *testing.T) {
	ts := realTemplates(t)
	r := mrand.New(mrand.NewPCG(3, 3))
	right, wrong, plain := map[string][]float64{}, map[string][]float64{}, map[string][]float64{}
	add := func(to map[string][]float64, stars []star) {
		for k, v := range plausibility(stars) {
			to[k] = append(to[k], v)
		}
	}
	for _, tp := range ts {
		add(right, decodeStars(tp.codes))
	}
	for range 600 {
		b := make([]byte, starCount*starBytes)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		add(wrong, decodeStars(b))
		naive := make([]star, starCount)
		for i := range naive {
			naive[i] = star{x: r.IntN(341) - 170, y: r.IntN(341) - 170, angle: r.IntN(256)}
		}
		add(plain, naive)
	}
	// Three standard errors of an AUC of 0.5 with n records on the small side.
	limit := 3 * math.Sqrt(1.0/12/float64(len(ts)))
	control := 0.0
	for k := range right {
		if d := math.Abs(auc(right[k], wrong[k]) - 0.5); d > limit {
			t.Errorf("%s tells right from wrong keys: AUC 0.5 ± %.3f, limit %.3f", k, d, limit)
		}
		control = math.Max(control, math.Abs(auc(right[k], plain[k])-0.5))
	}
	if control < 0.4 {
		t.Errorf("control: plainly stored constellations are told apart with AUC 0.5 ± %.3f only", control)
	}
}

// Any bytes are a constellation within the rules, and coding what they decode to
// gives it back.
func TestStarCode(t *testing.T) {
	r := mrand.New(mrand.NewPCG(4, 4))
	for range 200 {
		b := make([]byte, starCount*starBytes)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		stars := decodeStars(b)
		for i, s := range stars {
			if s.x*s.x+s.y*s.y >= starRadius*starRadius || !freePlace(stars[:i], s.x, s.y) {
				t.Fatalf("star %d of %v breaks the rules", i, stars)
			}
			again, _ := encodeStar(stars[:i], s.point(), r)
			if again.x != s.x || again.y != s.y || apart(again.point().a, s.point().a) > turn/256*1.01 {
				t.Fatalf("star %v is coded as %v", s, again)
			}
		}
	}
	for x := -170; x <= 170; x += 17 {
		sum := 0
		for _, w := range shares([]star{{30, 40, 17}, {-60, 0, 200}}, x, -x/2) {
			sum += int(w)
		}
		if sum != 256 {
			t.Fatalf("shares at %d sum to %d", x, sum)
		}
	}
}

// Stored forms never change: a constellation from counting bytes, the first
// elements of a cell map, and a secret.
func TestGolden(t *testing.T) {
	b := make([]byte, starCount*starBytes)
	for i := range b {
		b[i] = byte(11 * i)
	}
	key := secret.Copy(make([]byte, 32))
	m := newCellMap(key, 1)
	sk := &Sketcher{Default}
	sec := sk.secretOf([]uint16{1, 2, 3, 4, 5, 6, 7})
	got := fmt.Sprint(decodeStars(b), m.elem[:4], len(m.elem), " ", hex.EncodeToString(sec.Bytes()))
	if got != golden {
		t.Errorf("%s", got)
	}
}

const golden = "[{0 -168 21} {-36 -75 14} {-159 -24 44} {45 -3 173} {-45 33 130} {-102 63 157} {54 84 199} {6 114 253}] [42037 32934 55159 28434] 4376 21d03b5b8ddf711f3ebaebb9f84493e5d1375cccc45e16436a7f02da4184cde0"

// Cells of a map are distinct and not zero, and another key gives another map.
func TestCellMap(t *testing.T) {
	a, b := newCellMap(secret.Copy(make([]byte, 32)), 2), newCellMap(secret.Own([]byte("another key of thirty-two bytes.")), 2)
	seen := map[uint16]bool{0: true}
	same := 0
	for i, e := range a.elem {
		if seen[e] || !a.isCell(e) {
			t.Fatalf("element %04x twice or not a cell", e)
		}
		seen[e] = true
		if b.elem[i] == e {
			same++
		}
	}
	if len(a.elem) != 2*cellCount() || same > 5 {
		t.Errorf("%d cells, %d the same under another key", len(a.elem), same)
	}
}

// A point's chances over cells are those of one point: they sum to about one
// inside the disc, and its own cell leads when it lies in the middle.
func TestSpread(t *testing.T) {
	r := mrand.New(mrand.NewPCG(6, 6))
	for range 500 {
		p := point{x: r.Float64()*200 - 100, y: r.Float64()*200 - 100, a: r.Float64() * turn}
		o := offset{uint8(r.Uint32()), uint8(r.Uint32()), uint8(r.Uint32())}
		id, margin := o.cell(p)
		sum, best, at := 0.0, 0.0, -1
		o.spread(p, scatter, func(c int, v float64) {
			sum += v
			if v > best {
				best, at = v, c
			}
		})
		if sum < 0.85 || sum > 1.25 {
			t.Fatalf("chances sum to %.2f", sum)
		}
		if margin > 5 && at != id {
			t.Fatalf("cell %d, the likeliest is %d with a margin of %.1f", id, at, margin)
		}
	}
}

// Alignment finds a known motion.
func TestAlign(t *testing.T) {
	r := mrand.New(mrand.NewPCG(7, 7))
	var a []point
	for range 40 {
		a = append(a, point{x: r.Float64() * 300, y: -r.Float64() * 400, a: r.Float64() * turn, quality: 50})
	}
	want := motion{r: 0.3, dx: 40, dy: -25}
	got, pairs := align(a, want.applyAll(a))
	if len(pairs) != len(a) || apart(got.r, want.r) > 1e-6 || math.Hypot(got.dx-want.dx, got.dy-want.dy) > 1e-3 {
		t.Errorf("%+v with %d pairs, want %+v", got, len(pairs), want)
	}
	back := inverse(want)
	for i, p := range back.applyAll(want.applyAll(a)) {
		if distance(p, a[i]) > 1e-9 {
			t.Fatal("the inverse does not undo the motion")
		}
	}
}

// req: X-22
// Two stored records of one finger are unlinkable, in the clear they are linked
// (control). As stored means under core/mf's mask, here fresh bytes.
func TestUnlinkable(t *testing.T) {
	ts := realTemplates(t)
	if len(ts) > 40 {
		ts = ts[:40]
	}
	sk := &Sketcher{Default}
	var clear, stored [2][]float64
	for i, tp := range ts {
		again := ts[(i+1)%len(ts)]
		a, own, other := sealed(t, sk, tp), sealed(t, sk, tp), sealed(t, sk, again)
		clear[0], clear[1] = append(clear[0], Link(a, own)), append(clear[1], Link(a, other))
		stored[0], stored[1] = append(stored[0], Link(mask(t, a), mask(t, own))), append(stored[1], Link(mask(t, a), mask(t, other)))
	}
	if got := auc(clear[0], clear[1]); got < 0.95 {
		t.Errorf("control: in the clear AUC %.2f only", got)
	}
	if d := math.Abs(auc(stored[0], stored[1]) - 0.5); d > 3*math.Sqrt(1.0/6/float64(len(ts))) {
		t.Errorf("as stored AUC 0.5 ± %.2f", d)
	}
}

func sealed(t *testing.T, sk *Sketcher, tp *Template) []byte {
	t.Helper()
	key, err := secret.Read(rand.Reader, 32)
	if err != nil {
		t.Fatal(err)
	}
	h, sec, _, err := sk.Enrol(rand.Reader, key, []*Template{tp})
	if err != nil {
		t.Fatal(err)
	}
	sec.Wipe()
	return h
}

func mask(t *testing.T, h []byte) []byte {
	t.Helper()
	b := make([]byte, len(h))
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	for i := range b {
		b[i] ^= h[i]
	}
	return b
}

// FuzzPrepare: any helper and any record give an attempt or a typed error.
func FuzzPrepare(f *testing.F) {
	f.Add(make([]byte, 99), []byte("FMR\x00 20\x00"))
	f.Fuzz(func(t *testing.T, helper, record []byte) {
		vs, err := ParseFMR(record)
		if err != nil {
			vs = []View{{DPCMx: 197, DPCMy: 197}}
		}
		sk := &Sketcher{Default}
		a, err := sk.Prepare(secret.Copy(make([]byte, 32)), helper, vs[:1])
		if (err == nil) != (len(helper) == Default.HelperSize()) {
			t.Fatalf("helper of %d bytes: %v", len(helper), err)
		}
		if err == nil {
			a.Search(mrand.New(mrand.NewPCG(1, 1)), 1000, nil)
			a.Wipe()
		}
	})
}
