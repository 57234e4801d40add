package lab

import (
	"slices"
	"sort"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/ppd/fingerprint"
	"github.com/keposs/keposs/ppd/fuzzy"
)

// FingerProtection makes a protection set of fingers, with the attacks known on
// this source's helpers.
func FingerProtection(set *FingerSet) ProtectionSet {
	takes := make([][]fingerprint.View, len(set.Fingers))
	most := 0
	for i, f := range set.Fingers {
		var at []int
		for n := range f.Impressions {
			at = append(at, n)
		}
		sort.Ints(at)
		for _, n := range at {
			takes[i] = append(takes[i], f.Impressions[n])
		}
		most = max(most, len(at))
	}
	return ProtectionSet{
		Name: set.Name, Kind: core.SampleISOFMR, People: len(set.Fingers), Takes: most,
		Sample: func(person, take int) []byte {
			v := takes[person]
			return recordOf(v[take%len(v)])
		},
		Morph: morphFinger,
		Link:  fingerprint.Link,
		Plausible: func(helper []byte) map[string]float64 {
			return fingerprint.Plausibility(helper)
		},
		Multiplicity: func(a, b []byte) bool {
			const size = 2 * 36
			if len(a) < size || len(b) < size {
				return false
			}
			v, errV := fuzzy.VaultOf(a[len(a)-size:])
			w, errW := fuzzy.VaultOf(b[len(b)-size:])
			return errV == nil && errW == nil && len(sharedFeatures(v, w, fingerprint.Default.K)) > 0
		},
	}
}

// recordOf writes a view that came from a record.
func recordOf(v fingerprint.View) []byte {
	b, err := fingerprint.WriteFMR([]fingerprint.View{v})
	if err != nil {
		return nil // refused by the source as no record
	}
	return b
}

// morphFinger takes a share of the minutiae of b, the best by order, and the
// rest from a.
func morphFinger(a, b []byte, share float64) []byte {
	va, errA := fingerprint.ParseFMR(a)
	vb, errB := fingerprint.ParseFMR(b)
	if errA != nil || errB != nil {
		return a
	}
	x, y := va[0], vb[0]
	out := y
	out.Width, out.Height = max(x.Width, y.Width), max(x.Height, y.Height)
	own, rest := int(share*float64(len(y.Minutiae))+0.5), int((1-share)*float64(len(x.Minutiae))+0.5)
	out.Minutiae = append(slices.Clone(y.Minutiae[:own]), x.Minutiae[:rest]...)
	out.Minutiae = out.Minutiae[:min(len(out.Minutiae), fingerprint.MaxMinutiae)]
	return recordOf(out)
}

// sharedFeatures is the record-multiplicity attack on two improved vaults
// (Merkle and Tams, Security of the improved fuzzy vault scheme in the presence
// of record multiplicity, 2013). With V = f + G·A and W = h + G·B, where G holds
// the common features, the extended Euclidean algorithm on V and W passes
// through B·V − A·W = B·f − A·h, whose degree is far below what two unrelated
// polynomials reach; A is read off, then G as the quotient V/A. It returns the
// roots of G if it splits, which says that the attack worked.
func sharedFeatures(v, w fuzzy.Vault, k int) []uint16 {
	a, b := append(slices.Clone([]uint16(v)), 1), append(slices.Clone([]uint16(w)), 1)
	full := a
	// s·V + t·W = r; t carries A.
	s0, s1 := []uint16{1}, []uint16{}
	t0, t1 := []uint16{}, []uint16{1}
	for len(b) > 0 {
		q, r := divide(a, b)
		a, b = b, r
		s0, s1 = s1, plus(s0, times(q, s1))
		t0, t1 = t1, plus(t0, times(q, t1))
		// Now s1·V + t1·W = b.
		if len(t1) > 1 && len(b) <= len(t1)+k-3 {
			g, _ := divide(full, t1)
			if roots := split(g); len(g) > 8 && len(roots) == len(g)-1 {
				return roots
			}
			return nil
		}
	}
	return nil
}

// split returns the distinct roots of p, lowest coefficient first.
func split(p []uint16) (roots []uint16) {
	for x := 1; x < 1<<16; x++ {
		if fuzzy.Eval(p, uint16(x)) == 0 {
			roots = append(roots, uint16(x))
		}
	}
	return roots
}

// Polynomials are lowest coefficient first, without leading zeros; none is zero.

func trim(p []uint16) []uint16 {
	for len(p) > 0 && p[len(p)-1] == 0 {
		p = p[:len(p)-1]
	}
	return p
}

func plus(p, q []uint16) []uint16 {
	out := make([]uint16, max(len(p), len(q)))
	copy(out, p)
	for i, c := range q {
		out[i] ^= c
	}
	return trim(out)
}

func times(p, q []uint16) []uint16 {
	if len(p) == 0 || len(q) == 0 {
		return nil
	}
	out := make([]uint16, len(p)+len(q)-1)
	for i, a := range p {
		for j, b := range q {
			out[i+j] ^= fuzzy.Mul(a, b)
		}
	}
	return trim(out)
}

// divide returns quotient and remainder; d must not be zero.
func divide(p, d []uint16) (q, r []uint16) {
	r = slices.Clone(p)
	if len(p) >= len(d) {
		q = make([]uint16, len(p)-len(d)+1)
	}
	lead := fuzzy.Inv(d[len(d)-1])
	for i := len(q) - 1; i >= 0; i-- {
		c := fuzzy.Mul(r[i+len(d)-1], lead)
		q[i] = c
		for j, v := range d {
			r[i+j] ^= fuzzy.Mul(c, v)
		}
	}
	return trim(q), trim(r)
}
