package client

import (
	"context"
	"crypto"
	"io"

	"github.com/keposs/keposs/core"
)

// RawMessage is the option that says what is signed is the message itself:
// SM2 hashes it together with the signer's id and key, so that no digest made
// elsewhere can be signed.
type RawMessage struct {
	ID []byte // SM2 user id, nil = 1234567812345678
}

// HashFunc returns 0, which in crypto.Signer means a message that is not hashed.
func (RawMessage) HashFunc() crypto.Hash { return 0 }

// A Signer is a user's keys as crypto.MessageSigner and crypto.Decrypter, for
// libraries that make certificate requests, CMS or TLS. Each call asks for PPD
// and is one service of clause 7. It lives no longer than its Client.
type Signer struct {
	c       *Client
	ctx     context.Context // crypto.Signer has no room for one
	key     PublicKey
	factors []string
}

var (
	_ crypto.MessageSigner = (*Signer)(nil)
	_ crypto.Decrypter     = (*Signer)(nil)
)

// Signer returns the user's keys; factors are the labels the person will give,
// none for the policy's first set. ctx ends the calls made through it. Errors:
// State before a user is initialised.
func (c *Client) Signer(ctx context.Context, factors ...string) (*Signer, error) {
	u, err := c.User()
	if err != nil {
		return nil, err
	}
	key, err := u.SignKey()
	if err != nil {
		return nil, err
	}
	return &Signer{c, ctx, key, factors}, nil
}

// Public returns the signing key as *ecdsa.PublicKey on the SM2 curve, the
// form smx509 takes.
func (s *Signer) Public() crypto.PublicKey { return s.key.ECDSA() }

// SignMessage signs msg and returns SEQUENCE{r, s}. opts is nil, RawMessage or
// another option without a hash. Randomness is the module's own.
func (s *Signer) SignMessage(_ io.Reader, msg []byte, opts crypto.SignerOpts) ([]byte, error) {
	r := SignRequest{Message: msg, Factors: s.factors}
	if opts != nil {
		if err := raw(opts); err != nil {
			return nil, err
		}
	}
	if o, ok := opts.(RawMessage); ok {
		r.ID = o.ID
	}
	sig, err := s.c.Sign(s.ctx, r)
	if err != nil {
		return nil, err
	}
	return sig.DER(), nil
}

// Sign implements crypto.Signer for callers that say by an option without a
// hash that they pass the message itself, as smx509 does. Usage without the
// option: a digest is never signed.
func (s *Signer) Sign(rand io.Reader, msg []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts == nil {
		return nil, core.Errorf(core.Usage, "client: signer", "no option says that this is the message itself; pass client.RawMessage{} or call SignMessage")
	}
	return s.SignMessage(rand, msg, opts)
}

// raw refuses an option that names a hash.
func raw(opts crypto.SignerOpts) error {
	if h := opts.HashFunc(); h != 0 {
		return core.Errorf(core.Usage, "client: signer", "%v digests are not signed; pass the message itself with client.RawMessage{}", h)
	}
	return nil
}

// Decrypt implements crypto.Decrypter for the user's encryption key: DER, raw
// or envelope, told apart by themselves. opts must be nil. The plaintext is an
// ordinary slice, the caller's to wipe.
func (s *Signer) Decrypt(_ io.Reader, ciphertext []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	if opts != nil {
		return nil, core.Errorf(core.Usage, "client: signer", "SM2 decryption has no options")
	}
	plain, _, err := s.c.Decrypt(s.ctx, ciphertext, s.factors...)
	if err != nil {
		return nil, err
	}
	defer plain.Wipe()
	return append([]byte(nil), plain.Bytes()...), nil
}
