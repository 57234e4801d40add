// Package sm3 is SM3 (GM/T 0004) for key derivation: compression over words
// with no hash.Hash in the way, HMAC-SM3 with its two padded states computed
// once, and the same in 8 or 16 lanes where Go's experimental simd is built in.
// PBKDF2's inner loop has two assembled forms for amd64 beside the plain one,
// chosen by the processor; the tag purego leaves them out. All
// come from one generator, gen.go.
//
// It exists for speed and for wiping: what PBKDF2 iterates is one [Key] of 64
// bytes and two words arrays, all in memory the caller owns and clears. Other
// code hashes through core/sm. It is checked against core/sm's SM3 by vectors
// and by fuzzing.
package sm3

import "encoding/binary"

//go:generate go run gen.go gen_asm.go

// Sizes in bytes.
const (
	Size      = 32
	BlockSize = 64
)

// IV is the initial state.
var iv = [8]uint32{
	0x7380166f, 0x4914b2b9, 0x172442d7, 0xda8a0600, 0xa96f30bc, 0x163138aa, 0xe38dee4d, 0xb0fb0e4e,
}

// IV sets st to SM3's initial state.
func IV(st *[8]uint32) { *st = iv }

// A Digest hashes a message given in parts. The zero value is not ready: call
// Reset. It holds what it hashed; Wipe it when that was secret.
type Digest struct {
	st  [8]uint32
	buf [BlockSize]byte
	n   int    // bytes in buf
	len uint64 // bytes in all
	m   [16]uint32
}

// Reset starts a message.
func (d *Digest) Reset() { d.st, d.n, d.len = iv, 0, 0 }

// resume starts after one block that left st.
func (d *Digest) resume(st *[8]uint32) { d.st, d.n, d.len = *st, 0, BlockSize }

// Write absorbs p. It never fails; the results are for io.Writer.
func (d *Digest) Write(p []byte) (int, error) {
	n := len(p)
	d.len += uint64(n)
	for len(p) > 0 {
		k := copy(d.buf[d.n:], p)
		d.n += k
		p = p[k:]
		if d.n == BlockSize {
			d.block()
		}
	}
	return n, nil
}

func (d *Digest) block() {
	for i := range d.m {
		d.m[i] = binary.BigEndian.Uint32(d.buf[4*i:])
	}
	Block(&d.st, &d.m)
	d.n = 0
}

// Sum pads and writes the hash as words to out. The digest must be Reset before
// it is used again.
func (d *Digest) Sum(out *[8]uint32) {
	bits := d.len * 8
	d.buf[d.n] = 0x80
	clear(d.buf[d.n+1:])
	if d.n >= 56 {
		d.block()
		clear(d.buf[:])
	}
	binary.BigEndian.PutUint64(d.buf[56:], bits)
	d.block()
	*out = d.st
}

// Wipe clears the digest.
func (d *Digest) Wipe() { *d = Digest{} }

// PutWords writes the big-endian bytes of w to dst, at most len(dst) of them.
func PutWords(dst []byte, w *[8]uint32) {
	var b [4]byte
	for i := 0; i < 8 && len(dst) > 0; i++ {
		binary.BigEndian.PutUint32(b[:], w[i])
		dst = dst[copy(dst, b[:]):]
	}
	b = [4]byte{}
}
