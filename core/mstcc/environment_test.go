package mstcc_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/mstcc/probes"
)

// shaky is an environment whose one finding can be turned.
type shaky struct{ f probes.Finding }

func (s *shaky) look(_ context.Context, level uint32, _ bool) []probes.Finding {
	return []probes.Finding{s.f}
}

// A captured terminal ends a request before anything is asked: an alarm, no
// try, and the next request works.
// req: K-5.3-02b, K-6.1-06b, P-12
func TestCapturedTerminal(t *testing.T) {
	x, m, _ := initialised(t)
	_ = m.Close()
	s := &shaky{probes.Finding{ID: "P-12", Class: probes.UI, Verdict: probes.OK, Mandatory: true}}
	cfg := x.config()
	cfg.Probes = s.look
	m, err := mstcc.Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	s.f.Verdict = probes.Bad
	calls := len(x.srv.calls)
	_, _, err = m.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, core.PrompterFunc(func(context.Context, core.Prompt) (core.Sample, error) {
		t.Error("the person was asked")
		return core.Sample{}, core.Canceled
	}))
	if !errors.Is(err, core.Environment) || !strings.Contains(err.Error(), "P-12") || m.State() != mstcc.User || len(x.srv.calls) != calls {
		t.Fatalf("%v, state %s", err, m.State())
	}
	alarm := false
	for _, p := range x.steps {
		alarm = alarm || p.Flow == "alarm"
	}
	if !alarm {
		t.Error("no alarm")
	}
	s.f.Verdict = probes.OK
	if _, _, err := m.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, types("right")); err != nil {
		t.Error(err)
	}
}

// A mandatory probe that is bad when the module starts is ERROR: nothing is
// served. At level 2 one that turns bad later is as well, and what cannot be
// told counts as bad.
// req: F-24, K-12.1-L2b, K-16-04
func TestEnvironmentRefused(t *testing.T) {
	x, m, res := initialised(t)
	_ = m.Close()
	s := &shaky{probes.Finding{ID: "P-01", Name: "debugger", Class: probes.Debug, Verdict: probes.Bad, Mandatory: true}}
	cfg := x.config()
	cfg.Probes = s.look
	m, err := mstcc.Open(ctx, cfg)
	if !errors.Is(err, core.Environment) || m.State() != mstcc.Error {
		t.Fatalf("open: %v", err)
	}
	refusesAll(t, x, m, res)
	list, err := m.SelfTest(ctx)
	if last := list[len(list)-1]; err == nil || last.OK || last.Name != "P-01 debugger" {
		t.Errorf("%+v, %v", last, err)
	}
	s.f.Verdict = probes.Unknown
	if _, err := m.SelfTest(ctx); err != nil || m.State() != mstcc.User {
		t.Errorf("unknown at level 1: %v, %s", err, m.State())
	}
	st, err := m.Status(ctx, false)
	if err != nil || len(st.Probes) != 1 || st.Probes[0].ID != "P-01" {
		t.Errorf("status: %+v, %v", st.Probes, err)
	}
}
