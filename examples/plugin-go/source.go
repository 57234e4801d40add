package main

import (
	"context"
	"sync"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
)

// What a policy names and which derivation of the secret is served.
const (
	name    = "keystroke"
	version = "1"
	format  = 1
	takes   = 4                   // entries of an enrolment
	tries   = 16                  // unusable entries before a collection gives up
	phrase  = "all that glitters" // 17 keys: 17 holds and 16 gaps
)

// strength is measured by TestStrength, which fails when it is claimed too high.
var strength = core.Strength{PerTry: 4000, Evidence: "measured on 40 made-up typists, 1560 random tries, upper 95 % bound; says nothing of real ones"}

// A Source tells people by their rhythm. It keeps nothing between collections
// and is safe for concurrent use.
type Source struct{ sketch *sketcher }

// New returns the source.
func New() *Source { return &Source{newSketcher()} }

// Describe implements core.Source.
func (*Source) Describe(context.Context) (core.SourceInfo, error) {
	return core.SourceInfo{
		Name: name, Version: version, Kind: core.KindBiometric,
		Format: format, Formats: []uint32{format},
		Samples:         []core.SampleKind{core.SampleBytes},
		EnrollCaptures:  core.Range{Min: takes, Max: takes},
		RecoverCaptures: core.Range{Min: 1, Max: 1},
		Strength:        strength,
		HelperSize:      helperSize,
	}, nil
}

// Configure refuses every setting: there is none.
func (*Source) Configure(_ context.Context, c core.Config) error {
	if len(c.Values)+len(c.Secrets) > 0 {
		return core.Errorf(core.Invalid, name+": configure", "this source has no settings")
	}
	return nil
}

// Enroll averages four entries and hides a random codeword under their bits.
func (s *Source) Enroll(ctx context.Context, req core.EnrollRequest, p core.Prompter) (core.Enrollment, error) {
	const op = name + ": enroll"
	if len(req.Params) > 0 {
		return core.Enrollment{}, core.Errorf(core.Invalid, op, "this source has no parameters")
	}
	if err := served(op, req.Format); err != nil {
		return core.Enrollment{}, err
	}
	var mean rhythm
	defer clear(mean[:])
	q := prompt(req.Label, core.PurposeEnroll, takes)
	for i := range takes {
		q.Index = i + 1
		r, err := take(ctx, op, p, q)
		if err != nil {
			return core.Enrollment{}, err
		}
		for j, v := range r {
			mean[j] += v / takes
		}
		clear(r[:])
	}
	helper, sec, err := s.sketch.enrol(req.BindKey, &mean)
	if err != nil {
		return core.Enrollment{}, err
	}
	return core.Enrollment{Secret: sec, Helper: helper, Format: format, Strength: strength, Quality: core.Quality{Score: 100}}, nil
}

// Capture takes one entry and keeps it until Recover or Close.
func (s *Source) Capture(ctx context.Context, req core.CaptureRequest, p core.Prompter) (core.Capture, error) {
	const op = name + ": capture"
	if err := served(op, req.Format); err != nil {
		return nil, err
	}
	r, err := take(ctx, op, p, prompt(req.Label, core.PurposeRecover, 1))
	if err != nil {
		return nil, err
	}
	return &capture{sketch: s.sketch, took: r}, nil
}

type capture struct {
	sketch *sketcher
	mu     sync.Mutex
	took   *rhythm
}

// Recover decodes whatever was typed: another rhythm gives another secret.
func (c *capture) Recover(ctx context.Context, req core.RecoverRequest) (*secret.Buffer, error) {
	const op = name + ": recover"
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.took == nil:
		return nil, core.Errorf(core.State, op, "this capture was already used; capture again")
	case ctx.Err() != nil:
		return nil, core.Errorf(core.Canceled, op, "%w", ctx.Err())
	}
	r := c.took
	c.took = nil
	defer clear(r[:])
	return c.sketch.recover(req.BindKey, r, req.Helper)
}

// Close wipes the entry.
func (c *capture) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.took != nil {
		clear(c.took[:])
		c.took = nil
	}
	return nil
}

func served(op string, f uint32) error {
	if f != 0 && f != format {
		return core.Errorf(core.Unsupported, op, "format %d, this source serves %d", f, format)
	}
	return nil
}

func prompt(label string, why core.Purpose, total int) core.Prompt {
	return core.Prompt{Kinds: []core.SampleKind{core.SampleBytes}, Label: label, Purpose: why, Index: 1, Total: total, Text: "type: " + phrase, MaxLen: longest}
}

// take asks until an entry can be used. An unusable one is no try.
func take(ctx context.Context, op string, p core.Prompter, q core.Prompt) (*rhythm, error) {
	for range tries {
		b, err := ask(ctx, op, p, q)
		if err != nil {
			return nil, err
		}
		r, flaw := parse(b.Bytes())
		b.Wipe()
		if flaw == "" {
			return r, nil
		}
		q.Refusal = flaw
	}
	return nil, core.Errorf(core.CaptureRefused, op, "no usable entry in %d", tries)
}

// ask puts one question; ctx ends the wait also when p does not notice. The
// caller owns the answer.
func ask(ctx context.Context, op string, p core.Prompter, q core.Prompt) (*secret.Buffer, error) {
	type answer struct {
		s   core.Sample
		err error
	}
	got, left := make(chan answer), make(chan struct{})
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
		return nil, core.Errorf(core.Canceled, op, "%w", ctx.Err())
	case a := <-got:
		if a.err == nil && (a.s.Kind != core.SampleBytes || a.s.Data == nil) {
			a.err = core.Errorf(core.Invalid, op, "the answer is of another kind than was asked for")
		}
		if a.err != nil {
			a.s.Data.Wipe()
			return nil, a.err
		}
		return a.s.Data, nil
	}
}
