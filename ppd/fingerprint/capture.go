package fingerprint

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/ppd/fuzzy"
	"github.com/keposs/keposs/ppd/internal/ask"
)

// leastMinutiae is what one impression must show to be of use.
const leastMinutiae = 12

// An asker collects the impressions of one call: finger by finger, captures of
// each. The views of one record fill the prompts in order.
type asker struct {
	p        core.Prompter
	label    string
	purpose  core.Purpose
	fingers  int
	captures int
}

// collect asks until all are there; a refused one is asked for again. The views
// are the caller's to wipe, also with an error.
func (a asker) collect(ctx context.Context) ([]View, error) {
	want := a.fingers * a.captures
	q := core.Prompt{Kinds: []core.SampleKind{core.SampleISOFMR}, Label: a.label, Purpose: a.purpose, Total: want, MaxLen: MaxRecord}
	return ask.Captures(ctx, "fingerprint: capture", a.p, q, func(have int) string { return a.text(have / a.captures) },
		func(s core.Sample, views []View) ([]View, error) { return take(s, views, want) })
}

func (a asker) text(finger int) string {
	if a.fingers == 1 {
		return "Place the finger on the reader"
	}
	return []string{"Place the first finger on the reader", "Place the second finger on the reader"}[finger]
}

// take adds a record's views, at most up to want, and wipes the sample.
func take(s core.Sample, views []View, want int) ([]View, error) {
	const op = "fingerprint: capture"
	defer s.Data.Wipe()
	got, err := ParseFMR(s.Data.Bytes())
	if err != nil {
		return views, err
	}
	used := 0
	defer func() { wipeViews(got[used:]) }()
	for _, v := range got[:min(len(got), want-len(views))] {
		if len(v.Minutiae) < leastMinutiae {
			return views, core.Errorf(core.CaptureRefused, op, "too little of the finger was seen: cover the reader with the middle of the finger, clean and dry")
		}
		if slices.ContainsFunc(views, func(o View) bool { return slices.Equal(o.Minutiae, v.Minutiae) }) {
			return views, core.Errorf(core.CaptureRefused, op, "this is the previous impression again: lift the finger and place it anew")
		}
		views = append(views, v)
		used++
	}
	return views, nil
}

func wipeViews(views []View) {
	for _, v := range views {
		clear(v.Minutiae)
	}
}

// Capture implements core.Source.
func (s *Source) Capture(ctx context.Context, req core.CaptureRequest, p core.Prompter) (core.Capture, error) {
	c := s.current()
	profile, ok := profileOf(req.Format)
	if !ok {
		return nil, core.Errorf(core.Unsupported, "fingerprint: capture", "format %d, want 1 to %d", req.Format, len(profiles))
	}
	c.profile = profile
	views, err := asker{p: p, label: req.Label, purpose: core.PurposeRecover, fingers: profile.Fingers, captures: 1}.collect(ctx)
	if err != nil {
		wipeViews(views)
		return nil, err
	}
	return &capture{c: c, views: views}, nil
}

type capture struct {
	mu    sync.Mutex
	c     settings
	views []View
	done  bool
}

// margin is left between the end of a search and the answer.
const margin = 20 * time.Millisecond

// Recover implements core.Capture. It answers AnswerTime after the call: the
// enrolled secret if enough features agree, else a random one.
func (c *capture) Recover(ctx context.Context, req core.RecoverRequest) (*secret.Buffer, error) {
	const op = "fingerprint: recover"
	answer := AnswerTime(c.c.work)
	deadline := time.Now().Add(answer - margin + c.c.patience)
	end := time.NewTimer(answer)
	defer end.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.done:
		return nil, core.Errorf(core.State, op, "the samples were used or wiped: capture again")
	case req.BindKey.Len() != 32:
		return nil, core.Errorf(core.Usage, op, "a bind key of 32 bytes is needed")
	case len(req.Helper) != c.c.profile.HelperSize():
		return nil, core.Errorf(core.Invalid, op, "helper of %d bytes, want %d", len(req.Helper), c.c.profile.HelperSize())
	}
	c.done = true
	defer wipeViews(c.views)
	stop := func() bool { return ctx.Err() != nil || time.Now().After(deadline) }
	var sec *secret.Buffer
	var err error
	sm.Guard(func() { sec, err = c.open(req, stop) }) // minutiae pass over the stack by value
	if err != nil {
		return nil, err
	}
	return ask.Answer(ctx, op, end.C, sec)
}

func (c *capture) open(req core.RecoverRequest, stop func() bool) (*secret.Buffer, error) {
	sk, err := NewSketcher(c.c.profile)
	if err != nil {
		return nil, err
	}
	rng, err := generator(c.c.rand)
	if err != nil {
		return nil, err
	}
	other, err := secret.Read(c.c.rand, SecretSize)
	if err != nil {
		return nil, err
	}
	a, err := sk.Prepare(req.BindKey, req.Helper, c.views)
	if err != nil {
		other.Wipe()
		return nil, err
	}
	defer a.Wipe()
	if sec := sk.Result(a.Search(rng, 1<<c.c.work, stop)); sec != nil {
		other.Wipe()
		return sec, nil
	}
	return other, nil
}

// Result turns what a search found into the secret and wipes it; nil if nothing.
// The caller owns it.
func (s *Sketcher) Result(f fuzzy.Found) *secret.Buffer {
	if f.F == nil {
		return nil
	}
	defer clear(f.F)
	return s.secretOf(f.F)
}

// Close implements core.Capture.
func (c *capture) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	wipeViews(c.views)
	c.done = true
	return nil
}
