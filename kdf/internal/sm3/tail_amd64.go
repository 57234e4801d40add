//go:build amd64 && !purego

package sm3

import "golang.org/x/sys/cpu"

// The forms of tail32 this processor runs, fastest first; the plain one runs
// everywhere.
var (
	hasAVX512 = cpu.X86.HasBMI2 && cpu.X86.HasAVX512VL
	hasBMI2   = cpu.X86.HasBMI2
)

//go:noescape
func tail32BMI2(dst, iv, m *[8]uint32)

//go:noescape
func tail32AVX512(dst, iv, m *[8]uint32)

// tail32 hashes the 32-byte message m after one block that left state iv. dst
// may be m.
func tail32(dst, iv, m *[8]uint32) {
	switch {
	case hasAVX512:
		tail32AVX512(dst, iv, m)
	case hasBMI2:
		tail32BMI2(dst, iv, m)
	default:
		tail32Go(dst, iv, m)
	}
}
