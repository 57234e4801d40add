// Package pbkdf2sm3 is PBKDF2 (RFC 8018, clause 5.2; GM/T 0091) with
// HMAC-SM3, the default slow derivation of keposs and an approved one
// (K-15.2-02c).
//
// Two parameters: i, the iteration count, and w, which is left out for plain
// PBKDF2. With w the derivation is wide: w blocks of 32 bytes are computed,
//
//	T_1 ‖ … ‖ T_w = PBKDF2(secret, salt, i, 32·w)
//	out           = KDF(T_1 ‖ … ‖ T_w, len(out))      GM/T 0003.3, clause 5.4.3
//
// so that an attacker must do all w blocks for one guess while the defender
// runs them side by side: in SIMD lanes when built with GOEXPERIMENT=simd, one
// after another in the plain build. Plain and wide outputs are unrelated, and
// so are those of two different w.
//
// It refuses what GM/T 0091 refuses (fewer than 1024 iterations, a salt under
// 64 bits). The floor of 600,000 iterations and other local policy stand in
// DefaultLimits. Secrets are byte slices, lent; everything computed from them
// lives in one block of memory that is wiped before Derive returns.
package pbkdf2sm3

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/kdf/internal/calibrate"
	"github.com/keposs/keposs/kdf/internal/check"
	"github.com/keposs/keposs/kdf/internal/sm3"
)

// Name is the KDF's name in parameters.
const Name = "pbkdf2sm3"

// Bounds.
const (
	MinIterations     = 1024      // absolute, GM/T 0091
	DefaultIterations = 600_000   // default floor
	MaxIterations     = 1<<24 - 1 // absolute and default ceiling
	MinWide           = 2         // smallest w; plain PBKDF2 leaves w out
	MaxWide           = 64        // largest w
	MinSalt           = 8         // bytes, GM/T 0091
	MaxSalt           = 1 << 10   // bytes
	MaxOut            = 1 << 16   // bytes
)

// step is how many iterations run between two looks at ctx: about 1.5 ms on a
// server core, under 10 ms on a slow phone.
const step = 4096

// KDF implements core.KDF. The zero value is ready and holds nothing.
type KDF struct{}

var _ core.KDF = KDF{}

// New returns the KDF.
func New() KDF { return KDF{} }

// DefaultLimits is the local policy for a PIN or a gesture.
func DefaultLimits() core.Limits {
	return core.Limits{
		Floor:   map[string]uint64{"i": DefaultIterations},
		Ceiling: map[string]uint64{"i": MaxIterations, "w": 16},
	}
}

var info = core.KDFInfo{
	Name: Name, Version: "1", Approved: true,
	Params: []core.ParamInfo{
		{Key: "i", Min: MinIterations, Max: MaxIterations, Help: "iterations"},
		{Key: "w", Min: MinWide, Max: MaxWide, Help: "blocks computed side by side and compressed; left out for plain PBKDF2"},
	},
	Default: core.NewParams(Name, core.Param{Key: "i", N: DefaultIterations}),
}

// Describe returns the description.
func (KDF) Describe(context.Context) (core.KDFInfo, error) { return check.Clone(info), nil }

// Validate applies the absolute bounds, then l.
func (KDF) Validate(p core.Params, l core.Limits) error {
	if err := check.Params(p, info, "i"); err != nil {
		return err
	}
	return l.Check(p)
}

// Memory is what one derivation holds, in bytes.
func (KDF) Memory(core.Params) uint64 { return 8 << 10 }

// Derive fills out with plain or wide PBKDF2-HMAC-SM3. Errors: Invalid or
// TooLarge for parameters and lengths out of bounds, Canceled or Timeout when
// ctx ends.
func (KDF) Derive(ctx context.Context, p core.Params, password, salt, out []byte) error {
	const op = "pbkdf2sm3: derive"
	secret.Zero(out)
	if err := tested(); err != nil {
		return err
	}
	if err := check.Params(p, info, "i"); err != nil {
		return err
	}
	if err := check.Lengths(op, salt, MinSalt, MaxSalt, out, MaxOut); err != nil {
		return err
	}
	i, _ := p.Get("i")
	w, wide := p.Get("w")
	if !wide {
		return Key(ctx, password, salt, int(i), out)
	}
	var all [32 * MaxWide]byte
	defer secret.Zero(all[:])
	if err := Key(ctx, password, salt, int(i), all[:32*w]); err != nil {
		return err
	}
	z := sm.KDF(all[:32*w], len(out))
	copy(out, z)
	secret.Zero(z)
	return nil
}

// work is all the memory a derivation uses.
type work struct {
	key    sm3.Key
	digest sm3.Digest
	lanes  sm3.Lanes
	u      [8]uint32
	t      [8]uint32
}

// Key is plain PBKDF2-HMAC-SM3 without any policy: RFC 8018 for every salt,
// iterations ≥ 1 and length of out up to 2^32−1 blocks. Blocks are computed in
// as many lanes as the build has. On error out is all zero. It is for vectors,
// for known-answer tests and for other KDFs built on it.
func Key(ctx context.Context, password, salt []byte, iterations int, out []byte) error {
	if iterations < 1 {
		secret.Zero(out)
		return core.Errorf(core.Invalid, "pbkdf2sm3", "i=%d is below 1", iterations)
	}
	return keyWidth(ctx, password, salt, iterations, out, sm3.Fit)
}

func keyWidth(ctx context.Context, password, salt []byte, iterations int, out []byte, fit func(int) int) error {
	sm3.Burn() // grows the stack now: growing it later would leave a copy behind
	s := new(work)
	defer func() {
		*s = work{}
		sm3.Burn()
	}()
	s.key.Init(password, &s.digest)
	blocks := (len(out) + 31) / 32
	for next := 0; next < blocks; {
		width := fit(blocks - next)
		n := min(width, blocks-next)
		for l := range n {
			var index [4]byte
			binary.BigEndian.PutUint32(index[:], uint32(next+l+1))
			s.key.MAC(&s.u, &s.digest, salt, index[:])
			s.lanes.SetKey(l, &s.key)
			s.lanes.Start(l, &s.u)
		}
		for left := iterations - 1; left > 0; {
			k := min(left, step)
			s.lanes.Iterate(width, k)
			left -= k
			if ctx.Err() != nil {
				secret.Zero(out)
				return check.Ended(ctx, "pbkdf2sm3: derive")
			}
		}
		for l := range n {
			s.lanes.Result(l, &s.t)
			sm3.PutWords(out[32*(next+l):], &s.t)
		}
		next += n
	}
	return nil
}

// Calibrate finds i so that Derive takes about target on this machine. With a
// floor on w in l the parameters are wide with that w. The floor on i is
// DefaultIterations where l names none.
func (k KDF) Calibrate(ctx context.Context, target time.Duration, l core.Limits) (core.Params, error) {
	w, wide := l.Floor["w"]
	at := func(i uint64) core.Params {
		if wide {
			return core.NewParams(Name, core.Param{Key: "i", N: i}, core.Param{Key: "w", N: w})
		}
		return core.NewParams(Name, core.Param{Key: "i", N: i})
	}
	lo, hi := check.Bounds(l, "i", DefaultIterations, MinIterations, MaxIterations)
	if err := k.Validate(at(lo), l); err != nil {
		return core.Params{}, err
	}
	i, err := calibrate.Linear(ctx, target, MinIterations, lo, hi, func(ctx context.Context, i uint64) error {
		var out [32]byte
		defer secret.Zero(out[:])
		return k.Derive(ctx, at(i), []byte("calibration"), make([]byte, 16), out[:])
	})
	if err != nil {
		return core.Params{}, err
	}
	return at(i), nil
}
