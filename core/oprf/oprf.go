// Package oprf is the oblivious pseudorandom function of the hardened escrow:
// the suite "SM2-SM3", RFC 9497 framing (always mode 0x01, VOPRF) over the SM2
// curve with SM3, hash-to-curve by RFC 9380 simplified SWU with Z = −9.
//
// The terminal blinds its input (derived from what a person knows), SS-CC
// multiplies by a key per user and generation and counts, the terminal unblinds
// and hashes. SS-CC learns nothing of the input, the terminal nothing of the
// key; a proof shows that the key of the public key was used. docs/oprf.md is
// enough for a second implementation; testdata holds vectors.
//
// Every element that comes from outside is checked before any use: canonical,
// on the curve, not the identity. The client's arithmetic on inputs, blinds and
// unblinded points is this package's own, in constant time over fixed arrays
// that are wiped. The server multiplies through core/sm.
package oprf

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/internal/mont"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// Suite is the identifier in the context string.
const Suite = "SM2-SM3"

// Sizes in bytes.
const (
	ElementSize = 33 // compressed point
	ScalarSize  = 32
	ProofSize   = 64 // c ‖ s
	OutputSize  = 32
)

var sm2 = newSM2()

func newSM2() *group {
	g := newGroup(Suite, sm.FieldPrime(), sm.GroupOrder(), sm.CurveB(), 9)
	g.hash = sm.SM3Of
	from := func(k sm.PublicKey, ok bool) (q point, _ bool) {
		u := k.Uncompressed()
		copy(q[:], u[1:])
		clear(u[:])
		return q, ok
	}
	to := func(q *point) (sm.PublicKey, bool) {
		var u [65]byte
		u[0] = 4
		copy(u[1:], q[:])
		k, err := sm.ParsePoint(u[:])
		return k, err == nil
	}
	g.mults = func(ps []product) {
		all := make([]sm.Product, len(ps))
		pts := make([]sm.PublicKey, len(ps))
		ask := make([]*sm.Product, 0, len(ps))
		for i := range ps {
			all[i].K = ps[i].k
			if ps[i].q != nil {
				var ok bool
				if pts[i], ok = to(ps[i].q); !ok {
					continue
				}
				all[i].P = &pts[i]
			}
			ask = append(ask, &all[i])
		}
		sm.Products(ask...)
		for i := range ps {
			ps[i].out, ps[i].ok = from(all[i].Q, all[i].OK)
		}
	}
	g.baseMult = func(k *[32]byte) (point, bool) { return from(sm.BaseMult(k)) }
	g.add = func(a, b *point) (point, bool) {
		p, ok := to(a)
		q, ok2 := to(b)
		if !ok || !ok2 {
			return point{}, false
		}
		return from(p.Add(q))
	}
	g.check = func(b []byte) (point, bool) {
		k, err := sm.ParseShared(b)
		return from(k, err == nil)
	}
	return g
}

// parse refuses whatever is not a compressed point. Errors: Invalid.
func (g *group) parse(op, what string, b *[ElementSize]byte) (point, error) {
	q, ok := g.check(b[:])
	if !ok {
		return point{}, core.Errorf(core.Invalid, op, "%s is no compressed point of the curve", what)
	}
	return q, nil
}

// scalar draws 1 ≤ k ≤ n−1 from 64 random bytes reduced modulo n.
func (g *group) scalar(op string, k *[32]byte, rand io.Reader) error {
	if rand == nil {
		rand = sm.Rand()
	}
	wide, err := secret.Read(rand, 64)
	if err != nil {
		return core.Errorf(core.CodeOf(err), op, "draw a scalar: %w", err)
	}
	defer wide.Wipe()
	zero := uint64(0)
	sm.Guard(func() {
		var e mont.Elem
		g.n.SetWide(&e, (*[64]byte)(wide.Bytes()))
		g.n.Bytes(k, &e)
		zero = mont.IsZero(&e)
	})
	if zero == 1 {
		return core.Errorf(core.Integrity, op, "the random source gave 0: it is broken")
	}
	return nil
}

// redacted is all that formatting a Key or a Blinding shows.
const redacted = "[secret]"

// Key is a server key k, 1 ≤ k ≤ n−1. Whoever made it wipes it; it is safe for
// concurrent use until then. It never prints.
type Key struct{ s *keyState }

type keyState struct {
	k   [32]byte
	pub [ElementSize]byte
	ok  bool
}

// GenerateKey draws a key; rand nil means sm.Rand(). Errors: the reader's.
func GenerateKey(rand io.Reader) (*Key, error) {
	s := new(keyState)
	if err := sm2.scalar("oprf: generate key", &s.k, rand); err != nil {
		return nil, err
	}
	return s.finish("oprf: generate key")
}

// NewKey takes a scalar of 32 big-endian bytes and copies it. Errors: Invalid
// when it is not in [1, n−1].
func NewKey(scalar []byte) (*Key, error) {
	const op = "oprf: new key"
	if len(scalar) != ScalarSize {
		return nil, core.Errorf(core.Invalid, op, "scalar of %d bytes: want %d", len(scalar), ScalarSize)
	}
	s := new(keyState)
	copy(s.k[:], scalar)
	below := uint64(0)
	sm.Guard(func() {
		var e mont.Elem
		below = sm2.n.SetBytes(&e, &s.k)
	})
	if below == 0 {
		clear(s.k[:])
		return nil, core.Errorf(core.Invalid, op, "scalar is not below the group order")
	}
	return s.finish(op)
}

// DeriveKey is DeriveKeyPair of RFC 9497 from a seed of 32 bytes and public
// info of at most 65535. Errors: Usage.
func DeriveKey(seed, info []byte) (*Key, error) {
	const op = "oprf: derive key"
	if len(seed) != 32 || len(info) > MaxInput {
		return nil, core.Errorf(core.Usage, op, "seed of %d bytes, info of %d: want 32 and at most %d", len(seed), len(info), MaxInput)
	}
	s := new(keyState)
	sm.Guard(func() { sm2.deriveKey(&s.k, (*[32]byte)(seed), info) })
	return s.finish(op)
}

func (s *keyState) finish(op string) (*Key, error) {
	pub, ok := sm2.baseMult(&s.k)
	if !ok {
		return nil, core.Errorf(core.Invalid, op, "the scalar is 0")
	}
	s.pub, s.ok = pub.compress(), true
	return &Key{s}, nil
}

func (k *Key) open(op string) (*keyState, error) {
	if k == nil || k.s == nil || !k.s.ok {
		return nil, core.Errorf(core.Closed, op, "the key was wiped")
	}
	return k.s, nil
}

// PublicKey returns k·G compressed, zero after Wipe.
func (k *Key) PublicKey() (out [ElementSize]byte) {
	if k != nil && k.s != nil {
		out = k.s.pub
	}
	return out
}

// Bytes returns a copy of the scalar, owned by the caller; empty after Wipe.
func (k *Key) Bytes() *secret.Buffer {
	s, err := k.open("oprf: key bytes")
	if err != nil {
		return secret.New(0)
	}
	return secret.Copy(s.k[:])
}

// Wipe zeroes the key. It may be called on nil and repeatedly.
func (k *Key) Wipe() {
	if k != nil && k.s != nil {
		*k.s = keyState{}
	}
}

// Format redacts under every verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue redacts in log/slog.
func (k Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText redacts in text encodings and JSON.
func (k Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Element is a group element that was checked. The zero value is none and
// refused by every use.
type Element struct{ q point }

// ParseElement checks what came from outside. Errors: Invalid when b is no
// compressed point of the curve.
func ParseElement(b [ElementSize]byte) (Element, error) {
	q, err := sm2.parse("oprf: parse element", "the blinded element", &b)
	return Element{q}, err
}

// Evaluate is BlindEvaluate of the server: k·b. Errors: Invalid when b is no
// compressed point of the curve, decided before the key is used; Closed.
func Evaluate(k *Key, b [ElementSize]byte) ([ElementSize]byte, error) {
	if _, err := k.open("oprf: evaluate"); err != nil {
		return [ElementSize]byte{}, err
	}
	e, err := ParseElement(b)
	if err != nil {
		return [ElementSize]byte{}, err
	}
	return k.Evaluate(e)
}

// Evaluate is the package's Evaluate of an element checked before. Errors:
// Closed, Invalid for the zero value.
func (k *Key) Evaluate(b Element) ([ElementSize]byte, error) {
	e, _, err := k.evaluate("oprf: evaluate", &b)
	return e.compressIf(err)
}

func (q *point) compressIf(err error) (out [ElementSize]byte, _ error) {
	if err != nil {
		return out, err
	}
	return q.compress(), nil
}

func (k *Key) evaluate(op string, b *Element) (e point, s *keyState, err error) {
	if s, err = k.open(op); err != nil {
		return e, nil, err
	}
	if b.q == (point{}) {
		return e, nil, core.Errorf(core.Invalid, op, "the blinded element was not parsed")
	}
	e, ok := sm2.mult(&s.k, &b.q)
	if !ok {
		return e, nil, core.Errorf(core.Internal, op, "the product is the identity")
	}
	return e, s, nil
}

// EvaluateWithProof is Evaluate with a proof c ‖ s that the key of PublicKey
// was used. rand nil means sm.Rand(). Errors: as Evaluate, and the reader's.
func EvaluateWithProof(rand io.Reader, k *Key, b [ElementSize]byte) (out [ElementSize]byte, proof [ProofSize]byte, err error) {
	if _, err := k.open("oprf: evaluate with proof"); err != nil {
		return out, proof, err
	}
	q, err := ParseElement(b)
	if err != nil {
		return out, proof, err
	}
	return k.EvaluateWithProof(rand, q)
}

// EvaluateWithProof is the package's EvaluateWithProof of an element checked
// before. Errors: as Evaluate, and the reader's.
func (k *Key) EvaluateWithProof(rand io.Reader, b Element) (out [ElementSize]byte, proof [ProofSize]byte, err error) {
	const op = "oprf: evaluate with proof"
	e, s, err := k.evaluate(op, &b)
	if err != nil {
		return out, proof, err
	}
	var r [32]byte
	defer secret.Zero(r[:])
	if err := sm2.scalar(op, &r, rand); err != nil {
		return out, proof, err
	}
	if !sm2.prove(&proof, &s.k, &r, &s.pub, []point{b.q}, []point{e}) {
		return out, proof, core.Errorf(core.Internal, op, "a point of the proof is the identity")
	}
	return e.compress(), proof, nil
}

// VerifyProof checks a proof of EvaluateWithProof against the public key the
// client knows. Errors: Invalid for what is no point; Integrity when the proof
// is wrong: the server used another key, or somebody changed the answer.
func VerifyProof(pub, b, evaluated [ElementSize]byte, proof [ProofSize]byte) error {
	const op = "oprf: verify proof"
	var pts [3]point
	for i, v := range []struct {
		what string
		b    *[ElementSize]byte
	}{{"the public key", &pub}, {"the blinded element", &b}, {"the evaluated element", &evaluated}} {
		var err error
		if pts[i], err = sm2.parse(op, v.what, v.b); err != nil {
			return err
		}
	}
	if !sm2.verify(pts[0], pts[1:2], pts[2:3], &proof) {
		return core.Errorf(core.Integrity, op, "the proof is wrong: the answer was not made with the key that was agreed")
	}
	return nil
}

// FullEvaluate computes locally what Blind, Evaluate and Finalize give
// together; the terminal needs it once, at enrolment, where it draws the key
// itself. The result is the caller's to wipe. Errors: Usage, Closed.
func FullEvaluate(k *Key, input []byte) (*secret.Buffer, error) {
	const op = "oprf: full evaluate"
	s, err := k.open(op)
	if err != nil {
		return nil, err
	}
	if err := checkInput(op, input); err != nil {
		return nil, err
	}
	out, ok := secret.New(OutputSize), false
	sm.Guard(func() {
		var n point
		if ok = sm2.blind(&n, &s.k, input); ok {
			*(*[OutputSize]byte)(out.Bytes()) = sm2.finish(input, &n)
		}
		clear(n[:])
	})
	if !ok {
		return nil, identityInput(op)
	}
	return out, nil
}

func checkInput(op string, input []byte) error {
	if len(input) > MaxInput {
		return core.Errorf(core.Usage, op, "input of %d bytes, at most %d", len(input), MaxInput)
	}
	return nil
}

// identityInput happens with probability 2^-256; RFC 9497 calls it
// InvalidInputError.
func identityInput(op string) error {
	return core.Errorf(core.Invalid, op, "the input hashes to the identity")
}

// Blinding is the client's state between Blind and Finalize: the blind and a
// copy of the input. Whoever made it wipes it. It never prints.
type Blinding struct{ s *blindState }

type blindState struct {
	r       [32]byte
	input   *secret.Buffer
	element [ElementSize]byte
}

// Blind hashes input, at most MaxInput bytes, to the curve and blinds it with
// a scalar of rand; nil means sm.Rand(). input is copied. Errors: Usage, the
// reader's.
func Blind(rand io.Reader, input []byte) (*Blinding, error) {
	const op = "oprf: blind"
	if err := checkInput(op, input); err != nil {
		return nil, err
	}
	s := new(blindState)
	if err := sm2.scalar(op, &s.r, rand); err != nil {
		return nil, err
	}
	return s.begin(op, input)
}

func (s *blindState) begin(op string, input []byte) (*Blinding, error) {
	ok := false
	sm.Guard(func() {
		var q point
		if ok = sm2.blind(&q, &s.r, input); ok {
			s.element = q.compress()
		}
	})
	if !ok {
		clear(s.r[:])
		return nil, identityInput(op)
	}
	s.input = secret.Copy(input)
	return &Blinding{s}, nil
}

// Element is what goes to the server; it is independent of the input.
func (b *Blinding) Element() (out [ElementSize]byte) {
	if b != nil && b.s != nil {
		out = b.s.element
	}
	return out
}

// Finalize unblinds the server's answer and returns the output, the caller's
// to wipe. It may be called again with another answer. Errors: Invalid when
// evaluated is no compressed point, Closed after Wipe.
func (b *Blinding) Finalize(evaluated [ElementSize]byte) (*secret.Buffer, error) {
	const op = "oprf: finalize"
	if b == nil || b.s == nil || b.s.input == nil {
		return nil, core.Errorf(core.Closed, op, "the blinding was wiped")
	}
	e, err := sm2.parse(op, "the evaluated element", &evaluated)
	if err != nil {
		return nil, err
	}
	out, ok := secret.New(OutputSize), false
	sm.Guard(func() {
		var n point
		if ok = sm2.unblind(&n, &b.s.r, &e); ok {
			*(*[OutputSize]byte)(out.Bytes()) = sm2.finish(b.s.input.Bytes(), &n)
		}
		clear(n[:])
	})
	if !ok {
		return nil, core.Errorf(core.Internal, op, "the unblinded point is the identity")
	}
	return out, nil
}

// Wipe zeroes blind and input. It may be called on nil and repeatedly.
func (b *Blinding) Wipe() {
	if b != nil && b.s != nil {
		b.s.input.Wipe()
		*b.s = blindState{}
	}
}

// Format redacts under every verb.
func (b Blinding) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue redacts in log/slog.
func (b Blinding) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText redacts in text encodings and JSON.
func (b Blinding) MarshalText() ([]byte, error) { return []byte(redacted), nil }
