//go:build goexperiment.simd && amd64

package sm3

import "simd/archsimd"

// roundConstants are T_j <<< j of GM/T 0004.
var roundConstants = func() (t [64]uint32) {
	for j := range t {
		v := uint32(0x79cc4519)
		if j >= 16 {
			v = 0x7a879d8a
		}
		t[j] = v<<(j%32) | v>>(32-j%32)
	}
	return t
}()

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

func rot8(x archsimd.Uint32x8, n uint64) archsimd.Uint32x8 {
	return x.ShiftAllLeft(n).Or(x.ShiftAllRight(32 - n))
}

func load8(src *[8][MaxLanes]uint32) (v [8]archsimd.Uint32x8) {
	for i := range v {
		v[i] = archsimd.LoadUint32x8((*[8]uint32)(src[i][:8]))
	}
	return v
}

func load16(src *[8][MaxLanes]uint32) (v [8]archsimd.Uint32x16) {
	for i := range v {
		v[i] = archsimd.LoadUint32x16(&src[i])
	}
	return v
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
	inner, outer, u, t := load16(&l.Inner), load16(&l.Outer), load16(&l.U), load16(&l.T)
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
	inner, outer, u, t := load8(&l.Inner), load8(&l.Outer), load8(&l.U), load8(&l.T)
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
		s := load16(st)
		var v [16]archsimd.Uint32x16
		for i := range v {
			v[i] = archsimd.LoadUint32x16(&m[i])
		}
		block16(&s, &v)
		for i := range s {
			s[i].Store(&st[i])
		}
	case 8:
		s := load8(st)
		var v [16]archsimd.Uint32x8
		for i := range v {
			v[i] = archsimd.LoadUint32x8((*[8]uint32)(m[i][:8]))
		}
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
