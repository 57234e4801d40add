// Package sm2kdf is the key derivation function of GM/T 0003.3, clause 5.4.3
// (the same in GM/T 0003.4) with SM3, behind the KDF contract: the mechanism
// T/EMCG 001.3 clause 15.2 names as an example.
//
// It is approved and it is fast: one SM3 compression for one guess. Alone on a
// PIN it protects nothing; it is here so that a study can show the difference,
// and as the last step of other KDFs. Policies refuse it for guessable
// factors by having no cost to put a floor under.
package sm2kdf

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/kdf/internal/check"
	"github.com/keposs/keposs/kdf/internal/sm3"
)

// Name is the KDF's name in parameters. It has none: the text is "sm2kdf$".
const Name = "sm2kdf"

// Bounds in bytes.
const (
	MaxSecret = 1 << 20
	MaxSalt   = 1 << 10
	MaxOut    = 1 << 20
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

// Derive fills out with KDF(enc(secret, salt), len(out)), joined by the
// project's injective encoding.
func (KDF) Derive(ctx context.Context, p core.Params, password, salt, out []byte) error {
	const op = "sm2kdf: derive"
	secret.Zero(out)
	if err := check.Params(p, info); err != nil {
		return err
	}
	if err := check.Lengths(op, salt, 0, MaxSalt, out, MaxOut); err != nil {
		return err
	}
	if len(password) > MaxSecret {
		return core.Errorf(core.TooLarge, op, "a secret of more than %d bytes", MaxSecret)
	}
	if ctx.Err() != nil {
		return check.Ended(ctx, op)
	}
	z := enc.Join(password, salt)
	defer secret.Zero(z)
	Expand(z, out)
	return nil
}

// Expand fills out with KDF(z, len(out)) of clause 5.4.3:
// SM3(z ‖ 1) ‖ SM3(z ‖ 2) ‖ …, counters as four bytes, big-endian. z is lent.
func Expand(z, out []byte) {
	sm3.Burn() // grows the stack now: growing it later would leave a copy behind
	var d sm3.Digest
	var h [8]uint32
	var ct [4]byte
	for i := uint32(1); len(out) > 0; i++ {
		binary.BigEndian.PutUint32(ct[:], i)
		d.Reset()
		_, _ = d.Write(z)
		_, _ = d.Write(ct[:])
		d.Sum(&h)
		sm3.PutWords(out, &h)
		out = out[min(32, len(out)):]
	}
	d.Wipe()
	h = [8]uint32{}
	sm3.Burn()
}
