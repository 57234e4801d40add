// Package cracker is the attacker of the laboratory: it tries guesses against
// one derived key as fast as this project knows how, so that a KDF's cost is
// measured from the attacker's side of the table too.
//
// Where the structure allows it guesses run in SIMD lanes (GOEXPERIMENT=simd)
// and what depends on the salt alone is computed once: PBKDF2 plain and wide,
// the clause 5.4.3 KDF, HKDF, Balloon and sm3crypt. Elsewhere the kernel is the
// defender's own code, one guess after the other; a dedicated cracker is
// faster there, and results say so ([Kernel.Form]).
//
// Guesses are data of a study and are not wiped.
package cracker

import (
	"bytes"
	"context"
	"fmt"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/kdf/balloonsm3"
	"github.com/keposs/keposs/kdf/hkdfsm3"
	"github.com/keposs/keposs/kdf/hybrid"
	"github.com/keposs/keposs/kdf/internal/sm3"
	"github.com/keposs/keposs/kdf/pbkdf2sm3"
	"github.com/keposs/keposs/kdf/sm2kdf"
	"github.com/keposs/keposs/kdf/sm3crypt"
)

// A Target is what the attacker holds: everything but the guess.
type Target struct {
	KDF    core.KDF
	Params core.Params
	Salt   []byte
	Key    []byte // 32 bytes that the right guess derives
}

// MaxBatch bounds the guesses of one Try.
const MaxBatch = 1 << 16

// keyLen is how much of the key is compared.
const keyLen = 32

// A Kernel searches one target. It is not safe for concurrent use.
type Kernel struct {
	target Target
	width  int
	lanes  laneKernel // nil: one guess after the other by the KDF itself
}

// A laneKernel derives width keys of equally long guesses at once into out.
type laneKernel interface {
	run(ctx context.Context, guesses []string, out [][keyLen]byte) error
}

// New returns the fastest kernel of this build and machine.
func New(t Target) (*Kernel, error) {
	w := sm3.Widths()
	return NewWidth(t, w[len(w)-1])
}

// Widths lists the lane counts of this build and machine, ascending from 1.
func Widths() []int { return sm3.Widths() }

// NewWidth is New with a lane count of Widths.
func NewWidth(t Target, width int) (*Kernel, error) {
	const op = "cracker: new"
	if len(t.Key) != keyLen {
		return nil, core.Errorf(core.Invalid, op, "a key of %d bytes, want %d", len(t.Key), keyLen)
	}
	if t.KDF == nil {
		return nil, core.Errorf(core.Invalid, op, "no kdf given")
	}
	if err := t.KDF.Validate(t.Params, core.Limits{}); err != nil {
		return nil, err
	}
	ok := false
	for _, w := range sm3.Widths() {
		ok = ok || w == width
	}
	if !ok {
		return nil, core.Errorf(core.Unsupported, op, "%d lanes, this build and machine have %v", width, sm3.Widths())
	}
	k := &Kernel{target: t, width: width}
	switch t.Params.Name {
	case pbkdf2sm3.Name:
		i, _ := t.Params.Get("i")
		w, wide := t.Params.Get("w")
		k.lanes = &pbkdf2{width: width, salt: t.Salt, iterations: int(i), blocks: max(1, int(w)), wide: wide}
	case sm2kdf.Name:
		k.lanes = &clause{width: width, salt: t.Salt}
	case hkdfsm3.Name:
		k.lanes = newExtract(width, t.Salt)
	case balloonsm3.Name:
		s, _ := t.Params.Get("s")
		r, _ := t.Params.Get("t")
		k.lanes = newBalloon(width, t.Salt, int(s), int(r))
	case sm3crypt.Name:
		if width > 1 { // in one lane the defender's code is as fast
			k.lanes = newCrypt(width, t)
		}
	case hybrid.Name:
		k.lanes = newJoined(width, t)
	}
	return k, nil
}

// Batch is how many guesses Try should get at a time for full speed.
func (k *Kernel) Batch() int {
	if k.lanes == nil {
		return 1
	}
	return k.width
}

// Form says what the kernel is, for reports.
func (k *Kernel) Form() string {
	switch {
	case k.lanes == nil:
		return "defender's code"
	case k.width == 1:
		return "kernel, 1 lane"
	default:
		return fmt.Sprintf("kernel, %d lanes", k.width)
	}
}

// Try tests guesses and returns the index of the right one, −1 when there is
// none.
func (k *Kernel) Try(ctx context.Context, guesses []string) (int, error) {
	if len(guesses) > MaxBatch {
		return -1, core.Errorf(core.TooLarge, "cracker: try", "%d guesses at a time, at most %d", len(guesses), MaxBatch)
	}
	if k.lanes == nil {
		return k.one(ctx, guesses)
	}
	var out [sm3.MaxLanes][keyLen]byte
	for at := 0; at < len(guesses); {
		n := 1 // lanes want guesses of one length
		for at+n < len(guesses) && n < k.width && len(guesses[at+n]) == len(guesses[at]) {
			n++
		}
		if err := k.lanes.run(ctx, guesses[at:at+n], out[:n]); err != nil {
			return -1, err
		}
		for l := range n {
			if bytes.Equal(out[l][:], k.target.Key) {
				return at + l, nil
			}
		}
		at += n
	}
	return -1, nil
}

func (k *Kernel) one(ctx context.Context, guesses []string) (int, error) {
	var out [keyLen]byte
	for i, g := range guesses {
		if err := k.target.KDF.Derive(ctx, k.target.Params, []byte(g), k.target.Salt, out[:]); err != nil {
			return -1, err
		}
		if bytes.Equal(out[:], k.target.Key) {
			return i, nil
		}
	}
	return -1, nil
}
