// Package hkdfsm3 is HKDF (RFC 5869) with HMAC-SM3 behind the KDF contract.
//
// It is built from approved functions and it is fast: for keys that are
// strong already, and for study beside the slow ones. Alone on a PIN it
// protects nothing. HMAC-SM3 is this module's own, over words, so that the
// pseudorandom key and every block are wiped.
package hkdfsm3

import (
	"context"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/kdf/internal/check"
	"github.com/keposs/keposs/kdf/internal/sm3"
)

// Name is the KDF's name in parameters. It has none: the text is "hkdfsm3$".
const Name = "hkdfsm3"

// Bounds in bytes.
const (
	MaxSalt = 1 << 10
	MaxOut  = 255 * 32 // RFC 5869
)

// KDF implements core.KDF. The zero value is ready and holds nothing.
type KDF struct{}

var _ core.KDF = KDF{}

// New returns the KDF.
func New() KDF { return KDF{} }

var info = core.KDFInfo{Name: Name, Version: "1", Approved: true, Default: core.NewParams(Name)}

// Describe returns the description.
func (KDF) Describe(context.Context) (core.KDFInfo, error) { return check.Clone(info), nil }

// Validate refuses any parameter.
func (KDF) Validate(p core.Params, l core.Limits) error {
	if err := check.Params(p, info); err != nil {
		return err
	}
	return check.Costless(Name, l)
}

// Calibrate returns the only parameters there are, whatever the target.
func (k KDF) Calibrate(_ context.Context, _ time.Duration, l core.Limits) (core.Params, error) {
	p := core.NewParams(Name)
	return p, k.Validate(p, l)
}

// Derive fills out with HKDF(secret, salt, no info). At most MaxOut bytes.
func (KDF) Derive(ctx context.Context, p core.Params, password, salt, out []byte) error {
	const op = "hkdfsm3: derive"
	secret.Zero(out)
	if err := check.Params(p, info); err != nil {
		return err
	}
	if err := check.Lengths(op, salt, 0, MaxSalt, out, MaxOut); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return check.Ended(ctx, op)
	}
	return Key(password, salt, nil, out)
}

// Key fills out with HKDF-SM3 of ikm, salt and info; TooLarge for more than
// MaxOut bytes. All inputs are lent.
func Key(ikm, salt, info, out []byte) error {
	if len(out) > MaxOut {
		secret.Zero(out)
		return core.Errorf(core.TooLarge, "hkdfsm3", "output of %d bytes, at most %d", len(out), MaxOut)
	}
	sm3.Burn() // grows the stack now: growing it later would leave a copy behind
	var s struct {
		key    sm3.Key
		digest sm3.Digest
		words  [8]uint32
		block  [32]byte
	}
	defer func() {
		s.key.Wipe()
		s.digest.Wipe()
		s.words, s.block = [8]uint32{}, [32]byte{}
		sm3.Burn()
	}()
	s.key.Init(salt, &s.digest) // an empty salt is a block of zeros, as HMAC pads it
	s.key.MAC(&s.words, &s.digest, ikm)
	sm3.PutWords(s.block[:], &s.words)
	s.key.Init(s.block[:], &s.digest)
	var prev []byte
	for i := byte(1); len(out) > 0; i++ {
		s.key.MAC(&s.words, &s.digest, prev, info, []byte{i})
		sm3.PutWords(s.block[:], &s.words)
		prev = s.block[:]
		out = out[copy(out, prev):]
	}
	return nil
}
