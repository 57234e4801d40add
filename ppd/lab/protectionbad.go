package lab

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// A puppet is the source under test, or a planted weak variant of it: the suite
// must find each fault by its own finding. Puppets know who is presented, which
// no real source does; only what they answer matters.
type puppet struct {
	core.Source
	name     string
	finds    string // the finding that must be broken
	unmasked int    // bytes at the helper's end that are stored bare; −1 = all
	enroll   func(label string, e *core.Enrollment)
	recover  func(c plantedAnswer) (*secret.Buffer, error)
	share    float64 // of the right person in the sample now presented
	enrolled map[string]*secret.Buffer
	helper   int // bytes of the source's own helper
}

// A plantedAnswer is what a faulty Recover has at hand.
type plantedAnswer struct {
	sec   *secret.Buffer // the sound answer
	right *secret.Buffer // the enrolled secret
	share float64
}

// planted lists the weak variants.
func planted() []puppet {
	tag := func(label string, e *core.Enrollment) {
		h := sm.SM3([]byte(label))
		e.Helper = append(e.Helper, h[:8]...)
	}
	return []puppet{
		{name: "planted: an identifier beside the mask", finds: "unlinkability", unmasked: 8, enroll: tag},
		{name: "planted: a secret that is not renewed", finds: "renewability", enroll: func(label string, e *core.Enrollment) {
			h := sm.SM3([]byte(label))
			e.Secret.Wipe()
			e.Secret = secret.Copy(h[:])
		}},
		{name: "planted: a version mark in the helper", finds: "constant bytes", enroll: func(_ string, e *core.Enrollment) {
			e.Helper = append(e.Helper, "FV01"...)
		}},
		{name: "planted: an error for a wrong person", finds: "answers", recover: func(c plantedAnswer) (*secret.Buffer, error) {
			if !c.sec.Equal(c.right) {
				c.sec.Wipe()
				return nil, core.Errorf(core.CaptureRefused, "planted", "only 7 points agree")
			}
			return c.sec, nil
		}},
		{name: "planted: a graded answer", finds: "hill climbing", recover: func(c plantedAnswer) (*secret.Buffer, error) {
			r := rand.New(rand.NewPCG(uint64(c.share*100), 3))
			out := c.sec.Clone()
			for i, b := range c.right.Bytes() {
				if r.Float64() < 0.8*c.share {
					out.Bytes()[i] = b
				}
			}
			c.sec.Wipe()
			return out, nil
		}},
		{name: "planted: refusals answered late", finds: "timing", recover: func(c plantedAnswer) (*secret.Buffer, error) {
			if !c.sec.Equal(c.right) {
				time.Sleep(40 * time.Millisecond)
			}
			return c.sec, nil
		}},
		{name: "planted: helpers stored without mask", finds: "unlinkability", unmasked: -1},
	}
}

// Enroll lets the source enrol and plants the fault.
func (p *puppet) Enroll(ctx context.Context, r core.EnrollRequest, q core.Prompter) (core.Enrollment, error) {
	e, err := p.Source.Enroll(ctx, r, q)
	if err != nil {
		return e, err
	}
	p.helper = len(e.Helper)
	if p.enroll != nil {
		p.enroll(r.Label, &e)
	}
	p.enrolled[string(e.Helper)] = e.Secret
	return e, nil
}

// Capture wraps the source's capture.
func (p *puppet) Capture(ctx context.Context, r core.CaptureRequest, q core.Prompter) (core.Capture, error) {
	c, err := p.Source.Capture(ctx, r, q)
	if err != nil {
		return nil, err
	}
	return puppetCapture{c, p}, nil
}

type puppetCapture struct {
	core.Capture
	p *puppet
}

// Recover lets the source answer and plants the fault.
func (c puppetCapture) Recover(ctx context.Context, r core.RecoverRequest) (*secret.Buffer, error) {
	right := c.p.enrolled[string(r.Helper)]
	r.Helper = r.Helper[:c.p.helper]
	sec, err := c.Capture.Recover(ctx, r)
	if err != nil || c.p.recover == nil {
		return sec, err
	}
	return c.p.recover(plantedAnswer{sec, right, c.p.share})
}
