package mstcc

import (
	"context"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc/probes"
)

// environment runs the probes; the error names the first that refuses.
// req: K-7.1-03a, K-16-04, K-12.1-L2b
func (m *Module) environment(ctx context.Context, quick bool) ([]probes.Finding, error) {
	if m.cfg.Probes == nil {
		return nil, nil
	}
	list := m.cfg.Probes(ctx, m.profile.Level, quick)
	return list, probes.Check(list, m.profile.Level)
}

// tests is the whole self-test: the module's own and the terminal's integrity.
func (m *Module) tests(ctx context.Context) ([]TestResult, error) {
	out, err := m.runSelfTests(ctx)
	if err != nil {
		return out, err
	}
	list, err := m.environment(ctx, false)
	for _, f := range list {
		r := TestResult{Name: f.ID + " " + f.Name, OK: !f.Fails(m.profile.Level >= 2)}
		if f.Verdict != probes.OK {
			r.Note = string(f.Verdict)
			if !f.Mandatory {
				r.Note += ", advisory"
			}
		}
		if !r.OK {
			r.Err = "the environment is refused"
		}
		out = append(out, r)
	}
	return out, err
}

// surroundings is looked at before a person types anything. At level 2 any
// probe that turned bad is ERROR (F-24); at level 1 a captured terminal ends
// the request, with an alarm and no try.
// req: K-5.3-02b, K-6.1-06b
func (m *Module) surroundings(ctx context.Context) error {
	list, err := m.environment(ctx, true)
	if err != nil && m.profile.Level >= 2 && m.machine.State() == User {
		m.emit(Progress{Flow: "alarm", Text: err.Error()})
		_ = m.machine.Fire(EvEnvChange, GuardLevel2)
		return err
	}
	for _, f := range list {
		if f.Class == probes.UI && f.Fails(false) {
			m.emit(Progress{Flow: "alarm", Text: f.ID + ": the screen or terminal is not yours alone; nothing was asked"})
			return core.Errorf(core.Environment, "mstcc: entry", "%s (%s) says %s: bring the program to the foreground of a terminal of your own", f.ID, f.Name, f.Verdict)
		}
	}
	return nil
}
