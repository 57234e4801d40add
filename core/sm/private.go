package sm

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/big"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/internal/mont"
	"github.com/keposs/keposs/core/secret"
)

// redacted is all that formatting a PrivateKey shows.
const redacted = "[secret]"

// PrivateKey is an SM2 private key d, 1 ≤ d ≤ n−2, with (1+d)^-1 computed once.
// Whoever made it wipes it. It is read-only until then and safe for concurrent
// use; Wipe must not race with use. After Wipe every method fails with Closed.
type PrivateKey struct {
	s *scalars // behind a pointer: reflection-based printers stop there
}

type scalars struct {
	d   mont.Elem // Montgomery form modulo n
	inv mont.Elem // (1+d)^-1, likewise
	pub PublicKey
	ok  bool
}

// NewPrivateKey takes d as 32 big-endian bytes and copies them. Errors:
// Invalid when d is not in [1, n−2].
func NewPrivateKey(d []byte) (*PrivateKey, error) {
	const op = "sm: new private key"
	if len(d) != 32 {
		return nil, core.Errorf(core.Invalid, op, "scalar of %d bytes: want 32", len(d))
	}
	s := new(scalars)
	guarded(func() { s.load((*[32]byte)(d)) })
	if !s.ok {
		*s = scalars{}
		return nil, core.Errorf(core.Invalid, op, "scalar is not in [1, n-2]: it is damaged or of another curve")
	}
	return &PrivateKey{s}, nil
}

func (s *scalars) load(d *[32]byte) {
	below := order.SetBytes(&s.d, d)
	one := order.One()
	var e mont.Elem
	order.Add(&e, &s.d, &one)
	if below&(1^mont.IsZero(&s.d))&(1^mont.IsZero(&e)) == 0 {
		return
	}
	s.invert(&e, d)
	k := *d // gmsm's curve is an interface: what it is given lives on the heap
	s.pub, s.ok = baseMult(&k)
	clear(k[:])
}

// invert sets inv = e^-1 for e = 1+d. gmsm inverts modulo n in assembly, twice
// as fast as mont, but through math/big; so it is given e·b, which tells
// nothing without b = SM3(label ‖ d), and b is wiped.
func (s *scalars) invert(e *mont.Elem, d *[32]byte) {
	var blind [32]byte
	digest(&blind, []byte("keposs blinded inversion"), d[:])
	var b, c mont.Elem
	order.SetBytes(&b, &blind)
	clear(blind[:])
	fast, ok := curve.(interface{ Inverse(*big.Int) *big.Int })
	if !ok || mont.IsZero(&b) == 1 {
		order.Inv(&s.inv, e)
		return
	}
	order.Mul(&c, e, &b)
	var cb [32]byte
	order.Bytes(&cb, &c)
	fast.Inverse(new(big.Int).SetBytes(cb[:])).FillBytes(cb[:])
	order.SetBytes(&c, &cb)
	order.Mul(&s.inv, &c, &b)
}

// GenerateKey makes a key from rand, nil meaning Rand(): 32 bytes are drawn
// and drawn again until they are in [1, n−2] (GM/T 0003.1 6.1), so that d is
// uniform. The pair-wise test is PairTest's. Errors: the reader's.
// req: K-15.2-01, G-7.9-05
func GenerateKey(rand io.Reader) (*PrivateKey, error) {
	const op = "sm: generate key"
	if rand == nil {
		rand = Rand()
	}
	var b [32]byte
	defer secret.Zero(b[:])
	for range maxDraws {
		if _, err := io.ReadFull(rand, b[:]); err != nil {
			return nil, core.Errorf(core.CodeOf(err), op, "read 32 random bytes: %w", err)
		}
		if k, err := NewPrivateKey(b[:]); err == nil {
			return k, nil
		}
	}
	return nil, core.Errorf(core.Integrity, op, "%d draws were out of range: the random source is broken", maxDraws)
}

// maxDraws bounds every loop that asks a random source again. One draw is out
// of range with probability 2^-32, so reaching it is a broken source.
const maxDraws = 64

func (k *PrivateKey) open(op string) (*scalars, error) {
	if k == nil || k.s == nil || !k.s.ok {
		return nil, core.Errorf(core.Closed, op, "the private key was wiped")
	}
	return k.s, nil
}

// Public returns [d]G, the zero PublicKey after Wipe.
func (k *PrivateKey) Public() PublicKey {
	if k == nil || k.s == nil {
		return PublicKey{}
	}
	return k.s.pub
}

// Scalar returns a copy of d, 32 big-endian bytes, owned by the caller; it is
// empty after Wipe.
func (k *PrivateKey) Scalar() *secret.Buffer {
	s, err := k.open("sm: scalar")
	if err != nil {
		return secret.New(0)
	}
	out := secret.New(32)
	guarded(func() { order.Bytes((*[32]byte)(out.Bytes()), &s.d) })
	return out
}

// Wipe zeroes the key. It may be called on nil and repeatedly.
func (k *PrivateKey) Wipe() {
	if k != nil && k.s != nil {
		*k.s = scalars{}
	}
}

// String redacts.
func (k PrivateKey) String() string { return redacted }

// GoString redacts under %#v.
func (k PrivateKey) GoString() string { return redacted }

// Format redacts under every verb.
func (k PrivateKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue redacts in log/slog.
func (k PrivateKey) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON redacts in encoding/json.
func (k PrivateKey) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText redacts in text encodings.
func (k PrivateKey) MarshalText() ([]byte, error) { return []byte(redacted), nil }

var (
	_ fmt.Formatter  = PrivateKey{}
	_ slog.LogValuer = PrivateKey{}
	_ json.Marshaler = PrivateKey{}
)

// PairTest is the pair-wise consistency test of a new key pair: a signature
// verifies and a ciphertext opens. Errors: Integrity; the caller wipes the
// pair and enters its error state.
// req: G-7.10-05
func PairTest(k *PrivateKey) error {
	const op = "sm: pair test"
	msg := []byte("keposs pair-wise consistency test")
	pub := k.Public()
	sig, err := k.Sign(nil, msg, []byte(DefaultID))
	if err != nil {
		return core.Errorf(core.Integrity, op, "sign: %w", err)
	}
	inject("pair", sig[:])
	if !Verify(pub, msg, []byte(DefaultID), sig) {
		return core.Errorf(core.Integrity, op, "the signature does not verify under its own public key")
	}
	ct, err := Encrypt(nil, pub, msg)
	if err != nil {
		return core.Errorf(core.Integrity, op, "encrypt: %w", err)
	}
	plain, err := k.Decrypt(ct)
	if err != nil {
		return core.Errorf(core.Integrity, op, "decrypt: %w", err)
	}
	defer plain.Wipe()
	if subtle.ConstantTimeCompare(plain.Bytes(), msg) != 1 {
		return core.Errorf(core.Integrity, op, "decryption does not give back what was encrypted")
	}
	return nil
}
