package client

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"io"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// Form is how a ciphertext leaves or comes.
type Form uint32

// Forms. DER and raw are SM2 public-key encryption of the whole text and can be
// made and opened by any SM2 implementation; an envelope is ours and takes
// large files.
const (
	FormUnknown  Form = 0
	FormDER      Form = 1 // SEQUENCE{x, y, C3, C2}, GM/T 0009; what OpenSSL writes
	FormRaw      Form = 2 // 0x04 ‖ C1 ‖ C3 ‖ C2
	FormEnvelope Form = 3 // SM4-CTR and HMAC-SM3 under a key sealed by SM2
)

// Bounds of Encrypt and Decrypt, checked before memory is taken.
const (
	MaxDirect   = 1 << 20  // bytes of plaintext in DER and raw
	MaxEnvelope = 64 << 20 // bytes of plaintext in an envelope
)

// envelopeMagic opens an envelope of version 1:
//
//	magic 12 ‖ n u16 ‖ SM2 ciphertext of a 32-byte seed, raw, n bytes ‖ iv 16 ‖ SM4-CTR ‖ HMAC-SM3 32
//
// SM4 key ‖ MAC key = SM2KDF(seed, 16+32); the MAC covers all bytes before it.
var envelopeMagic = []byte("KEPOSS-ENV\x00\x01")

const (
	seedSize     = 32
	sealedSeed   = 65 + 32 + seedSize // C1 ‖ C3 ‖ C2
	envelopeHead = 12 + 2 + sealedSeed + 16
)

// Encrypt encrypts message to the holder of key; a zero key is the user's own.
// It uses no secret and asks nothing, but like every service it needs an
// initialised module that is neither locked nor in error (K-7.1-00). State is
// the code otherwise.
// req: K-7.D-ENC, K-10.2-05
func (c *Client) Encrypt(ctx context.Context, message []byte, key PublicKey, form Form) ([]byte, Outcome, error) {
	const op = "client: encrypt"
	if c.agent != nil {
		return c.agent.encrypt(ctx, message, key, form)
	}
	u, err := c.User()
	if err != nil {
		return nil, Outcome{}, err
	}
	if key.IsZero() {
		if key, err = u.EncKey(); err != nil {
			return nil, Outcome{}, err
		}
	}
	switch {
	case form != FormDER && form != FormRaw && form != FormEnvelope:
		return nil, Outcome{}, core.Errorf(core.Usage, op, "unknown form %d, want der, raw or envelope", form)
	case form != FormEnvelope && (len(message) == 0 || len(message) > MaxDirect):
		return nil, Outcome{}, core.Errorf(core.TooLarge, op, "%d bytes, want 1 to %d for SM2 alone: use an envelope", len(message), MaxDirect)
	}
	var out []byte
	outcome, err := c.module.Encrypt(func(rand io.Reader) (err error) {
		if form == FormEnvelope {
			out, err = sealEnvelope(rand, key, message)
			return err
		}
		if out, err = sm.Encrypt(rand, key, message); err == nil && form == FormDER {
			out, err = sm.CiphertextDER(out)
		}
		return err
	})
	if err != nil {
		return nil, Outcome{}, err
	}
	return out, outcome, nil
}

func sealEnvelope(rand io.Reader, key PublicKey, message []byte) ([]byte, error) {
	const op = "client: seal envelope"
	if len(message) > MaxEnvelope {
		return nil, core.Errorf(core.TooLarge, op, "%d bytes, at most %d", len(message), MaxEnvelope)
	}
	seed, err := secret.Read(rand, seedSize)
	if err != nil {
		return nil, core.Errorf(core.Internal, op, "%w", err)
	}
	defer seed.Wipe()
	sealed, err := sm.Encrypt(rand, key, seed.Bytes())
	if err != nil {
		return nil, err
	}
	if len(sealed) != sealedSeed {
		return nil, core.Errorf(core.Internal, op, "sealed seed of %d bytes, want %d", len(sealed), sealedSeed)
	}
	out := make([]byte, 0, envelopeHead+len(message)+32)
	out = append(out, envelopeMagic...)
	out = binary.BigEndian.AppendUint16(out, sealedSeed)
	out = append(out, sealed...)
	var iv [16]byte
	if _, err := io.ReadFull(rand, iv[:]); err != nil {
		return nil, core.Errorf(core.Internal, op, "%w", err)
	}
	out = append(out, iv[:]...)
	out = append(out, message...)
	keys := envelopeKeys(seed)
	defer keys.Wipe()
	ct := out[envelopeHead:]
	if err := sm.CTR(keys.Bytes()[:16], iv[:], ct, ct); err != nil {
		return nil, err
	}
	mac := sm.HMAC(keys.Bytes()[16:], out)
	return append(out, mac[:]...), nil
}

func envelopeKeys(seed *secret.Buffer) *secret.Buffer {
	return secret.Own(sm.KDF(seed.Bytes(), 16+32))
}

// Decrypt asks for PPD and opens a ciphertext in any of the three forms. The
// caller owns the plaintext.
func (c *Client) Decrypt(ctx context.Context, ciphertext []byte, factors ...string) (*Secret, Outcome, error) {
	if c.agent != nil {
		return c.agent.decrypt(ctx, ciphertext, factors)
	}
	o := mstcc.OpenOptions{Factors: factors}
	if bytes.HasPrefix(ciphertext, envelopeMagic) {
		return c.openEnvelope(ctx, ciphertext, o)
	}
	raw, err := directForm(ciphertext)
	if err != nil {
		return nil, Outcome{}, err
	}
	return c.module.Decrypt(ctx, raw, o, c.prompt)
}

// directForm returns C1C3C2 of a DER or raw ciphertext.
func directForm(b []byte) ([]byte, error) {
	const op = "client: decrypt"
	if len(b) > MaxDirect+512 {
		return nil, core.Errorf(core.TooLarge, op, "%d bytes, at most %d", len(b), MaxDirect+512)
	}
	if len(b) > 0 && b[0] == 0x30 {
		return sm.ParseCiphertextDER(b)
	}
	if len(b) <= 65+32 || b[0] != 0x04 {
		return nil, core.Errorf(core.Invalid, op, "not an SM2 ciphertext: neither DER, nor 0x04‖C1‖C3‖C2, nor an envelope")
	}
	return b, nil
}

// splitEnvelope checks the shape of an envelope: everything that needs no key.
func splitEnvelope(b []byte) (sealed, iv, ct, mac []byte, err error) {
	const op = "client: open envelope"
	if len(b) < envelopeHead+32 || len(b) > envelopeHead+MaxEnvelope+32 {
		return nil, nil, nil, nil, core.Errorf(core.Invalid, op, "%d bytes are no envelope", len(b))
	}
	if !bytes.HasPrefix(b, envelopeMagic) || binary.BigEndian.Uint16(b[12:]) != sealedSeed {
		return nil, nil, nil, nil, core.Errorf(core.Invalid, op, "not an envelope of version 1")
	}
	end := len(b) - 32
	return b[14 : 14+sealedSeed], b[envelopeHead-16 : envelopeHead], b[envelopeHead:end], b[end:], nil
}

func (c *Client) openEnvelope(ctx context.Context, b []byte, o mstcc.OpenOptions) (*Secret, Outcome, error) {
	sealed, iv, ct, mac, err := splitEnvelope(b)
	if err != nil {
		return nil, Outcome{}, err
	}
	var plain *secret.Buffer
	out, err := c.module.Unseal(ctx, o, c.prompt, func(decrypt func([]byte) (*secret.Buffer, error)) error {
		seed, err := decrypt(sealed)
		if err != nil {
			return err
		}
		defer seed.Wipe()
		plain, err = openSeed(seed, b[:len(b)-32], iv, ct, mac)
		return err
	})
	if err != nil {
		plain.Wipe()
		return nil, out, err
	}
	return plain, out, nil
}

// errEnvelope is the one answer for an envelope that is not this user's or not
// as it was sealed.
var errEnvelope = errors.New("the envelope was altered or is for another key")

func openSeed(seed *secret.Buffer, covered, iv, ct, mac []byte) (*secret.Buffer, error) {
	const op = "client: open envelope"
	if seed.Len() != seedSize {
		return nil, core.Errorf(core.Invalid, op, "%w", errEnvelope)
	}
	keys := envelopeKeys(seed)
	defer keys.Wipe()
	want := sm.HMAC(keys.Bytes()[16:], covered)
	if subtle.ConstantTimeCompare(want[:], mac) != 1 {
		return nil, core.Errorf(core.Invalid, op, "%w", errEnvelope)
	}
	plain := secret.New(len(ct))
	if err := sm.CTR(keys.Bytes()[:16], iv, plain.Bytes(), ct); err != nil {
		plain.Wipe()
		return nil, err
	}
	return plain, nil
}
