package mstcc_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/mstcc/probes"
)

// One failed test of a start leaves ERROR with its name: nothing is asked,
// nothing is served, status is still told. Once the test passes, the tests on
// demand lead back to USER.
// req: K-16-01, K-16-02, K-16-00, K-7.1-02, G-7.10-01, G-7.10-03, G-7.10-08, G-7.2-04, G-7.3-02, K-17.3-02, K-17.3-08, F-02, F-07, F-09, F-47
func TestFailedSelfTestServesNothing(t *testing.T) {
	x, m, _ := initialised(t)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	fail, ran := true, 0
	cfg := x.config()
	cfg.SelfTests = []mstcc.SelfTestCase{
		{Name: "first", Run: func(context.Context) error { ran++; return nil }},
		{Name: "the-planted-one", Run: func(context.Context) error {
			if fail {
				return errors.New("broken")
			}
			return nil
		}},
		{Name: "last", Run: func(context.Context) error { ran++; return nil }},
	}
	asked := 0
	nosy := core.PrompterFunc(func(ctx context.Context, p core.Prompt) (core.Sample, error) {
		asked++
		return types("right").Ask(ctx, p)
	})
	calls := len(x.srv.calls)
	m, err := mstcc.Open(ctx, cfg)
	if !errors.Is(err, core.Integrity) || !strings.Contains(err.Error(), "the-planted-one") || m.State() != mstcc.Error || ran != 1 {
		t.Fatalf("open: %v, state %s, %d tests after it", err, m.State(), ran-1)
	}
	t.Cleanup(func() { _ = m.Close() })
	sig, _, err := m.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, nosy)
	if !errors.Is(err, core.State) || sig != [64]byte{} || asked != 0 || len(x.srv.calls) != calls {
		t.Errorf("sign in ERROR: %v, %d prompts, SS-CC was asked %v", err, asked, x.srv.calls[calls:])
	}
	if st, err := m.Status(ctx, false); err != nil || st.State != mstcc.Error {
		t.Errorf("status in ERROR: %+v, %v", st, err)
	}
	fail = false
	out, err := m.SelfTest(ctx)
	if err != nil || m.State() != mstcc.User || len(out) < 14 {
		t.Fatalf("self-test once it passes: %d tests, %v, %s", len(out), err, m.State())
	}
	if _, _, err := m.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, nosy); err != nil {
		t.Errorf("sign afterwards: %v", err)
	}
}

// Initialisation tests first, then looks at the environment, then connects: what
// fails ends it before a key is made, a connection opened or PPD asked for.
// req: K-7.1-02, K-7.1-03a, K-7.1-03b, K-16-04, K-5.3-05, K-15.5-03b, K-16-01, F-03, F-06, F-13, G-7.10-02
func TestInitialiseStopsBeforeAKeyIsMade(t *testing.T) {
	for _, c := range []struct {
		name  string
		edit  func(x *terminal, cfg *mstcc.Config, dialled *int)
		want  core.Code
		state mstcc.State
		dials int
	}{
		{"self-test", func(_ *terminal, cfg *mstcc.Config, _ *int) {
			cfg.SelfTests = []mstcc.SelfTestCase{{Name: "planted", Run: func(context.Context) error { return errors.New("broken") }}}
		}, core.Integrity, mstcc.Error, 0},
		{"probe", func(_ *terminal, cfg *mstcc.Config, _ *int) {
			cfg.Probes = func(context.Context, uint32, bool) []probes.Finding {
				return []probes.Finding{{ID: "P-04", Class: probes.Root, Verdict: probes.Bad, Mandatory: true}}
			}
		}, core.Environment, mstcc.Init, 0},
		{"no connection", func(_ *terminal, cfg *mstcc.Config, n *int) {
			cfg.Dial = func(context.Context) (mstcc.Escrow, error) {
				*n++
				return nil, core.Errorf(core.Unavailable, "dial", "nobody there")
			}
		}, core.Unavailable, mstcc.Init, 1},
		{"the record is not taken", func(x *terminal, _ *mstcc.Config, _ *int) {
			down := core.Errorf(core.Unavailable, "test", "down")
			for range 10 {
				x.srv.fail["prepare"] = append(x.srv.fail["prepare"], down)
			}
		}, core.Unavailable, mstcc.Init, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			x := newTerminal(t)
			dialled, asked := 0, 0
			cfg := x.config()
			dial := cfg.Dial
			cfg.Dial = func(ctx context.Context) (mstcc.Escrow, error) { dialled++; return dial(ctx) }
			c.edit(x, &cfg, &dialled)
			m, err := mstcc.Open(ctx, cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = m.Close() })
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			_, err = m.Initialize(ctx, request(t, "pin"), core.PrompterFunc(func(ctx context.Context, p core.Prompt) (core.Sample, error) {
				asked++
				return types("right").Ask(ctx, p)
			}))
			if core.CodeOf(err) != c.want || m.State() != c.state || dialled != c.dials {
				t.Errorf("%v, state %s, %d dials; want %s, %s, %d", err, m.State(), dialled, c.want, c.state, c.dials)
			}
			if c.name != "the record is not taken" && (asked != 0 || len(x.srv.calls) != 0) {
				t.Errorf("%d prompts, SS-CC was asked %v", asked, x.srv.calls)
			}
			if _, bound := m.UserID(); bound {
				t.Error("a user is bound")
			}
			steps := 0
			for _, p := range x.steps {
				if p.Flow == "7.1" && p.Step == 4 {
					steps++
				}
			}
			if steps != 0 && c.name != "the record is not taken" {
				t.Error("key pairs were made")
			}
		})
	}
}

// The module does nothing by itself: idle, it asks neither SS-CC nor a person
// and its state stays.
// req: K-10.2.2-01, X-20
func TestIdleModuleDoesNothing(t *testing.T) {
	t.Parallel()
	x, m, _ := initialised(t)
	if _, _, err := m.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, types("right")); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Status(ctx, false); err != nil { // waits for the Confirm under way
		t.Fatal(err)
	}
	x.srv.mu.Lock()
	calls, captures := len(x.srv.calls), x.pin.captures
	x.srv.mu.Unlock()
	x.mu.Lock()
	steps := len(x.steps)
	x.mu.Unlock()
	time.Sleep(300 * time.Millisecond)
	x.srv.mu.Lock()
	defer x.srv.mu.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.srv.calls) != calls || x.pin.captures != captures || len(x.steps) != steps || m.State() != mstcc.User {
		t.Errorf("idle: SS-CC was asked %v, %d captures, steps %v, state %s", x.srv.calls[calls:], x.pin.captures-captures, x.steps[steps:], m.State())
	}
}

// Zeroise ends the module's life from every state that held something, without
// PPD and without SS-CC, and leaves neither record nor secret.
// req: F-48, G-7.9-10, G-7.9-11, K-17.7-00
func TestZeroiseEndsLife(t *testing.T) {
	t.Parallel()
	for _, s := range []mstcc.State{mstcc.Init, mstcc.User, mstcc.Locked, mstcc.Error} {
		x, m := in(t, s)
		asked := len(x.srv.calls)
		for range 2 {
			if err := m.Zeroise(ctx); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
		if m.State() != mstcc.EOL || len(x.srv.calls) != asked {
			t.Errorf("from %s: now %s, SS-CC was asked %v", s, m.State(), x.srv.calls[asked:])
		}
		for _, dir := range []string{x.dir, x.dir + "-keys"} {
			if left, _ := os.ReadDir(dir); len(left) != 0 {
				t.Errorf("from %s: %v is left", s, left)
			}
		}
		if _, _, err := m.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, types("right")); !errors.Is(err, core.State) {
			t.Errorf("sign after %s: %v", s, err)
		}
	}
}
