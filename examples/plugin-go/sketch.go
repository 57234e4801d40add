package main

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/ppd/fuzzy"
)

// A sample is 33 numbers in milliseconds, in ASCII with commas between: hold,
// gap, hold, …, hold.
const (
	values     = 2*len(phrase) - 1
	longest    = 8 * values // bytes of a sample
	shortestMS = 5
	longestMS  = 5000
	helperSize = 16 // bytes
	errors     = 31 // the code corrects at least so many of 127 bits
	order      = 1  // of the search beyond them
)

// rhythm is the natural logarithm of each time over what is usual.
type rhythm [values]float64

// parse reads a sample; flaw says to a person what is wrong with it.
func parse(b []byte) (r *rhythm, flaw string) {
	if len(b) > longest {
		return nil, "the entry is too long; type the phrase once"
	}
	part := bytes.Split(b, []byte(","))
	if len(part) != values {
		return nil, "another number of keys than the phrase has; type it again without corrections"
	}
	r = new(rhythm)
	for i, p := range part {
		ms, err := strconv.ParseFloat(string(p), 64)
		if err != nil || !(ms >= shortestMS && ms <= longestMS) {
			return nil, "a time no typing has; type the phrase again"
		}
		usual := 100.0 // a hold
		if i%2 == 1 {
			usual = 150 // a gap
		}
		r[i] = math.Log(ms / usual)
	}
	return r, ""
}

// A sketcher hides codewords under the signs of rotated rhythms, the code-offset
// construction of Dodis, Ostrovsky, Reyzin and Smith (2008), section 5.1. The
// rotation is keyed by the bind key: without it the helper tells nothing, and
// under another one the same rhythm gives other bits.
type sketcher struct{ code *fuzzy.Code }

func newSketcher() *sketcher {
	code, err := fuzzy.NewCode(errors)
	if err != nil {
		panic(err) // a constant out of the library's bounds
	}
	return &sketcher{code}
}

// turned is the rhythm in the record's own coordinates; the caller clears it.
func turned(op string, key *secret.Buffer, r *rhythm) ([]float64, error) {
	if key.Len() != 32 {
		return nil, core.Errorf(core.Invalid, op, "a bind key of %d bytes, want 32", key.Len())
	}
	rot, err := fuzzy.NewRotation(key, "keposs/example/keystroke/1", values, fuzzy.CodeLength)
	if err != nil {
		return nil, err
	}
	defer rot.Wipe()
	return rot.Apply(r[:]), nil
}

// enrol returns the helper and the secret, which the caller owns.
func (s *sketcher) enrol(key *secret.Buffer, r *rhythm) ([]byte, *secret.Buffer, error) {
	const op = name + ": enroll"
	at, err := turned(op, key, r)
	if err != nil {
		return nil, nil, err
	}
	defer clear(at)
	var m [8]byte
	defer secret.Zero(m[:])
	if _, err := sm.Rand().Read(m[:]); err != nil {
		return nil, nil, core.Errorf(core.Internal, op, "random bits: %w", err)
	}
	word := s.code.Encode(binary.BigEndian.Uint64(m[:]) & (1<<s.code.K() - 1))
	var signs fuzzy.Bits
	for i := range fuzzy.CodeLength {
		signs = signs.Set(i, math.Float64bits(at[i])>>63)
	}
	helper := signs.Xor(word).Bytes()
	return helper[:], secretOf(word), nil
}

// recover decodes r against the helper: the enrolled secret if it is close
// enough, another one else. The caller owns it.
func (s *sketcher) recover(key *secret.Buffer, r *rhythm, helper []byte) (*secret.Buffer, error) {
	const op = name + ": recover"
	if len(helper) != helperSize {
		return nil, core.Errorf(core.Invalid, op, "a helper of %d bytes, want %d", len(helper), helperSize)
	}
	at, err := turned(op, key, r)
	if err != nil {
		return nil, err
	}
	defer clear(at)
	offset := fuzzy.BitsOf([helperSize]byte(helper))
	var soft [fuzzy.CodeLength]int32
	defer clear(soft[:])
	top := 1e-9
	for _, v := range at[:fuzzy.CodeLength] {
		top = max(top, math.Abs(v))
	}
	for i := range soft { // how sure each bit is, its helper taken off
		soft[i] = int32(math.RoundToEven(at[i] / top * (1 << 20)))
		if offset.Get(i) == 1 {
			soft[i] = -soft[i]
		}
	}
	return secretOf(s.code.DecodeSoft(&soft, order)), nil
}

// secretOf is SM3(enc("keposs/example/keystroke/1", codeword)).
func secretOf(w fuzzy.Bits) *secret.Buffer {
	b := w.Bytes()
	defer secret.Zero(b[:])
	in := enc.Join(enc.Str("keposs/example/keystroke/1"), b[:])
	defer secret.Zero(in)
	h := sm.SM3(in)
	defer secret.Zero(h[:])
	return secret.Copy(h[:])
}
