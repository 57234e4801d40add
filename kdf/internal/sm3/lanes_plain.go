//go:build !goexperiment.simd || !amd64

package sm3

// Widths lists the lane counts this build and CPU serve, ascending: 1 always;
// 8 with AVX2 and 16 with AVX-512 when built with GOEXPERIMENT=simd.
func Widths() []int { return []int{1} }

func (l *Lanes) iterateWide(int, int) { panic("sm3: no lanes in this build") }

// BlockLanes absorbs one block in each of the first width lanes.
func BlockLanes(width int, st *[8][MaxLanes]uint32, m *[16][MaxLanes]uint32) {
	blockLane(st, m)
}
