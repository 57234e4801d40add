package mstcc

import (
	"encoding/binary"

	"github.com/keposs/keposs/core"
)

// A fields reads fixed-width big-endian fields; the first shortage sticks.
type fields struct {
	b   []byte
	bad bool
}

func (f *fields) take(n int) []byte {
	if f.bad || n < 0 || len(f.b) < n {
		f.bad = true
		return make([]byte, max(n, 0))
	}
	out := f.b[:n]
	f.b = f.b[n:]
	return out
}

func (f *fields) u8() uint8   { return f.take(1)[0] }
func (f *fields) u32() uint32 { return binary.BigEndian.Uint32(f.take(4)) }
func (f *fields) u64() uint64 { return binary.BigEndian.Uint64(f.take(8)) }

// flag reads one byte that must be 0 or 1: one value has one encoding.
func (f *fields) flag() bool {
	v := f.u8()
	f.bad = f.bad || v > 1
	return v == 1
}

// done reports Integrity for short, long or non-canonical input.
func (f *fields) done(what string) error {
	if f.bad || len(f.b) != 0 {
		return core.Errorf(core.Integrity, "mstcc: "+what, "malformed record of %d spare bytes", len(f.b))
	}
	return nil
}

func appendFlag(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}
