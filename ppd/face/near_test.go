package face_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/keposs/keposs/ppd/face"
)

func noise(r *rand.Rand) (v [128]float64) {
	for i := range v {
		v[i] = r.NormFloat64()
	}
	return v
}

// The limit of Near is the 5 % quantile over random queries and helpers: a
// property of the code. Control: without whitening only.
func TestNearIsTheCodes(t *testing.T) {
	whitened := face.Identity(128)
	whitened.W = make([]float64, 128*128)
	for _, code := range []face.Code{face.Code29, face.Code36} {
		guarded, err := face.SketcherFor(code, face.Identity(128))
		if err != nil {
			t.Fatal(err)
		}
		free, err := face.SketcherFor(code, whitened)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(1, uint64(code)))
		near, all := 0, 800
		for range all {
			q := noise(r)
			var helper [face.HelperSize]byte
			for i := range helper {
				helper[i] = byte(r.Uint32())
			}
			w := guarded.Decode(&q, helper)
			if guarded.Near(&q, helper, w) {
				near++
			}
			if !free.Near(&q, helper, w) {
				t.Fatal("a calibrated camera's word is refused")
			}
		}
		// 40 expected, deviation 6.
		if near < 12 || near > 72 {
			t.Errorf("code %d: %d of %d random words are near, want one in twenty", code, near, all)
		}
	}
}

// A word that was found but lies far gives a secret of the right shape that has
// nothing in common with the enrolled one. Control: the same decoder without the
// limit opens the record.
func TestFarWordGivesAnotherSecret(t *testing.T) {
	guarded, err := face.SketcherFor(face.Code29, face.Identity(128))
	if err != nil {
		t.Fatal(err)
	}
	free, err := face.NewSketcher(face.Code29)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	var bind [32]byte
	far, near := 0, 0
	for range 200 {
		template, n := noise(r), noise(r)
		helper, right, err := free.Enrol(bytes.NewReader([]byte{1, 2, 3, 4, 5, 6, 7, 8}), &template, bind)
		if err != nil {
			t.Fatal(err)
		}
		word := free.Decode(&template, helper)
		q := template
		for i := range q {
			q[i] += 0.95 * n[i]
		}
		if !free.Finds(&q, helper, word) {
			continue
		}
		open, got := free.Recover(&q, helper, bind), guarded.Recover(&q, helper, bind)
		if !open.Equal(right) {
			t.Fatal("control: a word that was found does not open")
		}
		switch guarded.Near(&q, helper, word) {
		case true:
			near++
			if !got.Equal(right) {
				t.Error("a near word does not open")
			}
		case false:
			far++
			if got.Len() != right.Len() || got.Equal(right) {
				t.Error("a far word opens, or its secret has another shape")
			}
			equal := 0
			for i, b := range got.Bytes() {
				if b == right.Bytes()[i] {
					equal++
				}
			}
			if equal > 6 { // an eighth of one expected
				t.Errorf("%d bytes of a far word's secret agree with the enrolled one", equal)
			}
			if again := guarded.Recover(&q, helper, bind); !again.Equal(got) {
				t.Error("the same query gives another secret")
			}
		}
	}
	if far < 5 || near < 5 {
		t.Errorf("%d far and %d near words: too few to compare", far, near)
	}
}
