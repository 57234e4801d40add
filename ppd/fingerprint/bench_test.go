package fingerprint_test

import (
	"crypto/rand"
	mrand "math/rand/v2"
	"testing"

	"github.com/keposs/keposs/ppd/fingerprint"
	"github.com/keposs/keposs/ppd/ppdtest"
)

// A bench is an enrolled made-up finger with an impression of it and one of
// another.
type bench struct {
	sk         *fingerprint.Sketcher
	helper     []byte
	own, other []fingerprint.View
}

func newBench(b *testing.B) bench {
	b.Helper()
	gen := ppdtest.NewFingers(1)
	impression := func(finger, n int) []fingerprint.View {
		vs, err := fingerprint.ParseFMR(gen.Impression(finger, n))
		if err != nil {
			b.Fatal(err)
		}
		return vs
	}
	var captures []fingerprint.View
	for n := 1; n <= 3; n++ {
		captures = append(captures, impression(0, n)...)
	}
	sk, err := fingerprint.NewSketcher(fingerprint.Default)
	if err != nil {
		b.Fatal(err)
	}
	t, err := fingerprint.NewTemplate(captures, mrand.New(mrand.NewPCG(1, 2)))
	if err != nil {
		b.Fatal(err)
	}
	helper, _, _, err := sk.Enrol(rand.Reader, key(1), []*fingerprint.Template{t})
	if err != nil {
		b.Fatal(err)
	}
	return bench{sk, helper, impression(0, 4), impression(7, 1)}
}

func (x bench) prepare(b *testing.B, v []fingerprint.View) *fingerprint.Attempt {
	a, err := x.sk.Prepare(key(1), x.helper, v)
	if err != nil {
		b.Fatal(err)
	}
	return a
}

// BenchmarkAlign is what comes before a search: the map of cells, the
// constellation, the motions and their candidates.
func BenchmarkAlign(b *testing.B) {
	x := newBench(b)
	for b.Loop() {
		x.prepare(b, x.own).Wipe()
	}
}

// BenchmarkMatch is a search that opens the vault and judges the print.
func BenchmarkMatch(b *testing.B) {
	x := newBench(b)
	a := x.prepare(b, x.own)
	rng := mrand.New(mrand.NewPCG(3, 4))
	for b.Loop() {
		if a.Search(rng, 1<<fingerprint.DefaultWork, nil).F == nil {
			b.Fatal("the finger's own print does not open")
		}
	}
}

// BenchmarkRefuse is a search of 2²³ draws that finds nothing, on one core.
func BenchmarkRefuse(b *testing.B) {
	x := newBench(b)
	a := x.prepare(b, x.other)
	rng := mrand.New(mrand.NewPCG(5, 6))
	for b.Loop() {
		if a.Search(rng, 1<<fingerprint.DefaultWork, nil).F != nil {
			b.Fatal("another finger's print opens")
		}
	}
}
