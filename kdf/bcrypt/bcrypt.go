// Package bcrypt is bcrypt (Provos and Mazières 1999), over the Blowfish of
// golang.org/x/crypto, behind the KDF contract, for study. It is not an
// approved function.
//
// golang.org/x/crypto/bcrypt draws its own salt and compares; a derivation
// needs the salt as an input, so the key setup is driven here, and can be
// interrupted. Parameter: c, log2 of the rounds. The 24 bytes of bcrypt go
// through the clause 5.4.3 KDF to any length. A secret has at most 72 bytes.
package bcrypt

import (
	"context"
	"encoding/binary"
	"time"

	"golang.org/x/crypto/blowfish" //nolint:staticcheck // bcrypt is Blowfish; it is here to be compared

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/kdf/internal/check"
	"github.com/keposs/keposs/kdf/sm2kdf"
)

// Name is the KDF's name in parameters.
const Name = "bcrypt"

// Bounds.
const (
	MinCost   = 4
	MaxCost   = 20
	MaxSecret = 72 // bytes, with bcrypt's closing zero byte
	MinSalt   = 8
	MaxSalt   = 1 << 10
	MaxOut    = 1 << 16
)

// KDF implements core.KDF. The zero value is ready and holds nothing.
type KDF struct{}

var _ core.KDF = KDF{}

// New returns the KDF.
func New() KDF { return KDF{} }

// DefaultLimits puts the floor at cost 10.
func DefaultLimits() core.Limits {
	return core.Limits{Floor: map[string]uint64{"c": 10}, Ceiling: map[string]uint64{"c": 16}}
}

func params(c uint64) core.Params { return core.NewParams(Name, core.Param{Key: "c", N: c}) }

var info = core.KDFInfo{
	Name: Name, Version: "1", Approved: false,
	Params:  []core.ParamInfo{{Key: "c", Min: MinCost, Max: MaxCost, Help: "log2 of the rounds"}},
	Default: params(10),
}

// Describe returns the description.
func (KDF) Describe(context.Context) (core.KDFInfo, error) { return check.Clone(info), nil }

// Validate applies the absolute bounds, then l.
func (KDF) Validate(p core.Params, l core.Limits) error {
	if err := check.Params(p, info, "c"); err != nil {
		return err
	}
	return l.Check(p)
}

// Memory is what one derivation holds, in bytes.
func (KDF) Memory(core.Params) uint64 { return 8 << 10 }

// Derive fills out with the clause 5.4.3 KDF of bcrypt(secret, SM2KDF(salt, 16)).
func (KDF) Derive(ctx context.Context, p core.Params, password, salt, out []byte) error {
	const op = "bcrypt: derive"
	secret.Zero(out)
	if err := check.Params(p, info, "c"); err != nil {
		return err
	}
	if err := check.Lengths(op, salt, MinSalt, MaxSalt, out, MaxOut); err != nil {
		return err
	}
	c, _ := p.Get("c")
	var salt16 [16]byte
	sm2kdf.Expand(salt, salt16[:])
	raw, err := Raw(ctx, password, salt16, int(c))
	if err != nil {
		return err
	}
	defer secret.Zero(raw[:])
	sm2kdf.Expand(raw[:], out)
	return nil
}

// Raw is bcrypt itself: 2^cost rounds; the text form keeps the first 23 of the
// 24 bytes. TooLarge for a password of more than 71 bytes.
func Raw(ctx context.Context, password []byte, salt [16]byte, cost int) (out [24]byte, err error) {
	const op = "bcrypt"
	if len(password) >= MaxSecret {
		return out, core.Errorf(core.TooLarge, op, "a secret of more than %d bytes", MaxSecret-1)
	}
	if cost < MinCost || cost > MaxCost {
		return out, core.Errorf(core.Invalid, op, "c=%d is out of %d..%d", cost, MinCost, MaxCost)
	}
	key := make([]byte, len(password)+1)
	copy(key, password)
	defer secret.Zero(key)
	b, err := blowfish.NewSaltedCipher(key, salt[:])
	if err != nil {
		return out, core.Errorf(core.Internal, op, "%w", err)
	}
	defer func() { *b = blowfish.Cipher{} }()
	for i := range 1 << cost {
		if i&3 == 0 && ctx.Err() != nil { // four rounds take about 0.2 ms
			return out, check.Ended(ctx, op)
		}
		blowfish.ExpandKey(key, b)
		blowfish.ExpandKey(salt[:], b)
	}
	copy(out[:], "OrpheanBeholderScryDoubt")
	for i := 0; i < len(out); i += 8 {
		for range 64 {
			b.Encrypt(out[i:], out[i:])
		}
	}
	return out, nil
}

// Calibrate returns the cost whose time is nearest to target, in doublings:
// within a factor of √2, as bcrypt allows no finer step.
func (k KDF) Calibrate(ctx context.Context, target time.Duration, l core.Limits) (core.Params, error) {
	if target <= 0 {
		return core.Params{}, core.Errorf(core.Invalid, "kdf: calibrate", "target %v, want more than 0", target)
	}
	lo, hi := check.Bounds(l, "c", DefaultLimits().Floor["c"], MinCost, MaxCost)
	if err := k.Validate(params(lo), l); err != nil {
		return core.Params{}, err
	}
	const probe = 6
	var least time.Duration
	for i := range 3 {
		start := time.Now()
		if _, err := Raw(ctx, []byte("calibration"), [16]byte{}, probe); err != nil {
			return core.Params{}, err
		}
		if d := time.Since(start); i == 0 || d < least {
			least = d
		}
	}
	c := uint64(probe)
	for took := float64(least); c < hi && took*1.4142 < float64(target); took *= 2 {
		c++
	}
	return params(min(max(c, lo), hi)), nil
}

// Text returns the crypt form "$2a$cc$salt22hash31" of a raw answer.
func Text(salt [16]byte, cost int, raw [24]byte) string {
	head := [7]byte{'$', '2', 'a', '$', byte('0' + cost/10), byte('0' + cost%10), '$'}
	return string(head[:]) + encode(salt[:]) + encode(raw[:23])
}

const alphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// encode is bcrypt's base64, without padding.
func encode(b []byte) string {
	out := make([]byte, 0, len(b)*4/3+1)
	for len(b) > 0 {
		var v [4]byte
		n := copy(v[1:], b)
		w := binary.BigEndian.Uint32(v[:])
		for i := 0; i <= n; i++ {
			out = append(out, alphabet[w>>(18-6*i)&63])
		}
		b = b[n:]
	}
	return string(out)
}
