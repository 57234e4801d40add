package fingerprint

import (
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// mapLabel domain-separates the cell map.
const mapLabel = "keposs/fingerprint/map/1"

// A cellMap gives every cell of every finger of a record a field element,
// distinct and not zero, by the record's own key: the same finger gives other
// elements in every record, so that two vaults share no root.
type cellMap struct {
	elem []uint16
	used [1 << 10]uint64 // a bit for each element that is a cell
}

func newCellMap(key *secret.Buffer, fingers int) *cellMap {
	n := fingers * cellCount()
	m := &cellMap{elem: make([]uint16, 0, n)}
	seed := enc.Join(enc.Str(mapLabel), key.Bytes())
	defer secret.Zero(seed)
	// Zero and repetitions are drawn again, from further blocks if needed.
	for block := uint32(0); len(m.elem) < n; block++ {
		in := enc.Join(seed, enc.U32(block))
		stream := sm.KDF(in, 3*n)
		for i := 0; i+1 < len(stream) && len(m.elem) < n; i += 2 {
			e := uint16(stream[i])<<8 | uint16(stream[i+1])
			if e != 0 && !m.isCell(e) {
				m.used[e>>6] |= 1 << (e & 63)
				m.elem = append(m.elem, e)
			}
		}
		secret.Zero(stream)
		secret.Zero(in)
	}
	return m
}

// element is the field element of a finger's cell.
func (m *cellMap) element(finger, cell int) uint16 { return m.elem[finger*cellCount()+cell] }

func (m *cellMap) isCell(e uint16) bool { return m.used[e>>6]>>(e&63)&1 == 1 }

func (m *cellMap) wipe() {
	clear(m.elem)
	clear(m.used[:])
}
