// Package sm3crypt is the password hash "$sm3$" of libxcrypt 4.5 (Drepper's
// SHA-crypt with SM3), met in this country's Linux distributions, behind the
// KDF contract. For study: it is iterated SM3 without HMAC and no approved
// mechanism.
//
// Parameter: r, the rounds. The salt of the text form is at most 16
// characters; Derive gives it 16 made from its salt. Text and Hash speak the
// text form, so that outside crackers can be pointed at exported records.
package sm3crypt

import (
	"context"
	"strconv"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/kdf/internal/calibrate"
	"github.com/keposs/keposs/kdf/internal/check"
	"github.com/keposs/keposs/kdf/internal/sm3"
	"github.com/keposs/keposs/kdf/sm2kdf"
)

// Name is the KDF's name in parameters.
const Name = "sm3crypt"

// Bounds.
const (
	MinRounds     = 1000
	MaxRounds     = 1 << 24
	DefaultRounds = 5000 // libxcrypt's
	MaxSecret     = 512  // bytes
	MinSalt       = 8
	MaxSalt       = 1 << 10
	MaxOut        = 1 << 16
	MaxTextSalt   = 16 // characters
)

// KDF implements core.KDF. The zero value is ready and holds nothing.
type KDF struct{}

var _ core.KDF = KDF{}

// New returns the KDF.
func New() KDF { return KDF{} }

// DefaultLimits puts the floor at libxcrypt's default.
func DefaultLimits() core.Limits {
	return core.Limits{Floor: map[string]uint64{"r": DefaultRounds}, Ceiling: map[string]uint64{"r": MaxRounds}}
}

func params(r uint64) core.Params { return core.NewParams(Name, core.Param{Key: "r", N: r}) }

var info = core.KDFInfo{
	Name: Name, Version: "1", Approved: false,
	Params:  []core.ParamInfo{{Key: "r", Min: MinRounds, Max: MaxRounds, Help: "rounds"}},
	Default: params(DefaultRounds),
}

// Describe returns the description.
func (KDF) Describe(context.Context) (core.KDFInfo, error) { return check.Clone(info), nil }

// Validate applies the absolute bounds, then l.
func (KDF) Validate(p core.Params, l core.Limits) error {
	if err := check.Params(p, info, "r"); err != nil {
		return err
	}
	return l.Check(p)
}

// Memory is what one derivation holds, in bytes.
func (KDF) Memory(core.Params) uint64 { return 2 << 10 }

// Derive fills out with the clause 5.4.3 KDF of the 32-byte hash; the crypt
// salt is 16 characters made of SM2KDF(salt, 12).
func (KDF) Derive(ctx context.Context, p core.Params, password, salt, out []byte) error {
	const op = "sm3crypt: derive"
	secret.Zero(out)
	if err := check.Params(p, info, "r"); err != nil {
		return err
	}
	if err := check.Lengths(op, salt, MinSalt, MaxSalt, out, MaxOut); err != nil {
		return err
	}
	r, _ := p.Get("r")
	raw, err := Hash(ctx, password, TextSalt(salt), int(r))
	if err != nil {
		return err
	}
	defer secret.Zero(raw[:])
	sm2kdf.Expand(raw[:], out)
	return nil
}

// TextSalt makes 16 characters of the text form's alphabet from any salt.
func TextSalt(salt []byte) []byte {
	var b [12]byte
	sm2kdf.Expand(salt, b[:])
	out := make([]byte, 0, MaxTextSalt)
	for i := 0; i < len(b); i += 3 {
		out = encode(out, b[i], b[i+1], b[i+2], 4)
	}
	return out
}

// work is all the memory a hash uses.
type work struct {
	d     sm3.Digest
	words [8]uint32
	sum   [32]byte
	p     [32]byte // hash of the repeated password, repeated itself to its length
	s     [32]byte // the same of the salt
}

func (w *work) final(dst *[32]byte) {
	w.d.Sum(&w.words)
	sm3.PutWords(dst[:], &w.words)
}

// cycle writes the first n bytes of block repeated.
func (w *work) cycle(block *[32]byte, n int) {
	for ; n > 32; n -= 32 {
		_, _ = w.d.Write(block[:])
	}
	_, _ = w.d.Write(block[:n])
}

// Hash is the hash itself. TooLarge for a password of more than MaxSecret
// bytes or a salt of more than MaxTextSalt.
func Hash(ctx context.Context, password, salt []byte, rounds int) (out [32]byte, err error) {
	const op = "sm3crypt"
	if len(password) > MaxSecret {
		return out, core.Errorf(core.TooLarge, op, "a secret of more than %d bytes", MaxSecret)
	}
	if len(salt) > MaxTextSalt {
		return out, core.Errorf(core.TooLarge, op, "a salt of more than %d characters", MaxTextSalt)
	}
	if rounds < MinRounds || rounds > MaxRounds {
		return out, core.Errorf(core.Invalid, op, "r=%d is out of %d..%d", rounds, MinRounds, MaxRounds)
	}
	sm3.Burn() // grows the stack now: growing it later would leave a copy behind
	w := new(work)
	defer func() {
		*w = work{}
		sm3.Burn()
	}()
	write := func(parts ...[]byte) {
		for _, p := range parts {
			_, _ = w.d.Write(p)
		}
	}
	w.d.Reset()
	write(password, salt, password)
	w.final(&w.sum)

	w.d.Reset()
	write(password, salt)
	w.cycle(&w.sum, len(password))
	for n := len(password); n > 0; n >>= 1 {
		if n&1 == 1 {
			write(w.sum[:])
		} else {
			write(password)
		}
	}
	w.final(&w.sum)

	w.d.Reset()
	for range len(password) {
		write(password)
	}
	w.final(&w.p)
	w.d.Reset()
	for range 16 + int(w.sum[0]) {
		write(salt)
	}
	w.final(&w.s)

	for i := range rounds {
		if i&4095 == 4095 && ctx.Err() != nil {
			return out, check.Ended(ctx, op)
		}
		w.d.Reset()
		if i&1 == 1 {
			w.cycle(&w.p, len(password))
		} else {
			_, _ = w.d.Write(w.sum[:])
		}
		if i%3 != 0 {
			w.cycle(&w.s, len(salt))
		}
		if i%7 != 0 {
			w.cycle(&w.p, len(password))
		}
		if i&1 == 1 {
			_, _ = w.d.Write(w.sum[:])
		} else {
			w.cycle(&w.p, len(password))
		}
		w.final(&w.sum)
	}
	return w.sum, nil
}

// Text returns the text form of a hash, "$sm3$rounds=N$salt$hash".
func Text(salt []byte, rounds int, h [32]byte) string {
	out := append([]byte("$sm3$rounds="), strconv.Itoa(rounds)...)
	out = append(append(append(out, '$'), salt...), '$')
	for a, b, c := 0, 10, 20; a != 30; {
		out = encode(out, h[a], h[b], h[c], 4)
		a, b, c = c+1, a+1, b+1
	}
	return string(encode(out, 0, h[31], h[30], 3))
}

const alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// encode appends n characters for 24 bits, least significant first.
func encode(dst []byte, b2, b1, b0 byte, n int) []byte {
	for v := uint32(b2)<<16 | uint32(b1)<<8 | uint32(b0); n > 0; n-- {
		dst = append(dst, alphabet[v&63])
		v >>= 6
	}
	return dst
}

// Calibrate finds r so that Derive takes about target on this machine.
func (k KDF) Calibrate(ctx context.Context, target time.Duration, l core.Limits) (core.Params, error) {
	lo, hi := check.Bounds(l, "r", DefaultRounds, MinRounds, MaxRounds)
	if err := k.Validate(params(lo), l); err != nil {
		return core.Params{}, err
	}
	r, err := calibrate.Linear(ctx, target, MinRounds, lo, hi, func(ctx context.Context, n uint64) error {
		var out [32]byte
		return k.Derive(ctx, params(n), []byte("calibration"), make([]byte, 16), out[:])
	})
	return params(r), err
}
