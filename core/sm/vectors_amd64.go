package sm

import "golang.org/x/sys/cpu"

func clearSSE()
func clearAVX()

// clearVectors zeroes the vector registers. gmsm's assembly leaves parts of
// scalars in them, and whatever interrupts the thread later saves them to
// memory that nobody wipes.
func clearVectors() {
	if cpu.X86.HasAVX {
		clearAVX()
	} else {
		clearSSE()
	}
}
