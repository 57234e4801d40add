package lab_test

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/ppd/face"
	"github.com/keposs/keposs/ppd/lab"
)

// crowd is single captures of 64 values around a common direction, the first
// values wider than the last, as embeddings of one camera are.
func crowd(people int) *lab.FaceSet {
	r := rand.New(rand.NewPCG(8, 8))
	set := &lab.FaceSet{Name: "crowd", Dim: 64}
	for i := range people {
		v := make([]float64, 64)
		for j := range v {
			v[j] = 0.5 + r.NormFloat64()*(3-2.5*float64(j)/64)
		}
		set.People = append(set.People, lab.Person{ID: strconv.Itoa(i), Captures: [][]float64{v}})
	}
	return set
}

// A calibrated profile is the same each time, survives its file, takes the mean
// away and evens the spreads out; too few captures are refused.
func TestCalibrate(t *testing.T) {
	set := crowd(600)
	p, err := lab.Calibrate(set, "model-1")
	if err != nil {
		t.Fatal(err)
	}
	again, err := lab.Calibrate(set, "model-1")
	if err != nil || again.Hash() != p.Hash() {
		t.Errorf("the same crowd gives another profile: %v", err)
	}
	var file bytes.Buffer
	if err := face.WriteProfile(&file, p); err != nil {
		t.Fatal(err)
	}
	read, err := face.ReadProfile(file.Bytes())
	if err != nil || read.Hash() != p.Hash() || read.Model != "model-1" {
		t.Errorf("written and read again: %v", err)
	}
	spread := func(p *face.Profile) (mean, ratio float64) {
		var first, last float64
		sum := make([]float64, 64)
		for _, who := range set.People {
			open := *p
			open.NormP10 = 0
			s, err := face.Accept(&open, who.Captures[0], nil)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range s.Z {
				sum[i] += v / float64(len(set.People))
			}
			for i := range 8 {
				first += s.Z[i] * s.Z[i]
				last += s.Z[63-i] * s.Z[63-i]
			}
		}
		return face.Cosine(sum, sum), first / last
	}
	rawMean, rawRatio := spread(face.Identity(64))
	mean, ratio := spread(p)
	if mean > rawMean/4 || ratio > rawRatio/2 {
		t.Errorf("mean %.4f was %.4f, spread %.2f was %.2f: nothing was evened out", mean, rawMean, ratio, rawRatio)
	}
	refused := 0
	for _, who := range set.People {
		if _, err := face.Accept(p, who.Captures[0], nil); core.CodeOf(err) == core.CaptureRefused {
			refused++
		}
	}
	if refused < 55 || refused > 65 {
		t.Errorf("the norm gate refuses %d of 600, want a tenth", refused)
	}
	if _, err := lab.Calibrate(crowd(255), "m"); core.CodeOf(err) != core.Invalid {
		t.Errorf("255 captures for 64 values: %v", err)
	}
}
