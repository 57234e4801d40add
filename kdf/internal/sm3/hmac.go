package sm3

import "runtime"

// A Key is an HMAC-SM3 key with both padded blocks absorbed.
type Key struct {
	Inner, Outer [8]uint32
}

// Init absorbs key (any length; longer than a block is hashed first, as HMAC
// says). key is lent; d is scratch and left wiped.
func (k *Key) Init(key []byte, d *Digest) {
	var pad [BlockSize]byte
	if len(key) > BlockSize {
		var h [8]uint32
		d.Reset()
		_, _ = d.Write(key)
		d.Sum(&h)
		PutWords(pad[:Size], &h)
		h = [8]uint32{}
	} else {
		copy(pad[:], key)
	}
	for i := range pad {
		pad[i] ^= 0x36
	}
	d.Reset()
	_, _ = d.Write(pad[:])
	k.Inner = d.st
	for i := range pad {
		pad[i] ^= 0x36 ^ 0x5c
	}
	d.Reset()
	_, _ = d.Write(pad[:])
	k.Outer = d.st
	clear(pad[:])
	d.Wipe()
}

// Wipe clears the key.
func (k *Key) Wipe() { *k = Key{} }

// MAC writes HMAC-SM3(key, parts joined) as words to out. d is scratch and is
// left holding the inner hash's last block: wipe it when parts are secret.
func (k *Key) MAC(out *[8]uint32, d *Digest, parts ...[]byte) {
	d.resume(&k.Inner)
	for _, p := range parts {
		_, _ = d.Write(p)
	}
	d.Sum(out)
	tail32(out, &k.Outer, out)
}

// iterate is [Key.Iterate] without assembly.
func (k *Key) iterate(u, t *[8]uint32, n int) {
	for ; n > 0; n-- {
		tail32(u, &k.Inner, u)
		tail32(u, &k.Outer, u)
		for i := range t {
			t[i] ^= u[i]
		}
	}
}

// Burn overwrites the stack below its caller, where the compression functions
// spilled words of their state.
//
//go:noinline
func Burn() {
	var b [4096]byte
	clear(b[:])
	runtime.KeepAlive(&b)
}
