//go:build goexperiment.simd && amd64

package sm3

import "simd/archsimd"

var widths = func() []int {
	switch {
	case archsimd.X86.AVX512():
		return []int{1, 8, 16}
	case archsimd.X86.AVX2():
		return []int{1, 8}
	}
	return []int{1}
}()

// Widths lists the lane counts this build and CPU serve, ascending: 1 always;
// 8 with AVX2 and 16 with AVX-512 when built with GOEXPERIMENT=simd.
func Widths() []int { return widths }

// back8 holds 32−n in eight lanes at n.
var back8 = func() (t [32][8]uint32) {
	for n := range t {
		for l := range t[n] {
			t[n][l] = uint32(32 - n)
		}
	}
	return t
}()

// rot8 rotates left by n. The right shift takes its count from a vector: the
// compiler has no immediate form of it and moves a scalar count with an SSE
// instruction, which stalls as gen.go tells.
func rot8(x archsimd.Uint32x8, n uint64) archsimd.Uint32x8 {
	return x.ShiftAllLeft(n).Or(x.ShiftRight(archsimd.LoadUint32x8(&back8[n])))
}

// The loads fill their destination in place: an array handed back by value
// would be copied by SSE moves beside dirty registers.

func load8(dst []archsimd.Uint32x8, src [][MaxLanes]uint32) {
	for i := range dst {
		dst[i] = archsimd.LoadUint32x8((*[8]uint32)(src[i][:8]))
	}
}

func load16(dst []archsimd.Uint32x16, src [][MaxLanes]uint32) {
	for i := range dst {
		dst[i] = archsimd.LoadUint32x16(&src[i])
	}
}

func (l *Lanes) iterateWide(width, n int) {
	if width == 16 {
		l.iterate16(n)
	} else {
		l.iterate8(n)
	}
	archsimd.ClearAVXUpperBits()
}

func (l *Lanes) iterate16(n int) {
	var inner, outer, u, t [8]archsimd.Uint32x16
	load16(inner[:], l.Inner[:])
	load16(outer[:], l.Outer[:])
	load16(u[:], l.U[:])
	load16(t[:], l.T[:])
	for ; n > 0; n-- {
		tail32x16(&u, &inner, &u)
		tail32x16(&u, &outer, &u)
		for i := range t {
			t[i] = t[i].Xor(u[i])
		}
	}
	for i := range t {
		u[i].Store(&l.U[i])
		t[i].Store(&l.T[i])
	}
	clear(inner[:])
	clear(outer[:])
}

func (l *Lanes) iterate8(n int) {
	var inner, outer, u, t [8]archsimd.Uint32x8
	load8(inner[:], l.Inner[:])
	load8(outer[:], l.Outer[:])
	load8(u[:], l.U[:])
	load8(t[:], l.T[:])
	for ; n > 0; n-- {
		tail32x8(&u, &inner, &u)
		tail32x8(&u, &outer, &u)
		for i := range t {
			t[i] = t[i].Xor(u[i])
		}
	}
	for i := range t {
		u[i].Store((*[8]uint32)(l.U[i][:8]))
		t[i].Store((*[8]uint32)(l.T[i][:8]))
	}
	clear(inner[:])
	clear(outer[:])
}

// BlockLanes absorbs one block in each of the first width lanes.
func BlockLanes(width int, st *[8][MaxLanes]uint32, m *[16][MaxLanes]uint32) {
	switch width {
	case 16:
		var s [8]archsimd.Uint32x16
		var v [16]archsimd.Uint32x16
		load16(s[:], st[:])
		load16(v[:], m[:])
		block16(&s, &v)
		for i := range s {
			s[i].Store(&st[i])
		}
	case 8:
		var s [8]archsimd.Uint32x8
		var v [16]archsimd.Uint32x8
		load8(s[:], st[:])
		load8(v[:], m[:])
		block8(&s, &v)
		for i := range s {
			s[i].Store((*[8]uint32)(st[i][:8]))
		}
	default:
		blockLane(st, m)
		return
	}
	archsimd.ClearAVXUpperBits()
}
