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
// (docs/faces.md), and stays below a millisecond.
const searchOrder = 4

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
}

// NewSketcher prepares a code.
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
	return &Sketcher{kind: c, code: bch, order: searchOrder}, nil
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
	return helper, s.secretOf(word, bind), nil
}

// Recover decodes the projected query against the helper. It always returns a
// secret: the enrolled one if the query is close enough. The caller owns it.
func (s *Sketcher) Recover(projected *[fuzzy.CodeLength]float64, helper [HelperSize]byte, bind [32]byte) *secret.Buffer {
	return s.secretOf(s.Decode(projected, helper), bind)
}

// Decode returns the codeword Recover finds; the laboratory compares words.
func (s *Sketcher) Decode(projected *[fuzzy.CodeLength]float64, helper [HelperSize]byte) fuzzy.Bits {
	soft := received(projected, helper)
	defer clear(soft[:])
	return s.code.DecodeSoft(&soft, s.order)
}

// Opens tells whether Decode gives word. It is quick for faces that are far off
// and so no part of a source: the laboratory counts false accepts with it.
func (s *Sketcher) Opens(projected *[fuzzy.CodeLength]float64, helper [HelperSize]byte, word fuzzy.Bits) bool {
	soft := received(projected, helper)
	defer clear(soft[:])
	return s.code.Reaches(&soft, word, s.order) && s.code.DecodeSoft(&soft, s.order) == word
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

// secretOf is SM3(enc("keposs/face/secret/1", code, codeword, bind)), where bind
// is the profile's hash: another model or calibration gives another secret.
func (s *Sketcher) secretOf(w fuzzy.Bits, bind [32]byte) *secret.Buffer {
	b := w.Bytes()
	defer secret.Zero(b[:])
	in := enc.Join(enc.Str("keposs/face/secret/1"), enc.U32(uint32(s.kind)), b[:], bind[:])
	defer secret.Zero(in)
	h := sm.SM3(in)
	defer secret.Zero(h[:])
	return secret.Copy(h[:])
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
