//go:build amd64 && !purego

package sm3

import "golang.org/x/sys/cpu"

// The forms of Iterate this processor runs, fastest first; the plain one runs
// everywhere.
var (
	hasBMI    = cpu.X86.HasBMI1 && cpu.X86.HasBMI2
	hasAVX512 = hasBMI && cpu.X86.HasAVX512VL
)

// The assembled forms want n ≥ 1 and cannot be preempted while they run.

//go:noescape
func iterateBMI2(u, t *[8]uint32, k *Key, n int)

//go:noescape
func iterateAVX512(u, t *[8]uint32, k *Key, n int)

// Iterate runs n rounds of PBKDF2's inner loop: u = HMAC(key, u), t ^= u.
func (k *Key) Iterate(u, t *[8]uint32, n int) {
	switch {
	case n < 1:
	case hasAVX512:
		iterateAVX512(u, t, k, n)
	case hasBMI:
		iterateBMI2(u, t, k, n)
	default:
		k.iterate(u, t, n)
	}
}
