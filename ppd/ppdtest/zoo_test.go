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

// claims is a PIN source that says another strength of itself.
type claims struct {
	broken
	perTry core.Millibits
}

func (c claims) Describe(ctx context.Context) (core.SourceInfo, error) {
	i, err := c.Source.Describe(ctx)
	i.Strength.PerTry = c.perTry
	return i, err
}

// A stranger who passes now and then is what few claimed bits mean; more than
// that, or one against a claim of many, is a fault.
func TestAlwaysASecretWeighsTheClaim(t *testing.T) {
	always, ok := ppdtest.Find("AlwaysASecret")
	if !ok {
		t.Fatal("no case AlwaysASecret")
	}
	for _, c := range []struct {
		bits, lucky int // of the six strangers
		passes      bool
	}{{4, 0, true}, {4, 1, true}, {4, 3, false}, {20, 1, false}, {1, 6, false}} {
		var enrolled *secret.Buffer
		left := c.lucky
		b := claims{perTry: core.Millibits(1000 * c.bits), broken: broken{
			Source: pin.New(),
			enroll: func(e *core.Enrollment) {
				enrolled = secret.Copy(e.Secret.Bytes())
				e.Strength.PerTry = core.Millibits(1000 * c.bits)
			},
			recover: func(s *secret.Buffer) (*secret.Buffer, error) {
				if left == 0 {
					return s, nil
				}
				left--
				s.Wipe()
				return secret.Copy(enrolled.Bytes()), nil
			},
		}}
		h := ppdtest.Harness{New: func() core.Source { return b }, Person: ppdtest.PIN}
		if err := always.Run(t.Context(), h); (err == nil) != c.passes {
			t.Errorf("%d of 6 strangers pass a claim of %d bits: %v", c.lucky, c.bits, err)
		}
	}
}
