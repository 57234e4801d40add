package lab

import (
	"context"
	"fmt"
	"sort"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/ppd/face"
	"github.com/keposs/keposs/ppd/fuzzy"
)

// FaceProtection makes a protection set of the identities of set that can enrol
// with five captures and have two more that agree under profile p. It suits any
// source that takes raw embeddings of the set's dimension.
func FaceProtection(set *FaceSet, p *face.Profile) ProtectionSet {
	const least = face.MaxCaptures + 2
	var people [][][]float64
	for _, who := range set.People {
		if !who.Impostor && len(who.Captures) >= least && agreeing(p, who.Captures[:least]) {
			people = append(people, who.Captures[:least])
		}
	}
	out := ProtectionSet{Name: set.Name, Kind: core.SampleFaceEmbedding, People: len(people), Takes: least,
		Sample: func(person, take int) []byte { return face.EncodeRaw(people[person][take%least]) },
		Morph:  func(a, b []byte, share float64) []byte { return morphFace(a, b, share, set.Dim) }}
	if code, err := fuzzy.NewCode(21); err == nil {
		out.Plausible = func(helper []byte) map[string]float64 { return nearestWord(code, helper) }
	}
	return out
}

// agreeing tells whether the enrolment and the two captures kept for recovery
// would be taken: a refusal of captures says nothing about templates.
func agreeing(p *face.Profile, captures [][]float64) bool {
	open := ungated(p)
	var shots []face.Shot
	for _, c := range captures {
		s, err := face.Accept(open, c, shots)
		if err != nil {
			return false
		}
		shots = append(shots, s)
	}
	last := len(shots) - 2
	return face.Agree(shots[:last]) >= face.WarnEnrol && face.Agree(shots[last:]) >= face.MinMutual
}

// morphFace walks on the straight line from a to b.
func morphFace(a, b []byte, share float64, dim int) []byte {
	x, _, errX := face.ParseSample(a, dim)
	y, _, errY := face.ParseSample(b, dim)
	if errX != nil || errY != nil {
		return a
	}
	for i := range x[0] {
		x[0][i] += share * (y[0][i] - x[0][i])
	}
	return face.EncodeRaw(x[0])
}

// nearestWord is how far a helper lies from the code. The right helper of a
// design that leaves signs or words bare would stand out.
func nearestWord(code *fuzzy.Code, helper []byte) map[string]float64 {
	if len(helper) < face.HelperSize {
		return nil
	}
	x := fuzzy.BitsOf([face.HelperSize]byte(helper[:face.HelperSize]))
	var soft [fuzzy.CodeLength]int32
	for i := range soft {
		soft[i] = 1_000_000 * (1 - 2*int32(x.Get(i)))
	}
	return map[string]float64{"nearest word": float64(code.DecodeSoft(&soft, 3).Xor(x).Weight())}
}

// A faceAttack is one attack on stored designs and where it must fail or work.
type faceAttack struct {
	source, finds string
	run           func() (value float64, detail string, err error)
	limit         float64
}

const (
	invertPeople = 4    // templates the inversion is tried on
	linkPairs    = 1200 // the estimate of D_sys zero is about 0.03 for so many
	galleryLimit = 0.05 // of the records; 1,000 rows at 2^-17 open 0.8 %
	cosineLimit  = 0.4  // 4.5 deviations of a random direction of 128 values
	dsysLimit    = 0.05 // design page biometrics
)

// AttackFaces runs the attacks of docs/faces.md on templates of set: rebuilding
// the template from 1, 4 and 32 records, linking records, and opening them with
// every row of the impostor identities, on the shipped design and on planted
// ones, the weakest first. The attacker knows every rotation.
func AttackFaces(ctx context.Context, set *FaceSet, p *face.Profile, progress func(done, total int, what string)) ([]ProtectionResult, error) {
	pairs, rows := attackFaces(set, p)
	if len(pairs) < invertPeople {
		return nil, core.Errorf(core.Invalid, "lab: face attacks", "%d identities with 6 captures, want %d at least", len(pairs), invertPeople)
	}
	const shipped = "the stored face, rotations known"
	var list []faceAttack
	invert := func(source string, d FaceDesign, records int) {
		list = append(list, faceAttack{source, fmt.Sprintf("inversion, %d", records), func() (float64, string, error) {
			v, err := invertWorst(d, pairs, records)
			return v, fmt.Sprintf("highest cosine to the template of %d people", invertPeople), err
		}, cosineLimit})
	}
	link := func(source string, d FaceDesign) {
		list = append(list, faceAttack{source, "linkability", func() (float64, string, error) {
			v, err := LinkFaces(d, pairs, max(1, linkPairs/len(pairs)))
			return v, "D_sys by information-set decoding", err
		}, dsysLimit})
	}
	gallery := func(source string, t int) {
		list = append(list, faceAttack{source, "false accepts", func() (float64, string, error) {
			var first [][]float64
			for _, p := range pairs {
				first = append(first, p[0])
			}
			v, err := SearchFaces(first, rows, t, fuzzy.MaxOrder)
			return v, fmt.Sprintf("share of %d records opened by %d rows of others", len(first), len(rows)), err
		}, galleryLimit})
	}
	for _, n := range []int{1, 4, 32} {
		invert(shipped, DesignShipped, n)
	}
	link(shipped, DesignShipped)
	gallery(shipped, 21)
	invert("planted: selected projections", DesignReliable, 1)
	invert("planted: plain signs", DesignPlainBits, 1)
	invert("planted: a public mask", DesignMask, 8)
	invert("planted: a repetition code", DesignRepeated, 32)
	link("planted: one rotation for all", DesignFixed)
	gallery("planted: a code of 8 bits", 31)
	var out []ProtectionResult
	for i, a := range list {
		if ctx.Err() != nil {
			return nil, core.Errorf(core.Canceled, "lab: face attacks", "%w", ctx.Err())
		}
		progress(i, len(list), a.source+": "+a.finds)
		value, detail, err := a.run()
		if err != nil {
			return nil, err
		}
		if len(out) == 0 || out[len(out)-1].Source != a.source {
			out = append(out, ProtectionResult{Source: a.source, Data: set.Name, People: len(pairs), Records: 1})
		}
		r := &out[len(out)-1]
		r.Findings = append(r.Findings, ProtectionFinding{a.finds, value, a.limit, !(value <= a.limit), detail})
		r.Broken += count(!(value <= a.limit))
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Broken > out[j].Broken })
	return out, nil
}

// attackFaces gives two templates a person, from captures apart, and one row of
// every other identity.
func attackFaces(set *FaceSet, p *face.Profile) (pairs [][2][]float64, rows [][]float64) {
	open := ungated(p)
	for _, who := range set.People {
		var shots []face.Shot
		for _, c := range who.Captures {
			if s, err := face.Accept(open, c, nil); err == nil {
				shots = append(shots, s)
			}
		}
		n := len(shots) / 2
		switch {
		case who.Impostor && len(shots) > 0:
			rows = append(rows, shots[0].Z)
		case n >= 3:
			pairs = append(pairs, [2][]float64{face.Fuse(shots[:n]), face.Fuse(shots[n:])})
		}
	}
	return pairs, rows
}

// invertWorst is the highest cosine over some people.
func invertWorst(d FaceDesign, pairs [][2][]float64, records int) (worst float64, err error) {
	for p := range invertPeople {
		var stored []StoredFace
		for n := range records {
			r, err := StoreFace(d, pairs[p][n%2], uint64(100*p+n+1))
			if err != nil {
				return 0, err
			}
			stored = append(stored, r)
		}
		cos, err := InvertFace(stored, pairs[p][0])
		if err != nil {
			return 0, err
		}
		worst = max(worst, cos)
	}
	return worst, nil
}
