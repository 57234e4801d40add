package mf

import (
	"crypto/subtle"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// A recovery code is written as 12 words of two syllables, "bodi kanu …". The
// word list is our own and needs no table: consonant, vowel, consonant, vowel
// from the 16 and 4 letters below, 12 bits a word, so 4,096 words in
// alphabetical order. 128 bits of code and 16 of checksum fill 12 words.
const (
	wordConsonants = "bdfghjklmnprstvz"
	wordVowels     = "aiou"
	wordCount      = 12
)

func wordsSum(code []byte) [2]byte {
	msg := enc.Join(enc.Str(headWords), code)
	defer secret.Zero(msg)
	h := sm.SecretSM3(msg)
	defer h.Wipe()
	return [2]byte(h.Bytes()[:2])
}

// Words returns the code as 12 lower-case words with single spaces between.
// The caller owns the buffer.
func (c *RecoveryCode) Words() *secret.Buffer {
	code := secret.New(RecoverySecret + 2)
	defer code.Wipe()
	raw := code.Bytes()
	copy(raw, c.b.Bytes())
	sum := wordsSum(raw[:RecoverySecret])
	copy(raw[RecoverySecret:], sum[:])
	out := secret.New(5*wordCount - 1)
	b := out.Bytes()
	at, bit := 0, 0
	take := func(n int) (v int) {
		for range n {
			v = v<<1 | int(raw[bit/8]>>(7-bit%8)&1)
			bit++
		}
		return v
	}
	for w := range wordCount {
		if w > 0 {
			b[at] = ' '
			at++
		}
		for range 2 {
			b[at], b[at+1] = wordConsonants[take(4)], wordVowels[take(2)]
			at += 2
		}
	}
	return out
}

// ParseWords reads what Words wrote, in any case, with any spaces, hyphens,
// commas, dots, digits or line breaks between letters. A letter that is not of
// the list, a missing or extra one, or a wrong checksum is Invalid, with the
// number of the first bad word where there is one.
func ParseWords(text []byte) (*RecoveryCode, error) {
	const op = "mf: recovery words"
	if len(text) > 1024 {
		return nil, core.Errorf(core.TooLarge, op, "%d bytes, at most 1024", len(text))
	}
	code := secret.New(RecoverySecret + 2)
	defer code.Wipe()
	raw := code.Bytes()
	letters, bit := 0, 0
	put := func(v, n int) {
		for i := n - 1; i >= 0; i-- {
			if bit < 8*len(raw) {
				raw[bit/8] |= byte(v>>i&1) << (7 - bit%8)
			}
			bit++
		}
	}
	for _, ch := range text {
		if ch >= 'A' && ch <= 'Z' {
			ch += 'a' - 'A'
		}
		if ch < 'a' || ch > 'z' {
			switch ch {
			case ' ', '\t', '\r', '\n', '-', ',', '.', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
				continue
			}
			return nil, core.Errorf(core.Invalid, op, "word %d holds a character no word has", letters/4+1)
		}
		list, n := wordConsonants, 4
		if letters%2 == 1 {
			list, n = wordVowels, 2
		}
		v := letterIndex(list, ch)
		if v < 0 {
			return nil, core.Errorf(core.Invalid, op, "word %d is not of the list: read it again, letter by letter", letters/4+1)
		}
		put(v, n)
		letters++
	}
	if letters != 4*wordCount {
		return nil, core.Errorf(core.Invalid, op, "want %d words of 4 letters", wordCount)
	}
	sum := wordsSum(raw[:RecoverySecret])
	if subtle.ConstantTimeCompare(sum[:], raw[RecoverySecret:]) != 1 {
		return nil, core.Errorf(core.Invalid, op, "the checksum does not match: a word is wrong or in the wrong place")
	}
	return &RecoveryCode{secret.Copy(raw[:RecoverySecret])}, nil
}

// letterIndex looks the letter up without an early exit.
func letterIndex(list string, ch byte) int {
	found := -1
	for i := range len(list) {
		if eq := subtle.ConstantTimeByteEq(list[i], ch); eq == 1 {
			found = i
		}
	}
	return found
}
