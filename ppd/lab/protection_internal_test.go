package lab

import (
	"context"
	"crypto/rand"
	mrand "math/rand/v2"
	"slices"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/internal/testenv"
	"github.com/keposs/keposs/ppd/face"
	"github.com/keposs/keposs/ppd/fingerprint"
	"github.com/keposs/keposs/ppd/fuzzy"
	"github.com/keposs/keposs/ppd/ppdtest"
)

func elements(r *mrand.Rand, n int) (out []uint16) {
	for len(out) < n {
		if e := uint16(r.Uint32()); e != 0 && !slices.Contains(out, e) {
			out = append(out, e)
		}
	}
	return out
}

// The record-multiplicity attack opens two vaults that share features as
// field elements (control), and none that a key of its own has permuted.
func TestRecordMultiplicity(t *testing.T) {
	r := mrand.New(mrand.NewPCG(1, 1))
	lock := func(features []uint16) fuzzy.Vault {
		v, _, err := fuzzy.Lock(rand.Reader, features, 9, 36, nil)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for shared := 22; shared <= 28; shared += 2 {
		all := elements(r, shared+2*(36-shared))
		common := all[:shared]
		a, b := lock(all[:36]), lock(append(slices.Clone(common), all[36:]...))
		got := sharedFeatures(a, b, 9)
		if len(got) != shared || !subset(got, common) {
			t.Errorf("control: %d shared features, the attack found %d", shared, len(got))
		}
		if got := sharedFeatures(a, lock(elements(r, 36)), 9); got != nil {
			t.Errorf("unrelated vaults: %d features found", len(got))
		}
	}
}

func subset(a, b []uint16) bool {
	return !slices.ContainsFunc(a, func(e uint16) bool { return !slices.Contains(b, e) })
}

// Each planted fault is found by the finding that names it; the source as it is
// has none, and is ranked last.
func TestProtectionFingers(t *testing.T) {
	t.Parallel()
	testenv.NeedLevel(t, 1) // two minutes of answer times
	fingers, err := SyntheticFingers(12, 8, 2)
	if err != nil {
		t.Fatal(err)
	}
	set := FingerProtection(fingers)
	set.Plausible = nil // the priors are real fingers'
	protect(t, set, func() (core.Source, error) {
		return fingerprint.New(&fingerprint.Options{Work: 21})
	}, "planted: helpers stored without mask")
}

// The suite serves another source unchanged.
func TestProtectionFaces(t *testing.T) {
	t.Parallel()
	gen := ppdtest.NewFaces(128, 5)
	set := ProtectionSet{Name: "synthetic", Kind: core.SampleFaceEmbedding, People: 12, Takes: 12,
		Sample: func(person, take int) []byte { return face.EncodeRaw(gen.Capture(person, take)) },
		Morph: func(a, b []byte, share float64) []byte {
			x, _, errX := face.ParseSample(a, 128)
			y, _, errY := face.ParseSample(b, 128)
			if errX != nil || errY != nil {
				t.Error(errX, errY)
				return a
			}
			for i := range x[0] {
				x[0][i] += share * (y[0][i] - x[0][i])
			}
			return face.EncodeRaw(x[0])
		}}
	protect(t, set, func() (core.Source, error) { return face.New(nil) }, "")
}

func protect(t *testing.T, set ProtectionSet, open func() (core.Source, error), ownFault string) {
	t.Helper()
	rs, err := Protect(context.Background(), set, ProtectionOptions{Open: open, Control: true, Records: 3, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	finds := map[string]string{}
	for _, p := range planted() {
		finds[p.name] = p.finds
	}
	for _, r := range rs {
		broken := map[string]bool{}
		for _, f := range r.Findings {
			if f.Broken {
				broken[f.Name] = true
			}
		}
		switch want, bad := finds[r.Source]; {
		case !bad && r.Broken != 0:
			t.Errorf("the source itself: %+v", r.Findings)
		case r.Source == "planted: helpers stored without mask" && ownFault == "":
			// Helpers of this source are uniform and unlinked without it, too.
		case bad && !broken[want]:
			t.Errorf("%s: %q not broken: %+v", r.Source, want, r.Findings)
		}
	}
	if rs[0].Broken == 0 || rs[len(rs)-1].Broken != 0 {
		t.Errorf("ranking: %d first, %d last", rs[0].Broken, rs[len(rs)-1].Broken)
	}
}
