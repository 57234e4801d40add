package cracker

import (
	"context"
	"encoding/binary"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/kdf/argon2id"
	"github.com/keposs/keposs/kdf/hybrid"
	"github.com/keposs/keposs/kdf/internal/sm3"
	"github.com/keposs/keposs/kdf/sm2kdf"
)

// pbkdf2 puts one guess in each lane. Wide derivations do their blocks one
// after the other: an attacker has guesses enough to fill every lane.
type pbkdf2 struct {
	width      int
	salt       []byte
	iterations int
	blocks     int
	wide       bool

	lanes  sm3.Lanes
	digest sm3.Digest
	keys   [sm3.MaxLanes]sm3.Key
	u      [8]uint32
	wideT  [sm3.MaxLanes][]byte
}

const step = 4096 // iterations between two looks at the context

func (k *pbkdf2) run(ctx context.Context, guesses []string, out [][keyLen]byte) error {
	for l, g := range guesses {
		k.keys[l].Init([]byte(g), &k.digest)
		k.lanes.SetKey(l, &k.keys[l])
		k.wideT[l] = k.wideT[l][:0]
	}
	for b := 1; b <= k.blocks; b++ {
		var index [4]byte
		binary.BigEndian.PutUint32(index[:], uint32(b))
		for l := range guesses {
			k.keys[l].MAC(&k.u, &k.digest, k.salt, index[:])
			k.lanes.Start(l, &k.u)
		}
		for left := k.iterations - 1; left > 0; left -= step {
			k.lanes.Iterate(k.width, min(left, step))
			if ctx.Err() != nil {
				return core.Errorf(core.Canceled, "cracker", "%w", ctx.Err())
			}
		}
		for l := range guesses {
			k.lanes.Result(l, &k.u)
			sm3.PutWords(out[l][:], &k.u)
			k.wideT[l] = append(k.wideT[l], out[l][:]...)
		}
	}
	if k.wide {
		for l := range guesses {
			sm2kdf.Expand(k.wideT[l], out[l][:])
		}
	}
	return nil
}

// joined is hybrid: its PBKDF2 half in lanes, its Argon2id half by the library.
type joined struct {
	slow pbkdf2
	hard argon2id.KDF
	p    core.Params
	salt []byte
}

func newJoined(width int, t Target) *joined {
	i, _ := t.Params.Get("i")
	m, _ := t.Params.Get("m")
	p, _ := t.Params.Get("p")
	passes, _ := t.Params.Get("t")
	return &joined{
		slow: pbkdf2{width: width, salt: t.Salt, iterations: int(i), blocks: 1},
		p:    core.NewParams(argon2id.Name, core.Param{Key: "m", N: m}, core.Param{Key: "p", N: p}, core.Param{Key: "t", N: passes}),
		salt: enc.Join(enc.Str(hybrid.Name), t.Salt),
	}
}

func (k *joined) run(ctx context.Context, guesses []string, out [][keyLen]byte) error {
	if err := k.slow.run(ctx, guesses, out); err != nil {
		return err
	}
	var t2 [keyLen]byte
	for l, g := range guesses {
		if err := k.hard.Derive(ctx, k.p, []byte(g), k.salt, t2[:]); err != nil {
			return err
		}
		sm2kdf.Expand(enc.Join(enc.Str(hybrid.Name), out[l][:], t2[:]), out[l][:])
	}
	return nil
}
