// Package attest is a statement that a platform vouches for a terminal
// (requirement P-14), and its check.
//
// Every platform has its own proof: Play Integrity and App Attest answer with
// tokens, Android key attestation with a certificate chain, a TPM with a quote.
// Whoever can judge one, an attestation service of the app's maker, says so in
// one form: a statement signed with SM2, over the nonce SS-CC gave. A verifier
// that reads a platform's own proof plugs into SS-CC at the same place
// (sscc.Attestor).
package attest

import (
	"context"
	"crypto/subtle"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

// SignID is the SM2 id statements are signed under.
const SignID = "KEPOSS-ATTEST-v1"

// MaxAge is how old a statement may be, and how far its clock may be ahead.
const MaxAge = 5 * time.Minute

// MaxToken bounds an encoded statement.
const MaxToken = 1 + protocol.HashSize + 4 + protocol.MaxSubject + 8 + protocol.SigSize

// A Statement says that the platform judged the terminal genuine.
type Statement struct {
	Nonce   protocol.Hash // SM3 of protocol.AttestInput
	Subject string        // the app as the platform names it: package name, bundle id
	Issued  int64         // Unix seconds
}

const version = 1

func (s Statement) body() []byte {
	p := &enc.Packer{}
	p.U8(version)
	p.Raw(s.Nonce[:])
	p.Var([]byte(s.Subject))
	p.U64(uint64(s.Issued))
	return p.B
}

// Sign returns the token: 1 u8 ‖ nonce 32 ‖ LP32(subject) ‖ issued u64 ‖ r‖s of
// the service's key over all before.
func (s Statement) Sign(key *sm.PrivateKey) ([]byte, error) {
	if s.Subject == "" || len(s.Subject) > protocol.MaxSubject {
		return nil, core.Errorf(core.Invalid, "attest: sign", "a subject of %d bytes, want 1 to %d", len(s.Subject), protocol.MaxSubject)
	}
	b := s.body()
	sig, err := key.Sign(sm.Rand(), b, []byte(SignID))
	if err != nil {
		return nil, err
	}
	return append(b, sig[:]...), nil
}

// parse reads a token; one form for one statement.
func parse(token []byte) (s Statement, signed []byte, sig [protocol.SigSize]byte, err error) {
	bad := core.Errorf(core.Invalid, "attest", "the token is not a statement of version %d", version)
	if len(token) < protocol.SigSize || len(token) > MaxToken {
		return s, nil, sig, bad
	}
	signed = token[:len(token)-protocol.SigSize]
	copy(sig[:], token[len(signed):])
	u := enc.NewUnpacker(signed)
	v := u.U8()
	u.Raw(s.Nonce[:])
	s.Subject = string(u.Var(protocol.MaxSubject))
	s.Issued = int64(u.U64())
	if v != version || !u.Done() || s.Subject == "" || s.Issued < 0 {
		return s, nil, sig, bad
	}
	return s, signed, sig, nil
}

// Want is what SS-CC expects of a proof.
type Want struct {
	Nonce   protocol.Hash // bound to challenge, app, device and device key
	Subject string        // the app as its policy names it
	Now     time.Time
}

// A Service accepts the statements of one attestation service.
type Service struct{ key sm.PublicKey }

// NewService returns the service with that public key.
func NewService(key sm.PublicKey) *Service { return &Service{key} }

// Verify refuses a token that is not the service's, that is for another nonce or
// app, or that is too old.
// req: P-14
func (v *Service) Verify(_ context.Context, token []byte, w Want) error {
	const op = "attest: verify"
	s, signed, sig, err := parse(token)
	if err != nil {
		return err
	}
	age := w.Now.Sub(time.Unix(s.Issued, 0))
	switch {
	case !sm.Verify(v.key, signed, []byte(SignID), sig):
		return core.Errorf(core.Refused, op, "the statement is not the attestation service's")
	case subtle.ConstantTimeCompare(s.Nonce[:], w.Nonce[:]) != 1:
		return core.Errorf(core.Refused, op, "the statement is for another nonce")
	case s.Subject != w.Subject:
		return core.Errorf(core.Refused, op, "the statement is for another app")
	case age > MaxAge || age < -MaxAge:
		return core.Errorf(core.Refused, op, "the statement is stale")
	}
	return nil
}
