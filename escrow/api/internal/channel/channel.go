// Package channel seals what travels between MST-CC and SS-CC under the keys
// of an SM2 key exchange: docs/wire.md, section 3. It sits inside TLS, so that
// the approved algorithms carry the claim and a load balancer may end TLS.
//
//	sealed = seq u64 ‖ iv 16 ‖ SM4-CTR ciphertext ‖ HMAC-SM3 32
//	mac over enc(dir, seq, iv, SM3(request) or "", ct)
//
// dir is "request" or "answer"; an answer is bound to the sealed request it
// answers. No side keeps sequence state: every request is idempotent.
package channel

import (
	"crypto/subtle"
	"encoding/binary"
	"io"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// KeySize is the key material of a session: request encryption 16, request MAC
// 32, answer encryption 16, answer MAC 32.
const KeySize = 96

// Overhead is what sealing adds.
const (
	seqSize  = 8
	ivSize   = 16
	macSize  = 32
	Overhead = seqSize + ivSize + macSize
)

// Bounds of what is sealed, in bytes.
const (
	MaxRequest = 128 << 10
	MaxAnswer  = 161 << 10
)

// A Keys holds the four keys of a session. Whoever made it wipes it; it is
// read-only until then and safe for concurrent use. It never prints.
type Keys struct{ b *secret.Buffer }

// NewKeys takes over material of KeySize bytes. Errors: Usage; material is
// then the caller's still.
func NewKeys(material *secret.Buffer) (*Keys, error) {
	if material.Len() != KeySize {
		return nil, core.Errorf(core.Usage, "channel: keys", "want %d bytes of key material", KeySize)
	}
	return &Keys{material}, nil
}

// Wipe zeroes the keys. It may be called on nil and repeatedly.
func (k *Keys) Wipe() {
	if k != nil {
		k.b.Wipe()
	}
}

type direction struct {
	name     string
	enc, mac []byte
	most     int
}

func (k *Keys) up() direction {
	b := k.b.Bytes()
	return direction{"request", b[:16], b[16:48], MaxRequest}
}

func (k *Keys) down() direction {
	b := k.b.Bytes()
	return direction{"answer", b[48:64], b[64:96], MaxAnswer}
}

// SealRequest seals plain, which is encrypted in place and so lost to the
// caller. seq tells requests of a session apart. Errors: Closed after Wipe,
// TooLarge, the reader's.
func (k *Keys) SealRequest(rand io.Reader, seq uint64, plain []byte) ([]byte, error) {
	if k.b.Len() != KeySize {
		return nil, closed()
	}
	return k.up().seal(rand, seq, nil, plain)
}

// OpenRequest returns seq and plaintext, a new slice. Errors: Auth when it was
// not made with these keys or was changed.
func (k *Keys) OpenRequest(sealed []byte) (uint64, []byte, error) {
	if k.b.Len() != KeySize {
		return 0, nil, closed()
	}
	return k.up().open(sealed, nil)
}

// SealAnswer seals the answer to a sealed request under its seq; plain is
// encrypted in place.
func (k *Keys) SealAnswer(rand io.Reader, request, plain []byte) ([]byte, error) {
	if k.b.Len() != KeySize {
		return nil, closed()
	}
	if len(request) < Overhead {
		return nil, core.Errorf(core.Usage, "channel: seal", "an answer needs its request")
	}
	return k.down().seal(rand, binary.BigEndian.Uint64(request), request, plain)
}

// OpenAnswer opens the answer to request. Errors: Auth when it does not answer
// this request.
func (k *Keys) OpenAnswer(request, sealed []byte) ([]byte, error) {
	if k.b.Len() != KeySize {
		return nil, closed()
	}
	seq, plain, err := k.down().open(sealed, request)
	if err == nil && seq != binary.BigEndian.Uint64(request) {
		return nil, forged()
	}
	return plain, err
}

func closed() error { return core.Errorf(core.Closed, "channel", "the session was wiped") }

func forged() error {
	return core.Errorf(core.Auth, "channel: open", "the message is not of this session or was changed")
}

func (d direction) seal(rand io.Reader, seq uint64, request, plain []byte) ([]byte, error) {
	if len(plain) > d.most-Overhead {
		return nil, core.Errorf(core.TooLarge, "channel: seal", "%d bytes, at most %d", len(plain), d.most-Overhead)
	}
	out := make([]byte, seqSize+ivSize, Overhead+len(plain))
	binary.BigEndian.PutUint64(out, seq)
	iv := out[seqSize : seqSize+ivSize]
	if _, err := io.ReadFull(rand, iv); err != nil {
		return nil, core.Errorf(core.CodeOf(err), "channel: seal", "random bytes: %w", err)
	}
	if err := sm.CTR(d.enc, iv, plain, plain); err != nil {
		return nil, core.Errorf(core.Internal, "channel: seal", "%w", err)
	}
	mac := d.tag(seq, iv, request, plain)
	return append(append(out, plain...), mac[:]...), nil
}

func (d direction) open(sealed, request []byte) (uint64, []byte, error) {
	if len(sealed) < Overhead || len(sealed) > d.most {
		return 0, nil, forged()
	}
	seq := binary.BigEndian.Uint64(sealed)
	iv, ct, mac := sealed[seqSize:seqSize+ivSize], sealed[seqSize+ivSize:len(sealed)-macSize], sealed[len(sealed)-macSize:]
	want := d.tag(seq, iv, request, ct)
	if subtle.ConstantTimeCompare(want[:], mac) != 1 {
		return 0, nil, forged()
	}
	plain := make([]byte, len(ct))
	if err := sm.CTR(d.enc, iv, plain, ct); err != nil {
		return 0, nil, core.Errorf(core.Internal, "channel: open", "%w", err)
	}
	return seq, plain, nil
}

// tag is the MAC. request nil means the message is one itself: its item is "".
func (d direction) tag(seq uint64, iv, request, ct []byte) [32]byte {
	var of []byte
	if request != nil {
		sum := sm.SM3(request)
		of = sum[:]
	}
	return sm.HMAC(d.mac, enc.Join(enc.Str(d.name), enc.U64(seq), iv, of, ct))
}
