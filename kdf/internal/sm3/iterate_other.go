//go:build !amd64 || purego

package sm3

// Iterate runs n rounds of PBKDF2's inner loop: u = HMAC(key, u), t ^= u.
func (k *Key) Iterate(u, t *[8]uint32, n int) { k.iterate(u, t, n) }
