package ppdtest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/ppd/pin"
	"github.com/keposs/keposs/ppd/ppdtest"
)

// broken is a PIN source with one fault.
type broken struct {
	core.Source
	enroll  func(*core.Enrollment)
	recover func(*secret.Buffer) (*secret.Buffer, error)
	config  bool
}

func (b broken) Configure(ctx context.Context, c core.Config) error {
	if b.config {
		return nil
	}
	return b.Source.Configure(ctx, c)
}

func (b broken) Enroll(ctx context.Context, r core.EnrollRequest, p core.Prompter) (core.Enrollment, error) {
	e, err := b.Source.Enroll(ctx, r, p)
	if err == nil && b.enroll != nil {
		b.enroll(&e)
	}
	return e, err
}

func (b broken) Capture(ctx context.Context, r core.CaptureRequest, p core.Prompter) (core.Capture, error) {
	if len(r.Params) > pin.HelperSize {
		r.Params = r.Params[:pin.HelperSize]
	}
	c, err := b.Source.Capture(ctx, r, p)
	return caught{c, b}, err
}

type caught struct {
	core.Capture
	b broken
}

func (c caught) Recover(ctx context.Context, r core.RecoverRequest) (*secret.Buffer, error) {
	r.Helper = r.Helper[:min(len(r.Helper), pin.HelperSize)]
	s, err := c.Capture.Recover(ctx, r)
	if err == nil && c.b.recover != nil {
		return c.b.recover(s)
	}
	return s, err
}

// Each fault is caught by the case that names its rule.
func TestKitCatches(t *testing.T) {
	for name, b := range map[string]broken{
		"UnknownConfigRefused": {config: true},
		"HelperHoldsNoSecret":  {enroll: func(e *core.Enrollment) { e.Helper = append(e.Helper, e.Secret.Bytes()...) }},
		"HelperFixedLength":    {enroll: func(e *core.Enrollment) { e.Helper = append(e.Helper, 0) }},
		"StrengthHonest":       {enroll: func(e *core.Enrollment) { e.Strength.Evidence = "trust us" }},
		"AlwaysASecret": {recover: func(*secret.Buffer) (*secret.Buffer, error) {
			return nil, errors.New("no match")
		}},
		"RoundTrip": {recover: func(*secret.Buffer) (*secret.Buffer, error) { return secret.New(32), nil }},
	} {
		c, ok := ppdtest.Find(name)
		if !ok {
			t.Fatalf("no case %s", name)
		}
		b.Source = pin.New()
		h := ppdtest.Harness{New: func() core.Source { return b }, Person: ppdtest.PIN}
		if err := c.Run(context.Background(), h); err == nil {
			t.Errorf("%s passes a source that breaks it", name)
		}
		h.New = func() core.Source { return pin.New() }
		if err := c.Run(context.Background(), h); err != nil {
			t.Errorf("%s refuses a sound source: %v", name, err)
		}
	}
}
