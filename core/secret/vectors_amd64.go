package secret

import "golang.org/x/sys/cpu"

func clearSSE()
func clearAVX()

// ClearVectors zeroes the vector registers. Copying a buffer leaves its last
// bytes in them, gmsm's assembly parts of scalars, and whatever interrupts the
// thread later saves them to memory that nobody wipes.
func ClearVectors() {
	if cpu.X86.HasAVX {
		clearAVX()
	} else {
		clearSSE()
	}
}
