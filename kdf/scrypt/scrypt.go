// Package scrypt is scrypt (RFC 7914), by golang.org/x/crypto/scrypt, behind
// the KDF contract, for comparison. It is not an approved function.
//
// Parameters: ln, log2 of the cost N; r, block size; p, parallel runs. The
// library cannot be interrupted and does not wipe: what argon2id's package
// says about both holds here too.
package scrypt

import (
	"context"
	"time"

	"golang.org/x/crypto/scrypt"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/kdf/internal/calibrate"
	"github.com/keposs/keposs/kdf/internal/check"
)

// Name is the KDF's name in parameters.
const Name = "scrypt"

// Bounds.
const (
	MinSalt       = 8 // bytes
	MaxSalt       = 1 << 10
	MaxOut        = 1 << 16
	DefaultMemory = 1 << 30 // bytes, where the limits name no ceiling
)

// KDF implements core.KDF. The zero value is ready and holds nothing.
type KDF struct{}

var _ core.KDF = KDF{}

// New returns the KDF.
func New() KDF { return KDF{} }

// DefaultLimits puts the floor at N = 2^15, r = 8.
func DefaultLimits() core.Limits {
	return core.Limits{
		Floor:   map[string]uint64{"ln": 15, "r": 8, "p": 1},
		Ceiling: map[string]uint64{"ln": 20, "r": 16, "p": 16},
	}
}

func params(ln, r, p uint64) core.Params {
	return core.NewParams(Name, core.Param{Key: "ln", N: ln}, core.Param{Key: "p", N: p}, core.Param{Key: "r", N: r})
}

var info = core.KDFInfo{
	Name: Name, Version: "1", Approved: false,
	Params: []core.ParamInfo{
		{Key: "ln", Min: 4, Max: 24, Help: "log2 of the cost N"},
		{Key: "p", Min: 1, Max: 64, Help: "parallel runs"},
		{Key: "r", Min: 1, Max: 64, Help: "block size, 128·r bytes"},
	},
	Default: params(15, 8, 1),
}

// Describe returns the description.
func (KDF) Describe(context.Context) (core.KDFInfo, error) { return check.Clone(info), nil }

// Validate applies the absolute bounds, l, and l's memory ceiling (1 GiB where
// l has none).
func (k KDF) Validate(p core.Params, l core.Limits) error {
	if err := check.Params(p, info, "ln", "p", "r"); err != nil {
		return err
	}
	if err := l.Check(p); err != nil {
		return err
	}
	return check.Memory(p, l, k.Memory(p), DefaultMemory)
}

// Memory is what one derivation holds, in bytes.
func (KDF) Memory(p core.Params) uint64 {
	ln, _ := p.Get("ln")
	r, _ := p.Get("r")
	par, _ := p.Get("p")
	return 128*r<<(ln&63) + 128*r*par
}

// Derive fills out. See DeriveHeld for what a cancelled one leaves running.
func (k KDF) Derive(ctx context.Context, p core.Params, password, salt, out []byte) error {
	return k.DeriveHeld(ctx, p, password, salt, out, func() {})
}

// DeriveHeld is Derive; done is called once when the library has let go of its
// memory, which after a cancellation is later than the return.
func (KDF) DeriveHeld(ctx context.Context, p core.Params, password, salt, out []byte, done func()) error {
	const op = "scrypt: derive"
	secret.Zero(out)
	err := check.Params(p, info, "ln", "p", "r")
	if err == nil {
		err = check.Lengths(op, salt, MinSalt, MaxSalt, out, MaxOut)
	}
	if err != nil {
		done()
		return err
	}
	ln, _ := p.Get("ln")
	r, _ := p.Get("r")
	par, _ := p.Get("p")
	return check.Abandon(ctx, op, password, salt, out, done, func(password, salt []byte, n int) ([]byte, error) {
		key, err := scrypt.Key(password, salt, 1<<ln, int(r), int(par), n)
		if err != nil {
			return nil, core.Errorf(core.Invalid, op, "%w", err)
		}
		return key, nil
	})
}

// Calibrate keeps the floors of r and ln, raises ln while the target and the
// memory allow, and finds p for the rest.
func (k KDF) Calibrate(ctx context.Context, target time.Duration, l core.Limits) (core.Params, error) {
	def := DefaultLimits()
	ln, lnMax := check.Bounds(l, "ln", def.Floor["ln"], 4, 24)
	r, _ := check.Bounds(l, "r", def.Floor["r"], 1, 64)
	par, parMax := check.Bounds(l, "p", def.Floor["p"], 1, 64)
	if err := k.Validate(params(ln, r, par), l); err != nil {
		return core.Params{}, err
	}
	run := func(p core.Params) error {
		var out [32]byte
		return k.Derive(ctx, p, []byte("calibration"), make([]byte, 16), out[:])
	}
	for ln < lnMax && k.Validate(params(ln+1, r, par), l) == nil {
		start := time.Now()
		if err := run(params(ln, r, par)); err != nil {
			return core.Params{}, err
		}
		// Steps of p follow: leave room for a tenth of the target or finer.
		if time.Since(start)*12 > target {
			break
		}
		ln++
	}
	par, err := calibrate.Linear(ctx, target, par, par, parMax, func(ctx context.Context, n uint64) error { return run(params(ln, r, n)) })
	return params(ln, r, par), err
}
