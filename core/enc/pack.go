package enc

import (
	"encoding/binary"
	"slices"
)

// A Packer builds a record of bare fixed-width fields; variable ones carry a
// u32 length (Var) or a u16 one (Short). It is for stored records; only such a
// record as a whole is ever hashed or signed in this form.
type Packer struct{ B []byte }

// U8 appends one byte.
func (p *Packer) U8(v uint8) { p.B = append(p.B, v) }

// Flag appends 0 or 1.
func (p *Packer) Flag(v bool) {
	if v {
		p.U8(1)
	} else {
		p.U8(0)
	}
}

// U16 appends 2 bytes.
func (p *Packer) U16(v uint16) { p.B = binary.BigEndian.AppendUint16(p.B, v) }

// U32 appends 4 bytes.
func (p *Packer) U32(v uint32) { p.B = binary.BigEndian.AppendUint32(p.B, v) }

// U64 appends 8 bytes.
func (p *Packer) U64(v uint64) { p.B = binary.BigEndian.AppendUint64(p.B, v) }

// Raw appends bytes of a length the reader knows.
func (p *Packer) Raw(b []byte) { p.B = append(p.B, b...) }

// Var appends a u32 length and the bytes.
func (p *Packer) Var(b []byte) {
	p.U32(uint32(len(b)))
	p.Raw(b)
}

// Short appends a u16 length and the bytes, at most 65535.
func (p *Packer) Short(b []byte) {
	p.U16(uint16(len(b)))
	p.Raw(b)
}

// An Unpacker reads what a Packer wrote. The first shortage sticks: values read
// after it are zero and Done is false.
type Unpacker struct {
	b   []byte
	bad bool
}

// NewUnpacker reads b, which is lent.
func NewUnpacker(b []byte) *Unpacker { return &Unpacker{b: b} }

// Fail marks the record malformed.
func (u *Unpacker) Fail() { u.bad = true }

// Take returns the next n ≥ 0 bytes, a part of the input; nil where there are
// fewer.
func (u *Unpacker) Take(n int) []byte {
	if u.bad || len(u.b) < n {
		u.bad = true
		return nil
	}
	out := u.b[:n]
	u.b = u.b[n:]
	return out
}

// U8 reads one byte.
func (u *Unpacker) U8() uint8 {
	if b := u.Take(1); b != nil {
		return b[0]
	}
	return 0
}

// Flag reads a byte that must be 0 or 1.
func (u *Unpacker) Flag() bool {
	v := u.U8()
	u.bad = u.bad || v > 1
	return v == 1
}

// U16 reads 2 bytes.
func (u *Unpacker) U16() uint16 {
	if b := u.Take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// U32 reads 4 bytes.
func (u *Unpacker) U32() uint32 {
	if b := u.Take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// U64 reads 8 bytes.
func (u *Unpacker) U64() uint64 {
	if b := u.Take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// Raw fills dst.
func (u *Unpacker) Raw(dst []byte) { copy(dst, u.Take(len(dst))) }

// Var reads a length of at most most and returns a copy of the bytes.
func (u *Unpacker) Var(most int) []byte {
	n := u.U32()
	if uint64(n) > uint64(most) {
		u.bad = true
		return nil
	}
	return append([]byte(nil), u.Take(int(n))...)
}

// Short reads a u16 length of at most most and returns a copy of the bytes.
func (u *Unpacker) Short(most int) []byte {
	n := int(u.U16())
	u.bad = u.bad || n > most
	return slices.Clone(u.Take(n))
}

// Count reads the u8 length of a list of at most most; 0 once malformed.
func (u *Unpacker) Count(most int) int {
	n := int(u.U8())
	if u.bad = u.bad || n > most; u.bad {
		return 0
	}
	return n
}

// Bad reports whether a shortage or a broken rule was met so far.
func (u *Unpacker) Bad() bool { return u.bad }

// Done reports whether all was well formed and everything was read.
func (u *Unpacker) Done() bool { return !u.bad && len(u.b) == 0 }
