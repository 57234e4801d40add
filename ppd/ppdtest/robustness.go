package ppdtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
)

func cancels(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		e, err := s.enroll(ctx, h.Person(1), 1)
		if err != nil {
			return err
		}
		release := make(chan struct{})
		defer close(release)
		deaf := core.PrompterFunc(func(context.Context, core.Prompt) (core.Sample, error) {
			<-release
			return core.Sample{}, core.Canceled
		})
		for name, call := range map[string]func(ctx context.Context) error{
			"enroll":  func(ctx context.Context) error { _, err := s.enroll(ctx, deaf, 1); return err },
			"capture": func(ctx context.Context) error { _, err := s.capture(ctx, deaf, e); return err },
		} {
			c, cancel := context.WithCancel(ctx)
			done := make(chan error, 1)
			go func() { done <- call(c) }()
			time.Sleep(20 * time.Millisecond)
			cancel()
			select {
			case err := <-done:
				if err := want(err, core.Canceled); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			case <-time.After(100 * time.Millisecond):
				return fmt.Errorf("%s: still running 100 ms after its context ended", name)
			}
		}
		return nil
	})
}

func refusalAsks(ctx context.Context, h Harness) error {
	if h.Poor == nil {
		return nil // the harness knows no poor sample
	}
	return with(ctx, h, func(s session) error {
		e, err := s.enroll(ctx, h.Person(1), 1)
		if err != nil {
			return err
		}
		asked, reason := 0, ""
		c, err := s.capture(ctx, core.PrompterFunc(func(ctx context.Context, q core.Prompt) (core.Sample, error) {
			if asked++; asked == 1 {
				return h.Poor(q), nil
			}
			if asked == 2 {
				reason = q.Refusal
			}
			return h.Person(1).Ask(ctx, q)
		}), e)
		if err != nil {
			return err
		}
		defer c.Close()
		if asked < 2 || reason == "" {
			return fmt.Errorf("%d prompts, a reason given: %t", asked, reason != "")
		}
		return nil
	})
}

func prompterError(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		_, err := s.enroll(ctx, core.PrompterFunc(func(context.Context, core.Prompt) (core.Sample, error) {
			return core.Sample{}, core.Errorf(core.Canceled, "kit", "given up")
		}), 1)
		return want(err, core.Canceled)
	})
}

func concurrent(ctx context.Context, h Harness) error {
	return with(ctx, h, func(s session) error {
		var wg sync.WaitGroup
		var bad atomic.Pointer[error]
		for seed := range uint64(8) {
			wg.Go(func() {
				e, err := s.enroll(ctx, h.Person(seed), 1)
				if err == nil {
					var got *secret.Buffer
					if got, err = s.recover(ctx, h.Person(seed), e, 1); err == nil && !s.biometric() && !got.Equal(e.Secret) {
						err = errors.New("one caller got another's secret")
					}
				}
				if err != nil {
					bad.Store(&err)
				}
			})
		}
		wg.Wait()
		if p := bad.Load(); p != nil {
			return *p
		}
		return nil
	})
}
