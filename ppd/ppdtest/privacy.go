package ppdtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/keposs/keposs/core"
)

func bindSeparation(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		if !s.biometric() {
			return nil // the rule speaks of biometrics only
		}
		e, err := s.enroll(ctx, h.Person(1), 1)
		if err != nil {
			return err
		}
		got, err := s.recover(ctx, h.Person(1), e, 2)
		if err == nil && got.Equal(e.Secret) {
			return errors.New("another bind key gives the same secret")
		}
		return err
	})
}

func renewability(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		a, err := s.enroll(ctx, h.Person(1), 1)
		if err != nil {
			return err
		}
		b, err := s.enroll(ctx, h.Person(1), 1)
		if err != nil {
			return err
		}
		if s.biometric() == (a.Secret.Equal(b.Secret) || bytes.Equal(a.Helper, b.Helper)) {
			return errors.New("a biometric must be renewed at each enrolment, a known secret must not change")
		}
		return nil
	})
}

func helperLength(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		for seed := range uint64(5) {
			e, err := s.enroll(ctx, h.Person(seed), 1)
			if err != nil {
				return err
			}
			if h.Params == nil && len(e.Helper) != s.info.HelperSize {
				return fmt.Errorf("helper of %d bytes, described as %d", len(e.Helper), s.info.HelperSize)
			}
		}
		return nil
	})
}

func helperNoSecret(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		a, err := s.enroll(ctx, h.Person(1), 1)
		if err != nil {
			return err
		}
		b, err := s.enroll(ctx, h.Person(2), 1)
		if err != nil {
			return err
		}
		if !s.biometric() && !bytes.Equal(a.Helper, b.Helper) {
			return errors.New("the helper of a known secret differs from person to person")
		}
		if n := a.Secret.Len(); n >= 4 && bytes.Contains(a.Helper, a.Secret.Bytes()) {
			return errors.New("the helper holds the secret")
		}
		return nil
	})
}

// answerTime compares the medians of right and wrong recoveries. Below a
// microsecond of difference nothing is told over any channel of keposs.
func answerTime(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		e, err := s.enroll(ctx, h.Person(1), 1)
		if err != nil {
			return err
		}
		const rounds = 41
		var took [2][]time.Duration
		for i := range 2 * rounds {
			c, err := s.capture(ctx, h.Person(uint64(1+i%2)), e)
			if err != nil {
				return err
			}
			start := time.Now()
			got, err := c.Recover(ctx, core.RecoverRequest{Helper: e.Helper, BindKey: s.bind(1)})
			took[i%2] = append(took[i%2], time.Since(start))
			if err != nil {
				return err
			}
			got.Wipe()
			_ = c.Close()
		}
		right, wrong := median(took[0]), median(took[1])
		if d := (right - wrong).Abs(); d > 50*time.Microsecond && d > max(right, wrong)/5 {
			return fmt.Errorf("right samples are answered in %s, wrong ones in %s", right, wrong)
		}
		return nil
	})
}
