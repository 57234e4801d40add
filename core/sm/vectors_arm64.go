package sm

func clearNEON()

// clearVectors zeroes the vector registers, see the amd64 file.
func clearVectors() { clearNEON() }
