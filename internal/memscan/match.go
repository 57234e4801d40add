//go:build linux

package memscan

import (
	"bytes"
	"encoding/binary"
)

// A matcher finds many patterns in one pass: nearly every place is passed over
// for what its first two or next two bytes are, the rest is looked up by eight.
type matcher struct {
	first, second [1 << 16]bool
	byStart       map[uint64][]Pattern
}

func newMatcher(patterns []Pattern) *matcher {
	m := &matcher{byStart: map[uint64][]Pattern{}}
	for _, p := range patterns {
		start := binary.LittleEndian.Uint64(p.Bytes)
		m.first[uint16(start)], m.second[uint16(start>>16)] = true, true
		m.byStart[start] = append(m.byStart[start], p)
	}
	return m
}

// in calls found for every pattern that begins below end and stands whole in b.
// The race detector would look at each of its hundreds of millions of reads.
//
//go:norace
func (m *matcher) in(b []byte, end int, found func(p Pattern, at int)) {
	for i := range min(end, len(b)-minNeedle+1) {
		if !m.first[binary.LittleEndian.Uint16(b[i:])] || !m.second[binary.LittleEndian.Uint16(b[i+2:])] {
			continue
		}
		for _, p := range m.byStart[binary.LittleEndian.Uint64(b[i:])] {
			if bytes.HasPrefix(b[i:], p.Bytes) {
				found(p, i)
			}
		}
	}
}
