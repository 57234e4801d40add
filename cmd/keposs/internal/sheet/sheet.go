// Package sheet puts a recovery sheet on a screen or into a file and reads it
// back: twelve words, a QR code, and the details that are no secret.
//
// The sheet's code passes through here on its way to paper, as bytes lent by
// the sheet. The QR library works on ordinary memory: a process that shows a
// sheet should end soon after.
package sheet

import (
	"bytes"
	"fmt"
	"io"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
)

// MaxText bounds a sheet's text, the QR code included.
const MaxText = 64 << 10

// Beginnings of the two lines a reader looks for.
const (
	payloadLine = "KEPOSS-SHEET1:"
	detailsLine = "KEPOSS-DETAILS1:"
)

// Write writes the sheet (lent) for a person: words, QR code, details, and the
// payload as text.
func Write(w io.Writer, s *client.Sheet) error {
	words := s.Code.Words()
	defer words.Wipe()
	payload := s.Payload()
	defer payload.Wipe()
	var b bytes.Buffer
	defer func() { secret.Zero(b.Bytes()) }()
	b.Grow(MaxText) // no growth leaves a copy of the words behind
	fmt.Fprintf(&b, "keposs recovery sheet for user %s at %s\n\n", s.User, s.Endpoint)
	b.WriteString("Keep it on paper, away from this terminal. With it and the factors of one way to\n" +
		"open, a new terminal takes over this key. Whoever holds it counts as having this\n" +
		"terminal: if it is lost, run `keposs revoke`.\n\n")
	for i, word := range bytes.Fields(words.Bytes()) {
		fmt.Fprintf(&b, "%2d ", i+1)
		b.Write(word)
		if i%4 == 3 {
			b.WriteByte('\n')
		} else {
			b.WriteString("   ")
		}
	}
	fmt.Fprintf(&b, "\nwith the words:\n%s\n\nor instead of both:\n", s.Details())
	b.Write(payload.Bytes())
	b.WriteString("\n\n")
	draw(&b, payload)
	if _, err := w.Write(b.Bytes()); err != nil {
		return core.Errorf(core.Exhausted, "recovery sheet", "write: %w", err)
	}
	return nil
}

// Read finds a sheet in a text: the payload line, or the words with the details
// line, in any case and whatever stands around. The caller wipes the sheet.
func Read(text []byte) (*client.Sheet, error) {
	const op = "recovery sheet"
	if len(text) > MaxText {
		return nil, core.Errorf(core.TooLarge, op, "a text of %d bytes, at most %d", len(text), MaxText)
	}
	var words, details []byte
	defer func() { secret.Zero(words[:cap(words)]) }()
	words = make([]byte, 0, len(text)+1)
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		switch {
		case hasPrefixFold(line, payloadLine):
			return client.ParseSheet(line)
		case hasPrefixFold(line, detailsLine):
			details = line
		case len(line) > 0 && onlyWords(line):
			words = append(append(words, line...), ' ')
		}
	}
	switch {
	case details == nil:
		return nil, core.Errorf(core.Invalid, op, "there is no line beginning %s and none beginning %s", payloadLine, detailsLine)
	case len(words) == 0:
		return nil, core.Errorf(core.Invalid, op, "the details are there, the twelve words are not")
	}
	return client.ParseSheetWords(words, details)
}

func hasPrefixFold(line []byte, prefix string) bool {
	return len(line) >= len(prefix) && bytes.EqualFold(line[:len(prefix)], []byte(prefix))
}

// onlyWords reports whether a line holds nothing but numbered words of four
// letters: prose around the sheet is not taken for the code.
func onlyWords(line []byte) bool {
	found := false
	for f := range bytes.FieldsFuncSeq(line, func(r rune) bool {
		return r == ' ' || r == '\t' || r == '-' || r == ',' || r == '.' || r >= '0' && r <= '9'
	}) {
		if len(f) != 4 {
			return false
		}
		for _, c := range f {
			if c |= 0x20; c < 'a' || c > 'z' {
				return false
			}
		}
		found = true
	}
	return found
}
