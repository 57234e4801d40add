package face

import (
	"io"
	"math"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/ppd/fuzzy"
)

// A Code picks the error-correcting code of an enrolment. The zero value is refused.
type Code uint32

// Codes. The number of message bits is not the strength: what an attacker pays
// is the false-accept rate, measured by the laboratory.
const (
	CodeUnknown Code = 0
	Code29      Code = 1 // eBCH(128,29): the default
	Code36      Code = 2 // eBCH(128,36): stricter
)

// searchOrder of the ordered-statistics decoder. Against order 3 it turns one
// missed single capture in six into a match, at the same false accepts
// (docs/faces.md), and stays below a millisecond. The fifth order is partial.
const searchOrder = 5

// nearest is the share of the query's magnitude that may speak against the
// decoded word, in thousandths: the 5 % quantile over random queries and helpers,
// so it comes from the code alone, from no face (TestNearIsTheCodes).
func (c Code) nearest() int64 {
	if c == Code36 {
		return 141
	}
	return 171
}

// HelperSize is the length of every helper: the offset between signs and codeword.
const HelperSize = 16

// SecretSize is the length of every factor secret.
const SecretSize = 32

// A Sketcher is the fuzzy extractor over whitened unit vectors. It is read-only
// and safe for concurrent use.
type Sketcher struct {
	kind  Code
	code  *fuzzy.Code
	order int
	limit int64 // of Near, in thousandths; 1000 = everything is near
}

// SketcherFor prepares a code for a profile. Without whitening the mean of a
// camera nobody measured is in every vector and brings all faces closer, so a
// word that was found far from the query is not taken (docs/adr/0003).
func SketcherFor(c Code, p *Profile) (*Sketcher, error) {
	s, err := NewSketcher(c)
	if err == nil && p.W == nil {
		s.limit = c.nearest()
	}
	return s, err
}

// NewSketcher prepares a code that takes every word.
func NewSketcher(c Code) (*Sketcher, error) {
	t := 21
	switch c {
	case Code29:
	case Code36:
		t = 15
	default:
		return nil, core.Errorf(core.Unsupported, "face: code", "code %d, want %d or %d", c, Code29, Code36)
	}
	bch, err := fuzzy.NewCode(t)
	if err != nil {
		return nil, err
	}
	return &Sketcher{kind: c, code: bch, order: searchOrder, limit: 1000}, nil
}

// Bits returns the number of message bits of the code.
func (s *Sketcher) Bits() int { return s.code.K() }

// rotationLabel domain-separates the rotation's stream.
const rotationLabel = "keposs/face/rotation/1"

// Rotation returns the record's rotation for vectors of dim values. The caller
// wipes it.
func (s *Sketcher) Rotation(key *secret.Buffer, dim int) (*fuzzy.Rotation, error) {
	return fuzzy.NewRotation(key, rotationLabel, dim, fuzzy.CodeLength)
}

// Project rotates v by key and returns the 128 values whose signs are the
// features. The caller wipes them.
func (s *Sketcher) Project(key *secret.Buffer, v []float64) (*[fuzzy.CodeLength]float64, error) {
	rot, err := s.Rotation(key, len(v))
	if err != nil {
		return nil, err
	}
	defer rot.Wipe()
	return s.Turn(rot, v), nil
}

// Turn is Project with a rotation that serves several vectors of one length.
// The caller wipes the values.
func (s *Sketcher) Turn(rot *fuzzy.Rotation, v []float64) *[fuzzy.CodeLength]float64 {
	full := rot.Apply(v)
	defer clear(full)
	return (*[fuzzy.CodeLength]float64)(append([]float64(nil), full[:fuzzy.CodeLength]...))
}

// Enrol hides a random codeword under the signs of the projected template. The
// caller owns the secret.
func (s *Sketcher) Enrol(rand io.Reader, projected *[fuzzy.CodeLength]float64, bind [32]byte) (helper [HelperSize]byte, sec *secret.Buffer, err error) {
	var m [8]byte
	defer secret.Zero(m[:])
	if _, err := io.ReadFull(rand, m[:]); err != nil {
		return helper, nil, core.Errorf(core.Internal, "face: enrol", "random bits: %w", err)
	}
	var message uint64
	for _, b := range m {
		message = message<<8 | uint64(b)
	}
	message &= 1<<s.code.K() - 1
	word := s.code.Encode(message)
	helper = signs(projected).Xor(word).Bytes()
	return helper, s.secretOf(word, bind, 0), nil
}

// Recover decodes the projected query against the helper. It always returns a
// secret: the enrolled one if the query is close enough, else that of another
// word or, of a word that is not near, an unrelated one. All take the same
// steps. The caller owns it.
func (s *Sketcher) Recover(projected *[fuzzy.CodeLength]float64, helper [HelperSize]byte, bind [32]byte) *secret.Buffer {
	soft := received(projected, helper)
	defer clear(soft[:])
	word := s.code.DecodeSoft(&soft, s.order)
	return s.secretOf(word, bind, s.far(&soft, word))
}

// Decode returns the codeword Recover finds; the laboratory compares words.
func (s *Sketcher) Decode(projected *[fuzzy.CodeLength]float64, helper [HelperSize]byte) fuzzy.Bits {
	soft := received(projected, helper)
	defer clear(soft[:])
	return s.code.DecodeSoft(&soft, s.order)
}

// Finds tells whether Decode gives word: what an attacker with helper and key
// gains by a face, who need not care for Near. It is quick for faces that are
// far off and so no part of a source: the laboratory counts false accepts with it.
func (s *Sketcher) Finds(projected *[fuzzy.CodeLength]float64, helper [HelperSize]byte, word fuzzy.Bits) bool {
	soft := received(projected, helper)
	defer clear(soft[:])
	return s.code.Reaches(&soft, word, s.order) && s.code.DecodeSoft(&soft, s.order) == word
}

// Near tells whether Recover would take word for this query.
func (s *Sketcher) Near(projected *[fuzzy.CodeLength]float64, helper [HelperSize]byte, word fuzzy.Bits) bool {
	soft := received(projected, helper)
	defer clear(soft[:])
	return s.far(&soft, word) == 0
}

// far is all ones if more than the limit's share of the magnitude speaks against
// word, else zero, without a branch on either.
func (s *Sketcher) far(soft *[fuzzy.CodeLength]int32, word fuzzy.Bits) uint32 {
	var against, all int64
	for i, v := range soft {
		sign := v >> 31
		size := int64((v ^ sign) - sign)
		all += size
		against += size & -int64(uint64(uint32(sign)&1)^word.Get(i))
	}
	return uint32((s.limit*all - 1000*against) >> 63)
}

// received takes the helper off the query: a noisy codeword.
func received(projected *[fuzzy.CodeLength]float64, helper [HelperSize]byte) (soft [fuzzy.CodeLength]int32) {
	soft = quantise(projected)
	offset := fuzzy.BitsOf(helper)
	for i := range soft {
		flip := -int32(offset.Get(i)) // 0 or all ones
		soft[i] = (soft[i] ^ flip) - flip
	}
	return soft
}

// farCode is added to the code's number where the word is far.
const farCode = 1 << 16

// secretOf is SM3(enc("keposs/face/secret/1", code, codeword, bind)), where bind
// is the profile's hash: another model or calibration gives another secret. far
// is a mask; with it the code has another number, and so the secret nothing in
// common with an enrolled one.
func (s *Sketcher) secretOf(w fuzzy.Bits, bind [32]byte, far uint32) *secret.Buffer {
	b := w.Bytes()
	defer secret.Zero(b[:])
	in := enc.Join(enc.Str("keposs/face/secret/1"), enc.U32(uint32(s.kind)|far&farCode), b[:], bind[:])
	defer secret.Zero(in)
	return sm.SecretSM3(in)
}

// signs returns bit i = 1 where value i is negative.
func signs(v *[fuzzy.CodeLength]float64) (b fuzzy.Bits) {
	for i, x := range v {
		b = b.Set(i, math.Float64bits(x)>>63)
	}
	return b
}

// softScale makes the largest magnitude 2^20, so that 128 of them stay below
// the decoder's bound of 2^31.
const softScale = 1 << 20

// quantise turns values into integers for the decoder, the same on every
// platform. A zero vector stays zero; it decodes to some codeword like any other.
func quantise(v *[fuzzy.CodeLength]float64) (soft [fuzzy.CodeLength]int32) {
	var top float64
	for _, x := range v {
		top = max(top, math.Abs(x))
	}
	if top == 0 {
		return soft
	}
	for i, x := range v {
		soft[i] = int32(math.RoundToEven(float64(x/top) * softScale))
	}
	return soft
}
