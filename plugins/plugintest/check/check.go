// Package check tests any executable against docs/plugin-protocol.md, as a
// black box: the process, the handshake, mutual TLS, the messages and then the
// conformance kit of its kind. The cases are data; keposs plugin check and go
// test run the same ones.
package check

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/escrowtest"
	"github.com/keposs/keposs/kdf/kdftest"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/ppd/ppdtest"
)

// A Target is the program under check.
type Target struct {
	Path string
	Kind string // source, sensor, kdf, backend
	Name string // "" = whatever it says
	Args []string
	Env  []string

	// Config is what a backend is configured with; {dir} in a value is a fresh
	// folder for each store, {place} a fresh name, for a database that keeps many.
	//
	// Sources and sensors are given the values as they are.
	Config map[string]string
	Level  int // cases up to this level: 0 fast, 1 as in CI, 2 long

	// Samples is a folder of real samples for a source, in the first kind it
	// declares: a folder for each person, a file for each take. "" = none.
	Samples string
}

// A Case is one rule.
type Case struct {
	Name   string
	Rule   string // the rule of the protocol document, by its mark, or of the contract
	Advice string // what the plugin's author does when it fails
	Group  string // process, handshake, messages, control, kit
	Level  int
	Run    func(ctx context.Context, t Target) error
}

// Skip is the error of a case that does not apply; its text says why.
type Skip string

// Error returns the reason.
func (s Skip) Error() string { return string(s) }

// NoHandshake is why everything after a failed handshake is skipped.
const NoHandshake = "the program does not get as far as its handshake"

// A Result is the outcome of one case.
type Result struct {
	Case    Case
	Err     error  // nil = passed or skipped
	Skipped string // why, if it does not apply
	Note    string // what a case that passed has to tell
	Took    time.Duration
}

// Advice is what to do about a failure.
func (r Result) Advice() string {
	var m *Missing
	if errors.As(r.Err, &m) {
		return m.Fix
	}
	return r.Case.Advice
}

// Outcome is passed, failed or skipped.
func (r Result) Outcome() string {
	switch {
	case r.Err != nil:
		return "failed"
	case r.Skipped != "":
		return "skipped"
	}
	return "passed"
}

// Timeout bounds one case of the protocol; the kits bound their own.
const Timeout = 20 * time.Second

// Run runs every case that applies to t and reports each; ok is false if one
// failed. ctx ends it between cases.
func Run(ctx context.Context, t Target, report func(Result)) (ok bool) {
	ok, greets := true, true
	one := func(c Case) {
		switch {
		case c.Level > t.Level || ctx.Err() != nil:
			return
		case !greets:
			report(Result{Case: c, Skipped: NoHandshake})
			return
		}
		start := time.Now()
		err := bounded(ctx, c, t)
		r := Result{Case: c, Err: err, Took: time.Since(start)}
		if why, skipped := skip(err); skipped {
			r.Err, r.Skipped = nil, why
		}
		var told Note
		if errors.As(r.Err, &told) {
			r.Err, r.Note = nil, told.Error()
		}
		ok = ok && r.Err == nil
		greets = greets && (c.Name != "Runtime" && c.Name != "Handshake" || r.Err == nil)
		report(r)
	}
	for _, c := range Protocol() {
		one(c)
	}
	if greets && ctx.Err() == nil {
		for _, c := range kit(ctx, t) {
			one(c)
		}
	}
	return ok && ctx.Err() == nil
}

func bounded(ctx context.Context, c Case, t Target) error {
	if c.Group != "kit" {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, Timeout)
		defer cancel()
	}
	return c.Run(ctx, t)
}

func skip(err error) (string, bool) {
	var own Skip
	var k kdftest.Skip
	var e escrowtest.Skip
	switch {
	case errors.As(err, &own):
		return own.Error(), true
	case errors.As(err, &k):
		return k.Error(), true
	case errors.As(err, &e):
		return e.Error(), true
	}
	return "", false
}

// kit is the conformance kit of t's kind over supervised processes.
func kit(ctx context.Context, t Target) []Case {
	switch t.Kind {
	case plugins.KindSource:
		return sourceKit(ctx, t)
	case plugins.KindSensor:
		return sensorKit(t)
	case plugins.KindKDF:
		return kdfKit(ctx, t)
	case plugins.KindBackend:
		return backendKit(t)
	}
	return nil
}

// refusal is the one case of a kit that cannot begin.
func refusal(rule string, err error) []Case {
	return []Case{{Name: "Begin", Group: "kit", Rule: rule, Run: func(context.Context, Target) error { return err }}}
}

func sourceKit(ctx context.Context, t Target) []Case {
	open := func(ctx context.Context) (core.Source, func() error, error) {
		sup, e, err := supervised(t)
		if err != nil {
			return nil, nil, err
		}
		s, err := sup.Source(ctx, e)
		if err == nil {
			err = sup.Warm(ctx, s)
		}
		if err == nil && t.Config != nil {
			err = s.Configure(ctx, core.Config{Values: t.Config})
		}
		if err != nil {
			return nil, nil, errors.Join(err, sup.Close())
		}
		return s, sup.Close, nil
	}
	s, end, err := open(ctx)
	if err != nil {
		return refusal("The source starts.", err)
	}
	info, err := s.Describe(ctx)
	if err = errors.Join(err, end()); err != nil {
		return refusal("The source describes itself.", err)
	}
	h := ppdtest.Harness{Transport: &ppdtest.Transport{Name: "process", Open: open}}
	h.Person, h.Poor = person(info.Samples)
	var more []Case
	if t.Samples != "" && len(info.Samples) > 0 {
		people, err := readSamples(t.Samples, info.Samples[0])
		if err != nil {
			return refusal("The samples can be read.", err)
		}
		if h.Person == nil {
			h.Person, h.Takes, h.TakesOf = fromSamples(people), 1, 3
		}
		more = append(more, measured(t, info, open, people))
	}
	if h.Person == nil {
		return refusal("The kit answers the source's prompts.", Skip(fmt.Sprintf("there are no made-up samples of the kinds %v: give some with --samples", info.Samples)))
	}
	var out []Case
	for _, c := range ppdtest.Cases() {
		out = append(out, Case{Name: c.Name, Rule: c.Rule, Advice: c.Advice, Group: "kit", Level: c.Level,
			Run: func(ctx context.Context, _ Target) error {
				ctx, cancel := context.WithTimeout(ctx, ppdtest.Timeout)
				defer cancel()
				return c.Run(ctx, h)
			}})
	}
	return append(out, more...)
}

func kdfKit(ctx context.Context, t Target) []Case {
	sup, e, err := supervised(t)
	if err != nil {
		return refusal("The KDF starts.", err)
	}
	k, err := sup.KDF(ctx, e)
	var info core.KDFInfo
	if err == nil {
		info, err = k.Describe(ctx)
	}
	if err != nil {
		return refusal("The KDF describes itself.", errors.Join(err, sup.Close()))
	}
	var least []core.Param
	for _, p := range info.Params {
		if _, used := info.Default.Get(p.Key); used {
			least = append(least, core.Param{Key: p.Key, N: p.Min})
		}
	}
	cheap := core.NewParams(info.Name, least...)
	if k.Validate(cheap, core.Limits{}) != nil {
		cheap = info.Default
	}
	h := kdftest.Harness{Name: info.Name, New: func() (core.KDF, error) { return k, nil }, Cheap: cheap}
	if p, err := k.Calibrate(ctx, 200*time.Millisecond, core.Limits{}); err == nil && !p.Equal(cheap) {
		h.Costly = p
	}
	var out []Case
	for _, c := range kdftest.Cases() {
		out = append(out, Case{Name: c.Name, Rule: c.Rule, Advice: c.Advice, Group: "kit", Level: c.Level,
			Run: func(ctx context.Context, _ Target) error { return kdftest.RunCase(ctx, h, c) }})
	}
	return append(out, Case{Name: "Ends", Rule: "P6 The program ends when it is told to.", Group: "kit",
		Advice: "Return from main when the server has stopped.", Run: func(context.Context, Target) error { return sup.Close() }})
}
