//go:build !amd64 && !arm64

package secret

// ClearVectors does nothing where copies and gmsm's assembly are not known to
// leave secrets in vector registers.
func ClearVectors() {}
