package sm

import (
	"crypto/subtle"
	"io"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/internal/mont"
	"github.com/keposs/keposs/core/secret"
)

// Encrypt returns 04 ‖ C1 ‖ C3 ‖ C2 (GM/T 0003.4 6.1, GM/T 0009 order), 97
// bytes longer than msg, which holds at least 1 byte. rand nil means Rand().
// Errors: Invalid for a zero key, an empty msg; TooLarge; the reader's.
func Encrypt(rand io.Reader, pub PublicKey, msg []byte) ([]byte, error) {
	const op = "sm: encrypt"
	if pub.IsZero() {
		return nil, core.Errorf(core.Invalid, op, "the public key is the zero value: parse one first")
	}
	if len(msg) == 0 {
		return nil, core.Errorf(core.Invalid, op, "the message is empty: SM2 encrypts at least one byte")
	}
	if len(msg) > MaxCiphertext-97 {
		return nil, core.Errorf(core.TooLarge, op, "message of %d bytes, at most %d", len(msg), MaxCiphertext-97)
	}
	if rand == nil {
		rand = Rand()
	}
	out := make([]byte, 97+len(msg))
	ok := false
	var err error
	guarded(func() {
		var bind, nonce [32]byte
		hmac(&bind, pub.xy[:], []byte("keposs encrypt"), msg)
		for n := 0; n < maxDraws && !ok; n++ {
			if err = hedgedNonce(&nonce, rand, &bind); err != nil {
				break
			}
			ok = pub.encryptWith(out, msg, &nonce)
		}
		clear(nonce[:])
		clear(bind[:])
	})
	if err != nil {
		return nil, core.Errorf(core.CodeOf(err), op, "draw a nonce: %w", err)
	}
	if !ok {
		return nil, core.Errorf(core.Integrity, op, "%d nonces gave no ciphertext: the random source is broken", maxDraws)
	}
	return out, nil
}

// encryptWith reports false when the standard asks for another nonce.
func (p *PublicKey) encryptWith(out, msg []byte, nonce *[32]byte) bool {
	c1, ok := baseMult(nonce)
	if !ok {
		return false
	}
	shared, ok := p.mult(nonce)
	if !ok {
		return false
	}
	defer clear(shared.xy[:])
	c2 := out[97:]
	kdf(c2, shared.xy[:])
	if allZero(c2) == 1 {
		return false
	}
	subtle.XORBytes(c2, c2, msg)
	out[0] = 4
	copy(out[1:65], c1.xy[:])
	digest((*[32]byte)(out[65:97]), shared.xy[:32], msg, shared.xy[32:])
	return true
}

func allZero(b []byte) int {
	var v byte
	for _, x := range b {
		v |= x
	}
	return subtle.ConstantTimeByteEq(v, 0)
}

// Decrypt opens 04 ‖ C1 ‖ C3 ‖ C2 (GM/T 0003.4 7.1) and returns the message,
// owned by the caller. Errors: Closed; Invalid for a wrong form or a C1 that is
// no point, decided before the key is used; Corrupt when the check value does
// not fit, which tells nothing more.
func (k *PrivateKey) Decrypt(c1c3c2 []byte) (*secret.Buffer, error) {
	const op = "sm: decrypt"
	s, err := k.open(op)
	if err != nil {
		return nil, err
	}
	if err := checkRaw(op, c1c3c2); err != nil {
		return nil, err
	}
	c1, err := ParsePoint(c1c3c2[:65])
	if err != nil {
		return nil, core.Errorf(core.Invalid, op, "the ciphertext begins with no point of the SM2 curve")
	}
	out := secret.New(len(c1c3c2) - 97)
	ok := 0
	guarded(func() { ok = s.decrypt(out.Bytes(), &c1, c1c3c2[65:97], c1c3c2[97:]) })
	if ok != 1 {
		out.Wipe()
		return nil, core.Errorf(core.Corrupt, op, "the ciphertext was not made for this key, or was changed")
	}
	return out, nil
}

func (s *scalars) decrypt(out []byte, c1 *PublicKey, c3, c2 []byte) int {
	var d [32]byte
	order.Bytes(&d, &s.d)
	shared, found := c1.mult(&d)
	clear(d[:])
	if !found {
		return 0
	}
	kdf(out, shared.xy[:])
	zero := allZero(out)
	subtle.XORBytes(out, out, c2)
	var u [32]byte
	digest(&u, shared.xy[:32], out, shared.xy[32:])
	ok := subtle.ConstantTimeCompare(u[:], c3) & (1 ^ zero)
	clear(shared.xy[:])
	clear(u[:])
	return ok
}

// reduceX is x̄ = 2^127 + (x mod 2^127) of the key exchange, GM/T 0003.3 6.1.
func reduceX(out *mont.Elem, x []byte) {
	var b [32]byte
	copy(b[16:], x[16:32])
	b[16] |= 0x80
	order.SetBytes(out, &b)
}
