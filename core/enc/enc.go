// Package enc is the one way keposs joins fields before hashing, signing or
// authenticating them.
//
// enc(a, b, …) = u32 count ‖ LP(a) ‖ LP(b) ‖ …, LP(x) = u32 length ‖ x, all
// integers big-endian. A list is one item, enc(…), and each of its items is
// itself enc(…). The encoding is injective: no two different field lists give
// the same bytes, whatever the fields hold, so nothing can be moved across a
// border (key-schedule attack test 3). There is no other concatenation.
package enc

import "encoding/binary"

// Join returns enc(items…). The result holds copies; wiping it is the caller's
// duty when an item was secret.
func Join(items ...[]byte) []byte {
	n := 4
	for _, it := range items {
		n += 4 + len(it)
	}
	out := make([]byte, 0, n) // exact size: no copy of a secret is left behind by growth
	out = binary.BigEndian.AppendUint32(out, uint32(len(items)))
	for _, it := range items {
		out = binary.BigEndian.AppendUint32(out, uint32(len(it)))
		out = append(out, it...)
	}
	return out
}

// U32 returns the 4 big-endian bytes of v.
func U32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }

// U64 returns the 8 big-endian bytes of v.
func U64(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }

// Str returns the bytes of a label.
func Str(s string) []byte { return []byte(s) }
