//go:build !amd64 || purego

package sm3

// tail32 hashes the 32-byte message m after one block that left state iv. dst
// may be m.
func tail32(dst, iv, m *[8]uint32) { tail32Go(dst, iv, m) }
