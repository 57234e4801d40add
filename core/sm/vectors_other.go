//go:build !amd64 && !arm64

package sm

// clearVectors does nothing where gmsm's assembly is not known to leave
// scalars in vector registers.
func clearVectors() {}
