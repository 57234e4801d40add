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
	set := FaceProtection(SyntheticFaces(16, 9, 0, 5), face.Identity(128))
	if set.People < 12 {
		t.Fatalf("%d people of 16 are usable", set.People)
	}
	protect(t, set, func() (core.Source, error) { return face.New(nil) }, "")
}

// The attacks of one who knows the rotations fail on the shipped design and
// break each planted one.
func TestAttackFaces(t *testing.T) {
	testenv.NeedLevel(t, 1)
	rs, err := AttackFaces(context.Background(), SyntheticFaces(30, 9, 200, 5), face.Identity(128), func(int, int, string) {})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rs {
		own := i == len(rs)-1
		if (r.Broken == 0) != own || own && len(r.Findings) != 5 {
			t.Errorf("place %d: %+v", i+1, r)
		}
	}
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
