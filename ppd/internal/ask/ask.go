// Package ask is how the sources put one question: the answer comes within the
// caller's context even when the prompter is slow to notice it, has one of the
// kinds asked for, and is wiped whenever it is not handed on.
package ask

import (
	"context"
	"slices"

	"github.com/keposs/keposs/core"
)

// Once asks p for one sample. Another kind than asked for, no data, or more
// than limit bytes is Invalid: that is a defect of the prompter, no slip of a
// person. The caller owns the sample. When ctx ends first the error is
// Canceled and a late answer is wiped by the goroutine that receives it.
func Once(ctx context.Context, op string, p core.Prompter, q core.Prompt, limit int) (core.Sample, error) {
	if p == nil {
		return core.Sample{}, core.Errorf(core.Usage, op, "no prompter given")
	}
	if err := ctx.Err(); err != nil {
		return core.Sample{}, core.Errorf(core.Canceled, op, "%w", err)
	}
	type answer struct {
		s   core.Sample
		err error
	}
	got := make(chan answer)
	left := make(chan struct{})
	go func() {
		s, err := p.Ask(ctx, q)
		select {
		case got <- answer{s, err}:
		case <-left:
			s.Data.Wipe()
		}
	}()
	select {
	case <-ctx.Done():
		close(left)
		return core.Sample{}, core.Errorf(core.Canceled, op, "%w", ctx.Err())
	case a := <-got:
		if a.err != nil {
			a.s.Data.Wipe()
			return core.Sample{}, a.err
		}
		if !slices.Contains(q.Kinds, a.s.Kind) {
			a.s.Data.Wipe()
			return core.Sample{}, core.Errorf(core.Invalid, op, "the prompter answered with a sample of another kind, want one of %v", q.Kinds)
		}
		if a.s.Data == nil || a.s.Data.Len() > limit {
			a.s.Data.Wipe()
			return core.Sample{}, core.Errorf(core.Invalid, op, "the prompter answered with no data or more than %d bytes", limit)
		}
		return a.s, nil
	}
}
