package sm

import (
	"crypto/subtle"
	"encoding/binary"
	"hash"

	"github.com/emmansun/gmsm/sm3"
	"github.com/emmansun/gmsm/sm4"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
)

// SM3 returns the digest of data (GM/T 0004). Blocks of data stay on the stack:
// for secrets use SecretSM3.
func SM3(data []byte) [32]byte { return sm3.Sum(data) }

// SecretSM3 is SM3 that leaves no copy of data behind and whose result of 32
// bytes is a secret too, owned by the caller.
func SecretSM3(data []byte) *secret.Buffer {
	out := secret.New(32)
	guarded(func() { digest((*[32]byte)(out.Bytes()), data) })
	return out
}

// NewSM3 returns a running SM3. Its state stays in memory until collected: for
// secrets use HMAC, KDF, SecretSM3, or SM3Of inside Guard.
func NewSM3() hash.Hash { return sm3.New() }

// SM3Of returns SM3 of the parts joined without separators and zeroes the
// hash's state. The stack is left to the Guard it runs in. The caller sees to
// it that the joining is injective.
func SM3Of(parts ...[]byte) (out [32]byte) {
	digest(&out, parts...)
	return out
}

// digest hashes parts into out; it must run inside guarded if parts are secret.
func digest(out *[32]byte, parts ...[]byte) {
	h := sm3.New()
	for _, p := range parts {
		h.Write(p)
	}
	sum(h, out)
	erase(h)
}

// sum keeps out off the heap: what goes through hash.Hash is allocated there,
// and a copy of a secret result would stay.
func sum(h hash.Hash, out *[32]byte) {
	b := h.Sum(nil)
	copy(out[:], b)
	clear(b)
}

// HMAC returns HMAC-SM3 of msg (RFC 2104 with SM3) and leaves no copy of key
// or msg behind. The result stands on the stack: where it is a secret too, use
// SecretHMAC.
func HMAC(key, msg []byte) (out [32]byte) {
	guarded(func() { hmac(&out, key, msg) })
	return out
}

// SecretHMAC is HMAC whose result of 32 bytes is a secret, owned by the caller.
func SecretHMAC(key, msg []byte) *secret.Buffer {
	out := secret.New(32)
	guarded(func() { hmac((*[32]byte)(out.Bytes()), key, msg) })
	return out
}

func hmac(out *[32]byte, key []byte, parts ...[]byte) {
	m := mac{inner: sm3.New(), outer: sm3.New()}
	m.setKey(key)
	for _, p := range parts {
		m.inner.Write(p)
	}
	m.finish(out)
	m.Wipe()
}

// mac is HMAC-SM3 as a hash.Hash. crypto/hmac would keep the padded key in a
// place that nothing can wipe.
type mac struct {
	inner, outer hash.Hash
	ipad, opad   [sm3.BlockSize]byte
}

// NewHMAC returns a running HMAC-SM3 under key. The value also has a method
// Wipe() that zeroes the key; it must not be used afterwards.
func NewHMAC(key []byte) hash.Hash {
	m := &mac{inner: sm3.New(), outer: sm3.New()}
	guarded(func() { m.setKey(key) })
	return m
}

func (m *mac) setKey(key []byte) {
	var k [sm3.BlockSize]byte
	if len(key) > len(k) {
		var d [32]byte
		digest(&d, key)
		copy(k[:], d[:])
		clear(d[:])
	} else {
		copy(k[:], key)
	}
	for i, v := range k {
		m.ipad[i], m.opad[i] = v^0x36, v^0x5c
	}
	clear(k[:])
	m.Reset()
}

// Write adds to the message; it never fails.
func (m *mac) Write(p []byte) (int, error) { return m.inner.Write(p) }

// Size is 32.
func (m *mac) Size() int { return sm3.Size }

// BlockSize is 64.
func (m *mac) BlockSize() int { return sm3.BlockSize }

// Reset starts a new message under the same key.
func (m *mac) Reset() {
	m.inner.Reset()
	m.inner.Write(m.ipad[:])
}

func (m *mac) finish(out *[32]byte) {
	b := m.inner.Sum(nil)
	m.outer.Reset()
	m.outer.Write(m.opad[:])
	m.outer.Write(b)
	clear(b)
	sum(m.outer, out)
}

// Sum appends the tag of what was written so far; more may be written after.
func (m *mac) Sum(b []byte) []byte {
	var out [32]byte
	guarded(func() { m.finish(&out) })
	return append(b, out[:]...)
}

// Wipe zeroes the key.
func (m *mac) Wipe() {
	erase(m.inner)
	erase(m.outer)
	clear(m.ipad[:])
	clear(m.opad[:])
}

// maxKDF is the standard's bound: the 32-bit counter must not wrap.
const maxKDF = 32 * (1<<32 - 1)

// KDF returns n bytes of the key derivation function of GM/T 0003.3 5.4.3 with
// SM3: SM3(z‖1) ‖ SM3(z‖2) ‖ …, counters of 4 big-endian bytes, cut to n. The
// result is the caller's to wipe; no copy of it or of z is left elsewhere. It
// panics for n < 0 or n > 32·(2^32−1), which no caller of keposs can reach.
func KDF(z []byte, n int) []byte {
	if n < 0 || uint64(n) > maxKDF {
		panic("sm: KDF: length out of range")
	}
	out := make([]byte, n)
	guarded(func() { kdf(out, z) })
	return out
}

func kdf(out []byte, parts ...[]byte) {
	var block [32]byte
	for ct := uint32(1); len(out) > 0; ct++ {
		h := sm3.New()
		for _, p := range parts {
			h.Write(p)
		}
		var c [4]byte
		binary.BigEndian.PutUint32(c[:], ct)
		h.Write(c[:])
		h.Sum(block[:0])
		erase(h)
		out = out[copy(out, block[:]):]
	}
	clear(block[:])
}

// CTR sets dst to src under SM4 in counter mode (GM/T 0002, GB/T 17964), the
// whole iv being the first counter block, big-endian. key and iv are 16 bytes
// each, dst at least as long as src and the same slice or not overlapping it.
// Errors: Usage. The key schedule is wiped. CTR alone does not authenticate.
func CTR(key, iv, dst, src []byte) error {
	if len(key) != 16 || len(iv) != 16 || len(dst) < len(src) {
		return core.Errorf(core.Usage, "sm: ctr", "key of %d bytes, iv of %d, room for %d of %d bytes: want 16, 16 and room for all",
			len(key), len(iv), len(dst), len(src))
	}
	var err error
	guarded(func() { err = ctr(key, iv, dst, src) })
	return err
}

// keyStream is how much key stream is made at a time, in bytes: the widest
// kernel of gmsm takes 16 blocks.
const keyStream = 256

// batch is what gmsm's vector kernels offer: EncryptBlocks takes exactly
// Concurrency blocks, in constant time where its one-block code may not be.
type batch interface {
	Concurrency() int
	EncryptBlocks(dst, src []byte)
}

// ctr runs the block cipher itself: the stream of crypto/cipher keeps a buffer
// of key stream that cannot be wiped.
func ctr(key, iv, dst, src []byte) error {
	b, err := sm4.NewCipher(key)
	if err != nil {
		return core.Errorf(core.Internal, "sm: ctr", "sm4: %w", err)
	}
	defer erase(b)
	step := 16
	encrypt := b.Encrypt
	if wide, ok := b.(batch); ok && wide.Concurrency() > 1 && 16*wide.Concurrency() <= keyStream {
		step, encrypt = 16*wide.Concurrency(), wide.EncryptBlocks
	}
	var counters, stream [keyStream]byte
	defer clear(stream[:])
	hi, lo := binary.BigEndian.Uint64(iv), binary.BigEndian.Uint64(iv[8:])
	for len(src) > 0 {
		n := min(len(src), step)
		for i := 0; i < step; i += 16 {
			binary.BigEndian.PutUint64(counters[i:], hi)
			binary.BigEndian.PutUint64(counters[i+8:], lo)
			lo++
			if lo == 0 {
				hi++
			}
		}
		encrypt(stream[:step], counters[:step])
		subtle.XORBytes(dst, src[:n], stream[:n])
		dst, src = dst[n:], src[n:]
	}
	return nil
}
