// Package argon2id is Argon2id (RFC 9106), by golang.org/x/crypto/argon2,
// behind the KDF contract: the memory-hard comparison of every KDF study. It
// is not an approved function.
//
// Parameters: m, memory in KiB; t, passes; p, lanes. The library cannot be
// interrupted and does not wipe its memory blocks: a cancelled Derive returns
// at once, its work goes on to its end on copies, and blocks go back to the
// runtime as they are. Where residue matters use pbkdf2sm3.
package argon2id

import (
	"context"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/kdf/internal/calibrate"
	"github.com/keposs/keposs/kdf/internal/check"
)

// Name is the KDF's name in parameters.
const Name = "argon2id"

// Bounds.
const (
	MinMemory     = 8       // KiB, and 8 for each lane
	MaxMemory     = 1 << 22 // KiB: 4 GiB
	MaxPasses     = 1 << 10
	MaxLanes      = 64
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

// DefaultLimits puts the floor at 19 MiB and 2 passes.
func DefaultLimits() core.Limits {
	return core.Limits{
		Floor:   map[string]uint64{"m": 19 << 10, "t": 2, "p": 1},
		Ceiling: map[string]uint64{"m": 1 << 20, "t": 64, "p": 16},
	}
}

func params(m, t, p uint64) core.Params {
	return core.NewParams(Name, core.Param{Key: "m", N: m}, core.Param{Key: "p", N: p}, core.Param{Key: "t", N: t})
}

var info = core.KDFInfo{
	Name: Name, Version: "1", Approved: false,
	Params: []core.ParamInfo{
		{Key: "m", Min: MinMemory, Max: MaxMemory, Help: "memory in KiB, at least 8 for each lane"},
		{Key: "p", Min: 1, Max: MaxLanes, Help: "lanes"},
		{Key: "t", Min: 1, Max: MaxPasses, Help: "passes over the memory"},
	},
	Default: params(19<<10, 2, 1),
}

// Describe returns the description.
func (KDF) Describe(context.Context) (core.KDFInfo, error) { return check.Clone(info), nil }

func valid(p core.Params) error {
	if err := check.Params(p, info, "m", "p", "t"); err != nil {
		return err
	}
	m, _ := p.Get("m")
	if lanes, _ := p.Get("p"); m < 8*lanes {
		return core.Errorf(core.Invalid, "kdf "+Name, "m=%d is below 8 for each of p=%d lanes", m, lanes)
	}
	return nil
}

// Validate applies the absolute bounds, l, and l's memory ceiling (1 GiB where
// l has none).
func (k KDF) Validate(p core.Params, l core.Limits) error {
	if err := valid(p); err != nil {
		return err
	}
	if err := l.Check(p); err != nil {
		return err
	}
	return check.Memory(p, l, k.Memory(p), DefaultMemory)
}

// Memory is what one derivation holds, in bytes.
func (KDF) Memory(p core.Params) uint64 {
	m, _ := p.Get("m")
	return m << 10
}

// Derive fills out. See DeriveHeld for what a cancelled one leaves running.
func (k KDF) Derive(ctx context.Context, p core.Params, password, salt, out []byte) error {
	return k.DeriveHeld(ctx, p, password, salt, out, func() {})
}

// DeriveHeld is Derive; done is called once when the library has let go of its
// memory, which after a cancellation is later than the return.
func (KDF) DeriveHeld(ctx context.Context, p core.Params, password, salt, out []byte, done func()) error {
	const op = "argon2id: derive"
	secret.Zero(out)
	err := valid(p)
	if err == nil {
		err = check.Lengths(op, salt, MinSalt, MaxSalt, out, MaxOut)
	}
	if err == nil && len(out) == 0 {
		err = core.Errorf(core.Invalid, op, "no room for an output, at least 1 byte")
	}
	if err != nil {
		done()
		return err
	}
	m, _ := p.Get("m")
	t, _ := p.Get("t")
	lanes, _ := p.Get("p")
	return check.Abandon(ctx, op, password, salt, out, done, func(password, salt []byte, n int) ([]byte, error) {
		return argon2.IDKey(password, salt, uint32(t), uint32(m), uint8(lanes), uint32(n)), nil
	})
}

// Calibrate keeps the floors of t and p and finds m; where m meets its ceiling
// it adds passes.
func (k KDF) Calibrate(ctx context.Context, target time.Duration, l core.Limits) (core.Params, error) {
	def := DefaultLimits()
	t, tMax := check.Bounds(l, "t", def.Floor["t"], 1, MaxPasses)
	lanes, _ := check.Bounds(l, "p", def.Floor["p"], 1, MaxLanes)
	lo, hi := check.Bounds(l, "m", def.Floor["m"], MinMemory, MaxMemory)
	lo = max(lo, 8*lanes)
	if l.MaxMemory > 0 {
		hi = min(hi, l.MaxMemory>>10)
	} else {
		hi = min(hi, DefaultMemory>>10)
	}
	if err := k.Validate(params(lo, t, lanes), l); err != nil {
		return core.Params{}, err
	}
	run := func(p func(n uint64) core.Params) func(context.Context, uint64) error {
		return func(ctx context.Context, n uint64) error {
			var out [32]byte
			return k.Derive(ctx, p(n), []byte("calibration"), make([]byte, 16), out[:])
		}
	}
	byMemory := func(n uint64) core.Params { return params(n, t, lanes) }
	m, err := calibrate.Linear(ctx, target, max(MinMemory, 8*lanes), lo, hi, run(byMemory))
	if err != nil || m < hi {
		return byMemory(m), err
	}
	byPasses := func(n uint64) core.Params { return params(m, n, lanes) }
	t, err = calibrate.Linear(ctx, target, t, t, tMax, run(byPasses))
	return byPasses(t), err
}
