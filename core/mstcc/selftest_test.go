package mstcc_test

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/internal/testenv"
)

// refusesAll fails unless every service of m is refused by state, nothing is
// asked of the person and nothing of SS-CC.
func refusesAll(t *testing.T, x *terminal, m *mstcc.Module, res *mstcc.InitResult) {
	t.Helper()
	before := len(x.srv.calls)
	p := core.PrompterFunc(func(context.Context, core.Prompt) (core.Sample, error) {
		t.Error("the person was asked")
		return core.Sample{}, core.Errorf(core.Canceled, "test", "asked")
	})
	o := mstcc.OpenOptions{}
	for name, call := range map[string]func() error{
		"sign":       func() error { _, _, err := m.Sign(ctx, []byte("m"), nil, o, p); return err },
		"decrypt":    func() error { _, _, err := m.Decrypt(ctx, []byte("c"), o, p); return err },
		"verify":     func() error { _, _, err := m.Verify(ctx, res.Sign, nil, nil, [64]byte{}, o, p); return err },
		"unbind":     func() error { return m.Unbind(ctx, o, p) },
		"deregister": func() error { return m.Deregister(ctx, o, p) },
		"change":     func() error { _, err := m.Change(ctx, mstcc.ChangeRequest{}, o, p); return err },
		"revoke":     func() error { _, err := m.Revoke(ctx, mstcc.RevokeRequest{}, o, p); return err },
		"init":       func() error { _, err := m.Initialize(ctx, request(t, "pin"), p); return err },
	} {
		if err := call(); !errors.Is(err, core.State) {
			t.Errorf("%s in %s: %v", name, m.State(), err)
		}
	}
	if after := len(x.srv.calls); after != before {
		t.Errorf("SS-CC was asked: %v", x.srv.calls[before:])
	}
}

// req: G-7.2-04, G-7.3-02, G-7.10-03, K-7.1-02, TK-04
func TestOneFailedTestStopsEverything(t *testing.T) {
	x, m, res := initialised(t)
	_ = m.Close()
	cfg := x.config()
	broken := true
	ran := false
	cfg.SelfTests = []mstcc.SelfTestCase{
		{Name: "image", Run: func(context.Context) error {
			if broken {
				return core.Errorf(core.Integrity, "test", "injected")
			}
			return nil
		}},
		{Name: "after", Run: func(context.Context) error { ran = true; return nil }},
	}
	m, err := mstcc.Open(ctx, cfg)
	if !errors.Is(err, core.Integrity) || !strings.Contains(err.Error(), "image") || m == nil || m.State() != mstcc.Error {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { _ = m.Close() })
	if ran {
		t.Error("the tests went on after a failure")
	}
	refusesAll(t, x, m, res)
	list, err := m.SelfTest(ctx)
	if err == nil || m.State() != mstcc.Error {
		t.Fatalf("on demand: %v, %s", err, m.State())
	}
	if last := list[len(list)-1]; last.Name != "image" || last.OK {
		t.Errorf("the last result is %+v", last)
	}
	broken = false
	if _, err := m.SelfTest(ctx); err != nil || m.State() != mstcc.User {
		t.Fatalf("after the repair: %v, %s", err, m.State())
	}
	if _, _, err := m.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, types("right")); err != nil {
		t.Error(err)
	}
}

// In a build with the tag keposs_castfail, TestEveryName does it with each test
// of core/sm and core/oprf.
// req: K-16-05, G-7.10-03, TK-04
func TestEveryNameStopsEverything(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the go tool is not installed")
	}
	testenv.NeedLevel(t, 1)
	out, err := exec.Command("go", "test", "-tags", "keposs_castfail", "-run", "^TestEveryName$", "-v", ".").CombinedOutput()
	if err != nil || strings.Count(string(out), "--- PASS: TestEveryName/") < 17 {
		t.Errorf("%v\n%s", err, out)
	}
}
