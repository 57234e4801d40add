// Package secret holds key material and personal profile data in buffers that
// can be wiped and that never print.
//
// Every secret of keposs (PPD, factor secrets, A, RK, MK, d_M, device secrets,
// passwords) lives in a Buffer from the moment it is read to the moment it is
// wiped (K-5.3-01b, K-5.3-02d, K-15.4-03). fmt, log/slog and encoding/json show
// "[secret]" whatever the verb; the bytes are reached only through Bytes, so
// that a review finds every place that touches them.
//
// Ownership: whoever a doc comment says "owns" a Buffer wipes it, also on every
// error path. Passing a Buffer lends it for the call unless said otherwise.
//
// What makes or wipes a Buffer also clears the vector registers, where copying
// leaves the last bytes that were copied.
package secret

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
	"runtime"
)

// redacted is all that formatting a Buffer ever shows: not even its length,
// because the length of a PIN is a secret too.
const redacted = "[secret]"

// A Buffer owns a run of secret bytes. The zero value is empty and usable.
// A Buffer is not safe for concurrent mutation; Wipe must not race with use.
type Buffer struct {
	b []byte
}

// New returns a zeroed buffer of n bytes. n < 0 is treated as 0.
func New(n int) *Buffer {
	if n < 0 {
		n = 0
	}
	return &Buffer{b: make([]byte, n)}
}

// Own takes over b without copying: the caller must not use b afterwards.
func Own(b []byte) *Buffer {
	ClearVectors()
	return &Buffer{b: b}
}

// Copy returns a buffer holding a copy of b; wiping b stays the caller's duty.
func Copy(b []byte) *Buffer {
	s := New(len(b))
	copy(s.b, b)
	ClearVectors()
	return s
}

// Read returns a buffer of n bytes filled from r. On error nothing is kept.
func Read(r io.Reader, n int) (*Buffer, error) {
	s := New(n)
	if _, err := io.ReadFull(r, s.b); err != nil {
		s.Wipe()
		return nil, fmt.Errorf("secret: read %d bytes: %w", n, err)
	}
	return s, nil
}

// Bytes lends the bytes. The slice is valid until Wipe and must not be kept.
func (s *Buffer) Bytes() []byte {
	if s == nil {
		return nil
	}
	return s.b
}

// Len returns the number of bytes; 0 after Wipe and for nil.
func (s *Buffer) Len() int {
	if s == nil {
		return 0
	}
	return len(s.b)
}

// Clone returns an independent copy, owned by the caller.
func (s *Buffer) Clone() *Buffer { return Copy(s.Bytes()) }

// Equal compares in time that depends on the lengths only.
func (s *Buffer) Equal(o *Buffer) bool {
	return subtle.ConstantTimeCompare(s.Bytes(), o.Bytes()) == 1
}

// Wipe zeroes the bytes and drops them. It may be called on nil and repeatedly.
func (s *Buffer) Wipe() {
	if s == nil {
		return
	}
	Zero(s.b[:cap(s.b)])
	s.b = nil
}

// Zero overwrites b. It is kept from being optimised away.
func Zero(b []byte) {
	clear(b)
	runtime.KeepAlive(b)
	ClearVectors()
}

// WipeAll wipes every buffer given; nil entries are skipped.
func WipeAll(bs ...*Buffer) {
	for _, b := range bs {
		b.Wipe()
	}
}

// String redacts.
func (s *Buffer) String() string { return redacted }

// GoString redacts under %#v.
func (s *Buffer) GoString() string { return redacted }

// Format redacts under every verb, %x and %d included.
func (s *Buffer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue redacts in log/slog.
func (s *Buffer) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON redacts in encoding/json; there is no way back.
func (s *Buffer) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText redacts wherever text encoding is used (XML, map keys, flags).
func (s *Buffer) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// GobEncode redacts: a gob stream never carries a secret.
func (s *Buffer) GobEncode() ([]byte, error) { return []byte(redacted), nil }

var (
	_ fmt.Formatter  = (*Buffer)(nil)
	_ slog.LogValuer = (*Buffer)(nil)
)
