// Package budget bounds how many derivations run at a time and how much memory
// they hold together, so that a server's or an attacker's choice of parameters
// cannot take the machine down. A derivation waits for its share until its
// context ends; one that could never fit is refused by name.
package budget

import (
	"context"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/kdf/internal/check"
)

// A Budget is shared by any number of KDFs. It is safe for concurrent use.
type Budget struct {
	memory uint64
	bytes  *semaphore.Weighted
	slots  *semaphore.Weighted
}

// New returns a budget of memory bytes and slots derivations at a time; at
// least one slot.
func New(memory uint64, slots int) *Budget {
	return &Budget{memory: memory, bytes: semaphore.NewWeighted(int64(memory)), slots: semaphore.NewWeighted(int64(max(slots, 1)))}
}

// A Sizer tells what a derivation holds, in bytes.
type Sizer interface {
	Memory(p core.Params) uint64
}

// A Holder may go on holding its memory after Derive returned, when a library
// it uses cannot be interrupted. done is called once, when all is free.
type Holder interface {
	DeriveHeld(ctx context.Context, p core.Params, secret, salt, out []byte, done func()) error
}

// Wrap returns k within b. Describe, Validate and Calibrate pass through, but
// that Validate also refuses what can never fit.
func Wrap(k core.KDF, b *Budget) core.KDF { return &limited{k, b} }

type limited struct {
	k core.KDF
	b *Budget
}

var _ core.KDF = (*limited)(nil)

func (l *limited) Describe(ctx context.Context) (core.KDFInfo, error) { return l.k.Describe(ctx) }

// Memory is the wrapped KDF's figure, 0 when it declares none.
func (l *limited) Memory(p core.Params) uint64 {
	if s, ok := l.k.(Sizer); ok {
		return s.Memory(p)
	}
	return 0
}

func (l *limited) Validate(p core.Params, lim core.Limits) error {
	if err := l.k.Validate(p, lim); err != nil {
		return err
	}
	return check.Memory(p, core.Limits{}, l.Memory(p), l.b.memory)
}

func (l *limited) Calibrate(ctx context.Context, target time.Duration, lim core.Limits) (core.Params, error) {
	if lim.MaxMemory == 0 || lim.MaxMemory > l.b.memory {
		lim.MaxMemory = l.b.memory
	}
	return l.k.Calibrate(ctx, target, lim)
}

func (l *limited) Derive(ctx context.Context, p core.Params, secret, salt, out []byte) error {
	clear(out)
	// Bounds first: Memory of refused parameters means nothing.
	if err := l.Validate(p, core.Limits{MaxMemory: l.b.memory}); err != nil {
		return err
	}
	op := "kdf " + p.Name
	need := int64(l.Memory(p))
	if err := l.b.slots.Acquire(ctx, 1); err != nil {
		return check.Ended(ctx, op)
	}
	if err := l.b.bytes.Acquire(ctx, need); err != nil {
		l.b.slots.Release(1)
		return check.Ended(ctx, op)
	}
	done := func() {
		l.b.bytes.Release(need)
		l.b.slots.Release(1)
	}
	if h, ok := l.k.(Holder); ok {
		return h.DeriveHeld(ctx, p, secret, salt, out, done)
	}
	defer done()
	return l.k.Derive(ctx, p, secret, salt, out)
}
