package mf

import (
	"crypto/subtle"
	"io"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

const (
	bundleHead = "keposs/bundle/1"
	blobIV     = 16
	blobTag    = 32
)

// A Bundle is what MK protects (SSPs): the signing pair and the encryption
// pair, separate from the start.
type Bundle struct {
	Sign *sm.PrivateKey
	Enc  *sm.PrivateKey
}

// NewBundle draws both pairs. The caller owns and wipes it.
func NewBundle(rand io.Reader) (*Bundle, error) {
	s, err := sm.GenerateKey(rand)
	if err != nil {
		return nil, err
	}
	e, err := sm.GenerateKey(rand)
	if err != nil {
		s.Wipe()
		return nil, err
	}
	return &Bundle{Sign: s, Enc: e}, nil
}

// Pubs returns the public keys.
func (b *Bundle) Pubs() protocol.Pubs {
	return protocol.Pubs{Sign: b.Sign.Public().Compressed(), Enc: b.Enc.Public().Compressed()}
}

// Wipe wipes both keys; nil is fine.
func (b *Bundle) Wipe() {
	if b == nil {
		return
	}
	if b.Sign != nil {
		b.Sign.Wipe()
	}
	if b.Enc != nil {
		b.Enc.Wipe()
	}
}

func (b *Bundle) encode() *secret.Buffer {
	s, e := b.Sign.Scalar(), b.Enc.Scalar()
	defer secret.WipeAll(s, e)
	return secret.Own(enc.Join(enc.Str(bundleHead), s.Bytes(), e.Bytes()))
}

// parseBundle reads the one form encode writes.
func parseBundle(b []byte) (*Bundle, error) {
	const scalar = 32
	at := len(enc.Join(enc.Str(bundleHead))) + 4
	if len(b) != at+scalar+4+scalar {
		return nil, core.Errorf(core.Corrupt, "mf: open blob", "the sealed bundle has a wrong length")
	}
	s, e := b[at:at+scalar], b[at+scalar+4:]
	again := enc.Join(enc.Str(bundleHead), s, e)
	defer secret.Zero(again)
	if subtle.ConstantTimeCompare(again, b) != 1 {
		return nil, core.Errorf(core.Corrupt, "mf: open blob", "the sealed bundle is not of version 1")
	}
	sign, err := sm.NewPrivateKey(s)
	if err != nil {
		return nil, core.Errorf(core.Corrupt, "mf: open blob", "the signing key is out of range")
	}
	encKey, err := sm.NewPrivateKey(e)
	if err != nil {
		sign.Wipe()
		return nil, core.Errorf(core.Corrupt, "mf: open blob", "the encryption key is out of range")
	}
	return &Bundle{Sign: sign, Enc: encKey}, nil
}

// pubsHash is SM3(enc(P_sign, P_enc)).
func pubsHash(p protocol.Pubs) protocol.Hash { return sm.SM3(p.Encode()) }

// masterKey returns MK‖MA = SM2KDF(X(RK,"mk",enc(keyID,mkGen),32), 48).
func masterKey(rk []byte, id KeyID, mkGen uint64) *secret.Buffer {
	z := derive(rk, labelMK, enc.Join(id[:], enc.U64(mkGen)), 32)
	defer z.Wipe()
	return secret.Own(sm.KDF(z.Bytes(), 16+32))
}

// blobTagOf is HMAC-SM3(MA, enc("ssp", suite, keyID, appID, mkGen, pubs, iv, ct)).
func blobTagOf(ma []byte, p *Policy, app protocol.ID, iv, ct []byte) [32]byte {
	return sm.HMAC(ma, enc.Join(enc.Str(headSSP), enc.U32(p.Suite), p.KeyID[:], app[:], enc.U64(p.MKGen), p.Pubs[:], iv, ct))
}

// sealBlob encrypts the bundle under MK: iv ‖ ct ‖ tag. The tag is under a key
// that comes from the same derivation and covers both iv and ct, so a blob
// opens under one key only.
func sealBlob(rk []byte, p *Policy, app protocol.ID, b *Bundle, rand io.Reader) ([]byte, error) {
	mk := masterKey(rk, p.KeyID, p.MKGen)
	defer mk.Wipe()
	plain := b.encode()
	defer plain.Wipe()
	out := make([]byte, blobIV+plain.Len(), blobIV+plain.Len()+blobTag)
	if _, err := io.ReadFull(rand, out[:blobIV]); err != nil {
		return nil, core.Errorf(core.Internal, "mf: seal blob", "read random bytes: %w", err)
	}
	if err := sm.CTR(mk.Bytes()[:16], out[:blobIV], out[blobIV:], plain.Bytes()); err != nil {
		return nil, err
	}
	tag := blobTagOf(mk.Bytes()[16:], p, app, out[:blobIV], out[blobIV:])
	return append(out, tag[:]...), nil
}

// openBlob checks the tag before it decrypts.
func openBlob(rk []byte, p *Policy, app protocol.ID, blob []byte) (*Bundle, error) {
	const op = "mf: open blob"
	if len(blob) < blobIV+blobTag || len(blob) > protocol.MaxSealed {
		return nil, core.Errorf(core.Corrupt, op, "%d bytes, want %d to %d", len(blob), blobIV+blobTag, protocol.MaxSealed)
	}
	iv, ct, tag := blob[:blobIV], blob[blobIV:len(blob)-blobTag], blob[len(blob)-blobTag:]
	mk := masterKey(rk, p.KeyID, p.MKGen)
	defer mk.Wipe()
	want := blobTagOf(mk.Bytes()[16:], p, app, iv, ct)
	if subtle.ConstantTimeCompare(want[:], tag) != 1 {
		return nil, core.Errorf(core.Corrupt, op, "the sealed keys are not what was stored under this policy and app; SS-CC must restore the record")
	}
	plain := secret.New(len(ct))
	defer plain.Wipe()
	if err := sm.CTR(mk.Bytes()[:16], iv, plain.Bytes(), ct); err != nil {
		return nil, err
	}
	return parseBundle(plain.Bytes())
}
