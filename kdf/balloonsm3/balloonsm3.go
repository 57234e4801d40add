// Package balloonsm3 is Balloon hashing (Boneh, Corrigan-Gibbs, Schechter,
// 2016) over SM3 behind the KDF contract: memory hardness from the national
// hash alone. For study: it fills memory some hundred times slower than
// Argon2id, so at equal time an attacker needs far less memory.
//
// Parameters: s, the number of 32-byte blocks; t, the rounds. Counters are 64
// bits little-endian and each step has three random neighbours, as in the
// public implementations whose vectors it is checked with (over SHA-256).
package balloonsm3

import (
	"context"
	"encoding/binary"
	"math/bits"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/kdf/internal/calibrate"
	"github.com/keposs/keposs/kdf/internal/check"
	"github.com/keposs/keposs/kdf/internal/sm3"
	"github.com/keposs/keposs/kdf/sm2kdf"
)

// Name is the KDF's name in parameters.
const Name = "balloonsm3"

// Bounds.
const (
	MinBlocks     = 1 << 5
	MaxBlocks     = 1 << 26 // 2 GiB
	MaxRounds     = 1 << 10
	MinSalt       = 8 // bytes
	MaxSalt       = 1 << 10
	MaxOut        = 1 << 16
	DefaultMemory = 1 << 30 // bytes, where the limits name no ceiling

	neighbours = 3
)

// KDF implements core.KDF. The zero value is ready and holds nothing.
type KDF struct{}

var _ core.KDF = KDF{}

// New returns the KDF.
func New() KDF { return KDF{} }

// DefaultLimits puts the floor at 1 MiB and 1 round.
func DefaultLimits() core.Limits {
	return core.Limits{
		Floor:   map[string]uint64{"s": 1 << 15, "t": 1},
		Ceiling: map[string]uint64{"s": 1 << 21, "t": 16},
	}
}

func params(s, t uint64) core.Params {
	return core.NewParams(Name, core.Param{Key: "s", N: s}, core.Param{Key: "t", N: t})
}

var info = core.KDFInfo{
	Name: Name, Version: "1", Approved: false,
	Params: []core.ParamInfo{
		{Key: "s", Min: MinBlocks, Max: MaxBlocks, Help: "blocks of 32 bytes"},
		{Key: "t", Min: 1, Max: MaxRounds, Help: "rounds over the blocks"},
	},
	Default: params(1<<15, 1),
}

// Describe returns the description.
func (KDF) Describe(context.Context) (core.KDFInfo, error) { return check.Clone(info), nil }

// Validate applies the absolute bounds, l, and l's memory ceiling (1 GiB where
// l has none).
func (k KDF) Validate(p core.Params, l core.Limits) error {
	if err := check.Params(p, info, "s", "t"); err != nil {
		return err
	}
	if err := l.Check(p); err != nil {
		return err
	}
	return check.Memory(p, l, k.Memory(p), DefaultMemory)
}

// Memory is what one derivation holds, in bytes.
func (KDF) Memory(p core.Params) uint64 {
	s, _ := p.Get("s")
	return 32 * s
}

// Derive fills out with the clause 5.4.3 KDF of the last block.
func (KDF) Derive(ctx context.Context, p core.Params, password, salt, out []byte) error {
	const op = "balloonsm3: derive"
	secret.Zero(out)
	if err := check.Params(p, info, "s", "t"); err != nil {
		return err
	}
	if err := check.Lengths(op, salt, MinSalt, MaxSalt, out, MaxOut); err != nil {
		return err
	}
	s, _ := p.Get("s")
	t, _ := p.Get("t")
	var last [32]byte
	defer secret.Zero(last[:])
	if err := balloon(ctx, &sm3Hash{}, password, salt, int(s), int(t), &last); err != nil {
		return err
	}
	sm2kdf.Expand(last[:], out)
	return nil
}

// A hasher is one reusable hash; it allocates nothing per use.
type hasher interface {
	Reset()
	Write(p []byte) (int, error)
	Final(out *[32]byte)
	Wipe()
}

type sm3Hash struct {
	sm3.Digest
	words [8]uint32
}

func (h *sm3Hash) Final(out *[32]byte) {
	h.Sum(&h.words)
	sm3.PutWords(out[:], &h.words)
}

// balloon writes the last block to out.
func balloon(ctx context.Context, h hasher, password, salt []byte, space, rounds int, out *[32]byte) error {
	buf := make([][32]byte, space)
	defer func() {
		clear(buf)
		h.Wipe()
	}()
	var count uint64
	var num, pick [32]byte
	var at [24]byte
	hash := func(dst *[32]byte, a, b []byte) {
		h.Reset()
		binary.LittleEndian.PutUint64(num[:8], count)
		count++
		_, _ = h.Write(num[:8])
		_, _ = h.Write(a)
		_, _ = h.Write(b)
		h.Final(dst)
	}
	hash(&buf[0], password, salt)
	for m := 1; m < space; m++ {
		if m&1023 == 0 && ctx.Err() != nil {
			return check.Ended(ctx, "balloonsm3: derive")
		}
		hash(&buf[m], buf[m-1][:], nil)
	}
	for t := range rounds {
		for m := range space {
			if m&1023 == 0 && ctx.Err() != nil {
				return check.Ended(ctx, "balloonsm3: derive")
			}
			prev := &buf[(m+space-1)%space]
			hash(&buf[m], prev[:], buf[m][:])
			for i := range neighbours {
				// The place depends on salt and counters only, never on the secret.
				binary.LittleEndian.PutUint64(at[0:], uint64(t))
				binary.LittleEndian.PutUint64(at[8:], uint64(m))
				binary.LittleEndian.PutUint64(at[16:], uint64(i))
				h.Reset()
				_, _ = h.Write(at[:])
				h.Final(&pick)
				hash(&pick, salt, pick[:])
				hash(&buf[m], buf[m][:], buf[mod(&pick, uint64(space))][:])
			}
		}
	}
	*out = buf[space-1]
	return nil
}

// mod returns the 256-bit little-endian number x modulo n.
func mod(x *[32]byte, n uint64) uint64 {
	var r uint64
	for i := 24; i >= 0; i -= 8 {
		_, r = bits.Div64(r, binary.LittleEndian.Uint64(x[i:]), n)
	}
	return r
}

// Calibrate keeps the floor of t and finds s.
func (k KDF) Calibrate(ctx context.Context, target time.Duration, l core.Limits) (core.Params, error) {
	def := DefaultLimits()
	lo, hi := check.Bounds(l, "s", def.Floor["s"], MinBlocks, MaxBlocks)
	t, _ := check.Bounds(l, "t", def.Floor["t"], 1, MaxRounds)
	limit := l.MaxMemory
	if limit == 0 {
		limit = DefaultMemory
	}
	hi = min(hi, limit/32)
	if err := k.Validate(params(lo, t), l); err != nil {
		return core.Params{}, err
	}
	s, err := calibrate.Linear(ctx, target, MinBlocks, lo, hi, func(ctx context.Context, n uint64) error {
		var out [32]byte
		return k.Derive(ctx, params(n, t), []byte("calibration"), make([]byte, 16), out[:])
	})
	return params(s, t), err
}
