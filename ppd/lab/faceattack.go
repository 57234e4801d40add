package lab

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/ppd/face"
	"github.com/keposs/keposs/ppd/fuzzy"
)

// A FaceDesign is what a record stores. The zero value is refused. All but
// DesignShipped are broken on purpose: an attack that does not break them
// measures nothing.
type FaceDesign int

// Designs.
const (
	DesignUnknown   FaceDesign = iota
	DesignShipped              // signs ^ word of eBCH(128,29), rotation keyed per record
	DesignFixed                // the same under one rotation for every record
	DesignReliable             // the 128 largest of 2,048 projections, their places stored
	DesignMask                 // a mask of the 64 larger magnitudes beside the helper
	DesignRepeated             // signs ^ (64 random bits, each twice)
	DesignPlainBits            // the signs themselves
)

// A StoredFace is one record as an attacker holds it who knows the anchor, and
// so the rotation: rows of the projection, helper bits, and what else is stored.
type StoredFace struct {
	rows   [][]float64 // unit vectors in the template's space
	helper fuzzy.Bits
	chosen []int // places a bad design makes public; nil = none
}

// StoreFace makes a record of a unit template under a design. seed picks
// rotation and word; the same seed gives the same record.
func StoreFace(d FaceDesign, template []float64, seed uint64) (StoredFace, error) {
	return storeFace(d, template, seed, true)
}

// storeFace leaves the projection's rows out unless they are asked for.
func storeFace(d FaceDesign, template []float64, seed uint64, rows bool) (StoredFace, error) {
	var k [32]byte
	binary.BigEndian.PutUint64(k[:], seed)
	rng := rand.NewChaCha8(k)
	turn := seed
	if d == DesignFixed {
		turn = 0
	}
	code, err := fuzzy.NewCode(21)
	if err != nil {
		return StoredFace{}, err
	}
	count := fuzzy.CodeLength
	if d == DesignReliable {
		count = 2048
	}
	var s StoredFace
	var value []float64
	for block := 0; len(value) < count; block++ {
		rot, err := attackRotation(len(template), turn, block)
		if err != nil {
			return StoredFace{}, err
		}
		value = append(value, rot.Apply(template)[:fuzzy.CodeLength]...)
		if rows {
			s.rows = append(s.rows, projection(rot, len(template))...)
		}
		rot.Wipe()
	}
	order := make([]int, len(value))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return int(math.Copysign(1, math.Abs(value[b])-math.Abs(value[a])))
	})
	switch d {
	case DesignReliable:
		s.chosen = order[:fuzzy.CodeLength]
	case DesignMask:
		s.chosen = order[:fuzzy.CodeLength/2]
	}
	var signs fuzzy.Bits
	for i := range fuzzy.CodeLength {
		at := i
		if d == DesignReliable {
			at = s.chosen[i]
		}
		signs = signs.Set(i, math.Float64bits(value[at])>>63)
	}
	word := code.Encode(rng.Uint64() & (1<<code.K() - 1))
	switch d {
	case DesignRepeated:
		half := rng.Uint64()
		for i := range fuzzy.CodeLength {
			word = word.Set(i, half>>(i/2))
		}
	case DesignPlainBits:
		word = fuzzy.Bits{}
	case DesignShipped, DesignFixed, DesignReliable, DesignMask:
	default:
		return StoredFace{}, core.Errorf(core.Usage, "lab: store face", "design %d is unknown", d)
	}
	s.helper = signs.Xor(word)
	return s, nil
}

// attackRotation is the rotation of a record, or of one block of an oversampled one.
func attackRotation(dim int, seed uint64, block int) (*fuzzy.Rotation, error) {
	key := secret.New(16)
	defer key.Wipe()
	binary.BigEndian.PutUint64(key.Bytes(), seed)
	binary.BigEndian.PutUint64(key.Bytes()[8:], uint64(block))
	return fuzzy.NewRotation(key, "keposs/lab/attack", dim, fuzzy.CodeLength)
}

// projection returns the rotation's rows as unit vectors, found by rotating the
// unit vectors of the template's space.
func projection(rot *fuzzy.Rotation, dim int) [][]float64 {
	length := math.Pow(float64(rot.Len()), 1.5) // three unnormalised transforms
	rows := make([][]float64, fuzzy.CodeLength)
	for i := range rows {
		rows[i] = make([]float64, dim)
	}
	unit := make([]float64, dim)
	for j := range dim {
		unit[j] = 1
		for i, v := range rot.Apply(unit)[:fuzzy.CodeLength] {
			rows[i][j] = v / length
		}
		unit[j] = 0
	}
	return rows
}

// InvertFace is the best of three attempts to rebuild the template from records
// of one face: the sum of helper-signed rows (breaks plain bits), the main axis
// of the rows a design made public (breaks selection and masks), and the main
// axis of sign products over neighbouring places (breaks repetition; for a code
// of dual distance 10 no product of fewer than ten places says anything). It
// returns the highest |cosine| to the template; chance is about 0.25 for 128
// dimensions and three attempts.
func InvertFace(records []StoredFace, template []float64) (float64, error) {
	dim := len(template)
	sum := make([]float64, dim)
	axis, pairs := mat.NewSymDense(dim, nil), mat.NewSymDense(dim, nil)
	public := false
	for _, r := range records {
		for i := range fuzzy.CodeLength {
			sign := 1 - 2*float64(r.helper.Get(i))
			row := r.rows[i]
			if len(r.chosen) == fuzzy.CodeLength {
				row = r.rows[r.chosen[i]]
			}
			for j, v := range row {
				sum[j] += sign * v
			}
		}
		for _, i := range r.chosen {
			public = true
			axis.SymRankOne(axis, 1, mat.NewVecDense(dim, r.rows[i]))
		}
		for i := 0; i < fuzzy.CodeLength; i += 2 {
			a, b := mat.NewVecDense(dim, r.rows[i]), mat.NewVecDense(dim, r.rows[i+1])
			product := 1 - 2*float64(r.helper.Get(i)^r.helper.Get(i+1))
			pairs.RankTwo(pairs, product, a, b)
		}
	}
	best := math.Abs(face.Cosine(sum, template)) / math.Sqrt(face.Cosine(sum, sum))
	matrices := []*mat.SymDense{pairs}
	if public {
		matrices = append(matrices, axis)
	}
	for _, m := range matrices {
		var eig mat.EigenSym
		if !eig.Factorize(m, true) {
			return 0, core.Errorf(core.Internal, "lab: invert face", "no eigenvalues")
		}
		var v mat.Dense
		eig.VectorsTo(&v)
		best = max(best, math.Abs(face.Cosine(mat.Col(nil, dim-1, &v), template)))
	}
	return best, nil
}

// linkTries makes a pair within 20 % of the code found four times in five.
const linkTries = 12

// LinkFaces returns D_sys (Gomez-Barrero et al., IEEE TIFS 13(6), 2018) of a
// design: 0 = records of one face look like records of two, 1 = they are told
// apart always. templates holds two independent enrolments a person. The score
// of two records is how near the code the sum of their helpers lies, which is
// the strongest there is when the rotations are equal. rounds draws every
// person's records anew; records of bad designs are scored the same way.
func LinkFaces(d FaceDesign, templates [][2][]float64, rounds int) (float64, error) {
	code, err := fuzzy.NewCode(21)
	if err != nil {
		return 0, err
	}
	// Information-set decoding: each try bets on another basis without errors.
	rng := rand.New(rand.NewPCG(1, 0x11))
	distance := func(a, b fuzzy.Bits) int {
		x := a.Xor(b)
		least := fuzzy.CodeLength
		for range linkTries {
			var soft [fuzzy.CodeLength]int32
			for i := range soft {
				soft[i] = (1_000_000 + int32(rng.IntN(1000))) * (1 - 2*int32(x.Get(i)))
			}
			least = min(least, code.DecodeSoft(&soft, 3).Xor(x).Weight())
		}
		return least
	}
	var mated, other []int
	for round := range rounds {
		first, second := make([]fuzzy.Bits, len(templates)), make([]fuzzy.Bits, len(templates))
		for p, t := range templates {
			for n, to := range []*[]fuzzy.Bits{&first, &second} {
				r, err := storeFace(d, t[n], uint64(1+2*(round*len(templates)+p)+n), false)
				if err != nil {
					return 0, err
				}
				(*to)[p] = r.helper
			}
		}
		for p := range templates {
			mated = append(mated, distance(first[p], second[p]))
			other = append(other, distance(first[p], second[(p+1+round)%len(templates)]))
		}
	}
	return dsys(mated, other), nil
}

// dsys averages the local measure D over mated scores, with ω = 1, on bins that
// hold a tenth of all scores each: finer ones would measure their own noise.
func dsys(mated, other []int) float64 {
	all := slices.Sorted(slices.Values(append(slices.Clone(mated), other...)))
	var edges []int
	for q := 1; q < 10; q++ {
		if e := all[q*len(all)/10]; len(edges) == 0 || e > edges[len(edges)-1] {
			edges = append(edges, e)
		}
	}
	count := func(v []int) []float64 {
		out := make([]float64, len(edges)+1)
		for _, x := range v {
			i, found := slices.BinarySearch(edges, x)
			if found {
				i++
			}
			out[i] += 1 / float64(len(v))
		}
		return out
	}
	m, o := count(mated), count(other)
	var sum float64
	for i, p := range m {
		if p > o[i] {
			ratio := p / max(o[i], 1e-9)
			sum += p * (2*ratio/(1+ratio) - 1)
		}
	}
	return sum
}

// SearchFaces holds every row against every record, as an attacker does who has
// a gallery of other people, and returns the share of records that some row
// opens. t and order pick the code: 21 and 5 as shipped.
func SearchFaces(templates, rows [][]float64, t, order int) (float64, error) {
	code, err := fuzzy.NewCode(t)
	if err != nil {
		return 0, err
	}
	opened := 0
	for n, template := range templates {
		key := secret.New(8)
		binary.BigEndian.PutUint64(key.Bytes(), uint64(n))
		rot, err := fuzzy.NewRotation(key, "keposs/lab/attack", len(template), fuzzy.CodeLength)
		if err != nil {
			return 0, err
		}
		signs := soft(rot.Apply(template))
		for _, row := range rows {
			// With the zero word in the helper's place the query must decode to
			// zero: codes are linear, so this stands for every word.
			q := soft(rot.Apply(row))
			for i := range q {
				if signs[i] < 0 {
					q[i] = -q[i]
				}
			}
			if code.Reaches(&q, fuzzy.Bits{}, order) && code.DecodeSoft(&q, order) == (fuzzy.Bits{}) {
				opened++
				break
			}
		}
		rot.Wipe()
	}
	return float64(opened) / float64(len(templates)), nil
}

func soft(v []float64) (out [fuzzy.CodeLength]int32) {
	var top float64
	for _, x := range v[:fuzzy.CodeLength] {
		top = max(top, math.Abs(x))
	}
	for i := range out {
		out[i] = int32(math.RoundToEven(v[i] / top * (1 << 20)))
	}
	return out
}
