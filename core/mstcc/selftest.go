package mstcc

import (
	"context"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/oprf"
	"github.com/keposs/keposs/core/sm"
)

// TestResult is one line of a self-test.
type TestResult struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Err  string `json:"error,omitempty"`
	Note string `json:"note,omitempty"` // of a probe that is not plainly ok
}

// runSelfTests runs the tests of core/sm and core/oprf, then the injected ones,
// and stops at the first failure: one failed test blocks everything (G-7.2-04).
// req: K-16-01, K-16-02, K-16-03, K-16-05, G-7.10-01, G-7.10-03, G-7.10-04
func (m *Module) runSelfTests(ctx context.Context) ([]TestResult, error) {
	var out []TestResult
	run := func(name string, f func() error) error {
		err := f()
		r := TestResult{Name: name, OK: err == nil}
		if err != nil {
			r.Err = err.Error()
			err = core.Errorf(core.Integrity, "mstcc: self-test", "%s failed: %w", name, err)
		}
		out = append(out, r)
		return err
	}
	for _, k := range append(sm.SelfTests(), oprf.SelfTest()) {
		if err := run(k.Name, k.Run); err != nil {
			return out, err
		}
	}
	for _, c := range m.cfg.SelfTests {
		if err := run(c.Name, func() error { return c.Run(ctx) }); err != nil {
			return out, err
		}
	}
	return out, nil
}

// SelfTest runs the tests on demand (G-7.5-03, F-20). A failure leaves the
// module in ERROR; Reset leads back through SELFTEST.
func (m *Module) SelfTest(ctx context.Context) ([]TestResult, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.faulted()
	switch m.machine.State() {
	case User:
		if err := m.machine.Fire(EvSelfTestRequest, GuardIdle); err != nil {
			return nil, err
		}
	case Error:
		if err := m.machine.Fire(EvReset, GuardNone); err != nil {
			return nil, err
		}
	case Factory, Init, Locked:
		// Nothing is served here; the tests may run and report without a change of state.
		out, err := m.tests(ctx)
		if err != nil && m.machine.State() != Factory {
			_ = m.machine.Fire(EvHardFault, GuardNone)
		}
		return out, err
	default:
		return nil, core.Errorf(core.State, "mstcc: self-test", "not allowed in state %s", m.machine.State())
	}
	out, err := m.tests(ctx)
	if err != nil {
		_ = m.machine.Fire(EvFail, GuardNone)
		return out, err
	}
	return out, m.machine.Fire(EvPass, m.bindingGuard())
}
