package sm

import (
	"io"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/internal/mont"
	"github.com/keposs/keposs/core/secret"
)

// DefaultID is the user id GM/T 0009 names for use where none was agreed.
const DefaultID = "1234567812345678"

// MaxID is the longest user id in bytes: its bit length is a 16-bit number.
const MaxID = 8191

// zaHead is a ‖ b ‖ Gx ‖ Gy, what every ZA hashes of the curve.
var zaHead = func() (out [128]byte) {
	c := curve.Params()
	p := c.P.FillBytes(make([]byte, 32))
	copy(out[:32], p)
	out[31] -= 3 // a = p − 3, and the last byte of p is ff
	c.B.FillBytes(out[32:64])
	c.Gx.FillBytes(out[64:96])
	c.Gy.FillBytes(out[96:])
	return out
}()

// za is SM3(ENTL ‖ id ‖ a ‖ b ‖ G ‖ P), GM/T 0003.2 5.5.
func za(pub *PublicKey, id []byte) (out [32]byte) {
	h := NewSM3()
	bits := len(id) * 8
	h.Write([]byte{byte(bits >> 8), byte(bits)})
	h.Write(id)
	h.Write(zaHead[:])
	h.Write(pub.xy[:])
	h.Sum(out[:0])
	return out
}

func messageHash(pub *PublicKey, id, msg []byte) (out [32]byte) {
	z := za(pub, id)
	h := NewSM3()
	h.Write(z[:])
	h.Write(msg)
	h.Sum(out[:0])
	return out
}

func checkID(op string, id []byte) error {
	if len(id) == 0 || len(id) > MaxID {
		return core.Errorf(core.Usage, op, "user id of %d bytes: want 1 to %d, %q where none was agreed", len(id), MaxID, DefaultID)
	}
	return nil
}

// Sign returns r ‖ s over msg for the user id (GM/T 0003.2 6.1), 1 to MaxID
// bytes. The nonce is hedged: drawn from rand (nil: Rand()) with the key and
// the message hash mixed in, so that neither a repeating source nor two
// messages alone give one nonce twice. Errors: Usage, Closed, the reader's.
func (k *PrivateKey) Sign(rand io.Reader, msg, id []byte) (sig [64]byte, err error) {
	const op = "sm: sign"
	s, err := k.open(op)
	if err != nil {
		return sig, err
	}
	if err := checkID(op, id); err != nil {
		return sig, err
	}
	if rand == nil {
		rand = Rand()
	}
	e := messageHash(&s.pub, id, msg)
	ok := false
	guarded(func() {
		var bind [32]byte
		s.bind(&bind, &e)
		var nonce [32]byte
		for n := 0; n < maxDraws && !ok; n++ {
			if err = hedgedNonce(&nonce, rand, &bind); err != nil {
				break
			}
			ok = s.signWith(&sig, &e, &nonce)
		}
		clear(nonce[:])
		clear(bind[:])
	})
	if err != nil {
		return [64]byte{}, core.Errorf(core.CodeOf(err), op, "draw a nonce: %w", err)
	}
	if !ok {
		return [64]byte{}, core.Errorf(core.Integrity, op, "%d nonces gave no signature: the random source is broken", maxDraws)
	}
	return sig, nil
}

// bind is SM3(label ‖ d ‖ e): secret, and another for every key and message.
func (s *scalars) bind(out, e *[32]byte) {
	var d [32]byte
	order.Bytes(&d, &s.d)
	digest(out, []byte("keposs nonce"), d[:], e[:])
	clear(d[:])
}

// withInput is implemented by DRBG: randomness with additional input.
type withInput interface {
	ReadWith(p, additional []byte) error
}

// hedgedNonce sets nonce to the 512 bits of KDF(bind ‖ z) modulo n, z being 32
// bytes of rand; the length makes the bias less than 2^-255. bind also goes
// into the generator as additional input where rand takes any.
func hedgedNonce(nonce *[32]byte, rand io.Reader, bind *[32]byte) error {
	var z [32]byte
	var err error
	if w, ok := rand.(withInput); ok {
		err = w.ReadWith(z[:], bind[:])
	} else {
		_, err = io.ReadFull(rand, z[:])
	}
	if err == nil {
		var wide [64]byte
		kdf(wide[:], bind[:], z[:])
		var k mont.Elem
		order.SetWide(&k, &wide)
		order.Bytes(nonce, &k)
		secret.Zero(wide[:])
	}
	secret.Zero(z[:])
	return err
}

// signWith computes r = e + x1, s = (1+d)^-1·(k − r·d) and reports false when
// the standard asks for another nonce. nonce is in [0, n−1].
func (s *scalars) signWith(sig *[64]byte, e, nonce *[32]byte) bool {
	kg, ok := baseMult(nonce)
	if !ok {
		return false // k = 0
	}
	var r, k, t mont.Elem
	order.SetBytes(&r, (*[32]byte)(kg.xy[:32]))
	order.SetBytes(&t, e)
	order.Add(&r, &r, &t)
	order.SetBytes(&k, nonce)
	order.Add(&t, &r, &k)
	if mont.IsZero(&r)|mont.IsZero(&t) == 1 { // r = 0 or r + k = n
		return false
	}
	order.Mul(&t, &r, &s.d)
	order.Sub(&t, &k, &t)
	order.Mul(&t, &t, &s.inv)
	if mont.IsZero(&t) == 1 {
		return false
	}
	order.Bytes((*[32]byte)(sig[:32]), &r)
	order.Bytes((*[32]byte)(sig[32:]), &t)
	return true
}

// Verify reports whether sig is r ‖ s of pub over msg for the user id
// (GM/T 0003.2 7.1). It is false for a zero key and for an id out of bounds.
func Verify(pub PublicKey, msg, id []byte, sig [64]byte) bool {
	if pub.IsZero() || checkID("sm: verify", id) != nil {
		return false
	}
	e := messageHash(&pub, id, msg)
	return pub.verify(&e, &sig)
}

func (p *PublicKey) verify(e *[32]byte, sig *[64]byte) bool {
	var r, s, t mont.Elem
	canonical := order.SetBytes(&r, (*[32]byte)(sig[:32])) & order.SetBytes(&s, (*[32]byte)(sig[32:]))
	order.Add(&t, &r, &s)
	if canonical == 0 || mont.IsZero(&r)|mont.IsZero(&s)|mont.IsZero(&t) == 1 {
		return false
	}
	var tb [32]byte
	order.Bytes(&tb, &t)
	q, ok := p.combined((*[32]byte)(sig[32:]), &tb)
	if !ok {
		return false
	}
	order.SetBytes(&t, e)
	order.SetBytes(&s, (*[32]byte)(q.xy[:32]))
	order.Add(&t, &t, &s)
	return mont.Equal(&t, &r) == 1
}
