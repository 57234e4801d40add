package ppdtest

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/internal/poisson"
)

func roundTrip(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		e, err := s.enroll(ctx, h.Person(1), 1)
		if err != nil {
			return err
		}
		defer e.Secret.Wipe()
		need, of := h.Takes, h.TakesOf
		if of == 0 {
			need, of = 3, 3
		}
		if s.biometric() && e.Secret.Len() < 32 {
			return fmt.Errorf("a biometric's secret has %d bytes, want 32 at least", e.Secret.Len())
		}
		hits := 0
		for range of {
			got, err := s.recover(ctx, h.Person(1), e, 1)
			if err != nil {
				return err
			}
			if got.Equal(e.Secret) {
				hits++
			}
			got.Wipe()
		}
		if hits < need {
			return fmt.Errorf("%d of %d recoveries gave the enrolled secret, want %d", hits, of, need)
		}
		return nil
	})
}

func alwaysASecret(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		e, err := s.enroll(ctx, h.Person(1), 1)
		if err != nil {
			return err
		}
		const strangers = 6
		same := 0
		for seed := uint64(2); seed < 2+strangers; seed++ {
			got, err := s.recover(ctx, h.Person(seed), e, 1)
			if err != nil {
				return fmt.Errorf("a wrong sample: %w", err)
			}
			if got.Equal(e.Secret) {
				same++
			}
			if got.Len() == 0 || s.biometric() && got.Len() != e.Secret.Len() {
				return errors.New("a wrong sample gave a secret of another shape")
			}
		}
		// A source that claims few bits is passed by a stranger now and then. What
		// its claim gives less than 1 % to is none of that, nor is all of them; from
		// 9.3 bits on one is too many.
		claim := float64(max(s.info.Strength.PerTry, e.Strength.PerTry)) / 1000
		if same == strangers || same > 0 && 1-poisson.AtMost(same-1, strangers*math.Exp2(-claim)) < 0.01 {
			return fmt.Errorf("a wrong sample gave the enrolled secret, %d times of %d", same, strangers)
		}
		return nil
	})
}

func secondRecover(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		e, err := s.enroll(ctx, h.Person(1), 1)
		if err != nil {
			return err
		}
		c, err := s.capture(ctx, h.Person(1), e)
		if err != nil {
			return err
		}
		defer c.Close()
		r := core.RecoverRequest{Helper: e.Helper, BindKey: s.bind(1)}
		if _, err := c.Recover(ctx, r); err != nil {
			return err
		}
		_, err = c.Recover(ctx, r)
		return want(err, core.State)
	})
}

func closeEnds(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		e, err := s.enroll(ctx, h.Person(1), 1)
		if err != nil {
			return err
		}
		var seen []*secret.Buffer
		spy := core.PrompterFunc(func(ctx context.Context, q core.Prompt) (core.Sample, error) {
			a, err := h.Person(1).Ask(ctx, q)
			seen = append(seen, a.Data)
			return a, err
		})
		c, err := s.capture(ctx, spy, e)
		if err != nil {
			return err
		}
		if err := errors.Join(c.Close(), c.Close()); err != nil {
			return err
		}
		for _, b := range seen {
			if h.Transport == nil && b.Len() != 0 {
				return errors.New("a sample outlives Close")
			}
		}
		_, err = c.Recover(ctx, core.RecoverRequest{Helper: e.Helper, BindKey: s.bind(1)})
		return want(err, core.Closed, core.State)
	})
}
