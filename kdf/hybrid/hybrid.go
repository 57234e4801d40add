// Package hybrid joins an approved and a memory-hard derivation:
//
//	T1  = PBKDF2-HMAC-SM3(secret, salt, i, 32)
//	T2  = Argon2id(secret, enc("hybrid", salt), m, t, p, 32)
//	out = KDF(enc("hybrid", T1, T2), len(out))      GM/T 0003.3, clause 5.4.3
//
// It is never weaker than its approved part: whatever Argon2id turns out to
// be, every guess still costs T1, and the last step is an approved function of
// it. It is reported as non-approved all the same, because a non-approved
// function saw the secret. Parameters are those of both parts.
package hybrid

import (
	"context"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/kdf/argon2id"
	"github.com/keposs/keposs/kdf/internal/check"
	"github.com/keposs/keposs/kdf/pbkdf2sm3"
	"github.com/keposs/keposs/kdf/sm2kdf"
)

// Name is the KDF's name in parameters.
const Name = "hybrid"

// Bounds in bytes. The others are those of the parts.
const (
	MinSalt = 8
	MaxSalt = 512
	MaxOut  = 1 << 16
)

// KDF implements core.KDF. The zero value is ready and holds nothing.
type KDF struct {
	slow pbkdf2sm3.KDF
	hard argon2id.KDF
}

var _ core.KDF = KDF{}

// New returns the KDF.
func New() KDF { return KDF{} }

// DefaultLimits is half the default time in each part: 300,000 iterations, 19
// MiB in 2 passes.
func DefaultLimits() core.Limits {
	l := argon2id.DefaultLimits()
	l.Floor["i"], l.Ceiling["i"] = pbkdf2sm3.DefaultIterations/2, pbkdf2sm3.MaxIterations
	return l
}

func params(i, m, p, t uint64) core.Params {
	return core.NewParams(Name, core.Param{Key: "i", N: i}, core.Param{Key: "m", N: m}, core.Param{Key: "p", N: p}, core.Param{Key: "t", N: t})
}

var info = core.KDFInfo{
	Name: Name, Version: "1", Approved: false,
	Params: []core.ParamInfo{
		{Key: "i", Min: pbkdf2sm3.MinIterations, Max: pbkdf2sm3.MaxIterations, Help: "iterations of PBKDF2-SM3"},
		{Key: "m", Min: argon2id.MinMemory, Max: argon2id.MaxMemory, Help: "Argon2id memory in KiB, at least 8 for each lane"},
		{Key: "p", Min: 1, Max: argon2id.MaxLanes, Help: "Argon2id lanes"},
		{Key: "t", Min: 1, Max: argon2id.MaxPasses, Help: "Argon2id passes"},
	},
	Default: params(pbkdf2sm3.DefaultIterations/2, 19<<10, 1, 2),
}

// Describe returns the description.
func (KDF) Describe(context.Context) (core.KDFInfo, error) { return check.Clone(info), nil }

// split gives the parameters of both parts.
func split(p core.Params) (slow, hard core.Params) {
	for _, v := range p.Values {
		if v.Key == "i" {
			slow.Values = append(slow.Values, v)
		} else {
			hard.Values = append(hard.Values, v)
		}
	}
	slow.Name, hard.Name = pbkdf2sm3.Name, argon2id.Name
	return slow, hard
}

// Validate applies the bounds of both parts, l, and l's memory ceiling.
func (k KDF) Validate(p core.Params, l core.Limits) error {
	if err := check.Params(p, info, "i", "m", "p", "t"); err != nil {
		return err
	}
	if err := l.Check(p); err != nil {
		return err
	}
	slow, hard := split(p)
	if err := k.slow.Validate(slow, core.Limits{}); err != nil {
		return err
	}
	if err := k.hard.Validate(hard, core.Limits{MaxMemory: l.MaxMemory}); err != nil {
		return err
	}
	return check.Memory(p, l, k.Memory(p), argon2id.DefaultMemory+k.slow.Memory(slow))
}

// Memory is what one derivation holds, in bytes.
func (k KDF) Memory(p core.Params) uint64 {
	slow, hard := split(p)
	return k.slow.Memory(slow) + k.hard.Memory(hard)
}

// Derive fills out.
func (k KDF) Derive(ctx context.Context, p core.Params, password, salt, out []byte) error {
	return k.DeriveHeld(ctx, p, password, salt, out, func() {})
}

// DeriveHeld is Derive; done is called once when Argon2id's memory is free,
// which after a cancellation is later than the return.
func (k KDF) DeriveHeld(ctx context.Context, p core.Params, password, salt, out []byte, done func()) error {
	const op = "hybrid: derive"
	secret.Zero(out)
	err := check.Params(p, info, "i", "m", "p", "t")
	if err == nil {
		err = check.Lengths(op, salt, MinSalt, MaxSalt, out, MaxOut)
	}
	slow, hard := split(p)
	var t1, t2 [32]byte
	defer secret.Zero(t1[:])
	defer secret.Zero(t2[:])
	if err == nil {
		err = k.slow.Derive(ctx, slow, password, salt, t1[:])
	}
	if err != nil {
		done()
		return err
	}
	if err := k.hard.DeriveHeld(ctx, hard, password, enc.Join(enc.Str(Name), salt), t2[:], done); err != nil {
		return err
	}
	z := enc.Join(enc.Str(Name), t1[:], t2[:])
	defer secret.Zero(z)
	sm2kdf.Expand(z, out)
	return nil
}

// Calibrate gives Argon2id half the target and PBKDF2 what is left of it.
func (k KDF) Calibrate(ctx context.Context, target time.Duration, l core.Limits) (core.Params, error) {
	def := DefaultLimits()
	hard := core.Limits{Floor: map[string]uint64{}, Ceiling: l.Ceiling, MaxMemory: l.MaxMemory}
	for _, key := range []string{"m", "t", "p"} {
		hard.Floor[key], _ = check.Bounds(l, key, def.Floor[key], 1, argon2id.MaxMemory)
	}
	found, err := k.hard.Calibrate(ctx, target/2, hard)
	if err != nil {
		return core.Params{}, err
	}
	var out [32]byte
	took := target
	for range 3 {
		start := time.Now()
		if err := k.hard.Derive(ctx, found, []byte("calibration"), make([]byte, 16), out[:]); err != nil {
			return core.Params{}, err
		}
		took = min(took, time.Since(start))
	}
	lo, hi := check.Bounds(l, "i", def.Floor["i"], pbkdf2sm3.MinIterations, pbkdf2sm3.MaxIterations)
	slow, err := k.slow.Calibrate(ctx, max(target-took, time.Millisecond), core.Limits{
		Floor: map[string]uint64{"i": lo}, Ceiling: map[string]uint64{"i": hi},
	})
	if err != nil {
		return core.Params{}, err
	}
	i, _ := slow.Get("i")
	m, _ := found.Get("m")
	p, _ := found.Get("p")
	t, _ := found.Get("t")
	return params(i, m, p, t), nil
}
