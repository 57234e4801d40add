package mstcc_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
)

// At level 2 a policy that a guess passes too easily is refused before anything
// is stored, with the arithmetic; at level 1 it is taken.
// req: G-7.4-04, G-7.4-05, G-7.4-06, K-3-02
func TestFloorsOfLevel2(t *testing.T) {
	for _, c := range []struct {
		policy string
		level  uint32
		says   []string // nothing: accepted
	}{
		{"pin", 1, nil},
		{"pin", 2, []string{"2^-13.00", "1/1 000 000"}},
		{"face & fingerprint", 2, []string{"no knowledge factor"}},
		{"pin & word", 2, nil},
		{"pin | (word & other)", 2, []string{"2^-13.00"}},
	} {
		x := newTerminal(t)
		x.prof.Level = c.level
		m := x.open()
		_, err := m.Initialize(ctx, request(t, c.policy), types("right"))
		if c.says == nil {
			if err != nil {
				t.Errorf("%s at level %d: %v", c.policy, c.level, err)
			}
			continue
		}
		if !errors.Is(err, core.Policy) || m.State() != mstcc.Init {
			t.Errorf("%s at level %d: %v, state %s", c.policy, c.level, err, m.State())
			continue
		}
		for _, s := range c.says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %q lacks %q", c.policy, err, s)
			}
		}
		if n := x.srv.asked("prepare") + x.srv.asked("commit"); n != 0 {
			t.Errorf("%s: SS-CC was given a record", c.policy)
		}
	}
}

// A change cannot lead below the floor either.
func TestChangeKeepsFloor(t *testing.T) {
	x := newTerminal(t)
	x.prof.Level, x.prof.Mode = 2, protocol.ModeHardened
	m := x.open()
	if _, err := m.Initialize(ctx, request(t, "(pin & word) | (pin & other)"), types("right")); err != nil {
		t.Fatal(err)
	}
	for text, ok := range map[string]bool{"pin & word & other": true, "pin | (word & other)": false} {
		tree, err := policy.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		_, err = m.Change(ctx, mstcc.ChangeRequest{Tree: tree}, mstcc.OpenOptions{}, types("right"))
		switch {
		case ok && err != nil && !strings.Contains(err.Error(), "revoke"):
			t.Errorf("%s: %v", text, err)
		case !ok && (!errors.Is(err, core.Policy) || !strings.Contains(err.Error(), "2^-13.00")):
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A KDF without an iteration count is refused by what it lacks, before anything
// is asked; a KDF that does not start by why it does not.
func TestSlowKDFIsNamed(t *testing.T) {
	x := newTerminal(t)
	m := x.open()
	r := request(t, "pin")
	r.KDF = core.NewParams("cheap-test", core.Param{Key: "t", N: 9})
	if _, err := m.Initialize(ctx, r, types("right")); !errors.Is(err, core.Policy) || !strings.Contains(err.Error(), "no iteration count") {
		t.Errorf("without a count: %v", err)
	}
	if _, err := m.Initialize(ctx, request(t, "pin"), types("right")); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	cfg := x.config()
	cfg.KDF = func(context.Context, string) (core.KDF, bool, error) {
		return nil, false, core.Errorf(core.Timeout, "plugin cheap-test: start", "no answer in time")
	}
	m, err := mstcc.Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, _, err := m.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, types("right")); !errors.Is(err, core.Timeout) || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("no start: %v", err)
	}
}
