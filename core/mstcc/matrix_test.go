package mstcc_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/internal/services"
)

// in returns a fresh module in a state, reached by its own services.
func in(t *testing.T, s mstcc.State) (*terminal, *mstcc.Module) {
	t.Helper()
	x := newTerminal(t)
	x.prof.Limit = 1
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if s == mstcc.Factory {
		return x, x.open()
	}
	fail := false
	cfg := x.config()
	cfg.SelfTests = []mstcc.SelfTestCase{{Name: "planted", Run: func(context.Context) error {
		if fail {
			return errors.New("planted")
		}
		return nil
	}}}
	m, err := mstcc.Open(ctx, cfg)
	must(err)
	t.Cleanup(func() { _ = m.Close() })
	_, err = m.Initialize(ctx, request(t, "pin | pin:work"), types("right"))
	must(err)
	switch s {
	case mstcc.Init:
		must(m.Unbind(ctx, mstcc.OpenOptions{}, types("right")))
	case mstcc.Locked:
		_, _, err = m.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, types("wrong"))
		if !errors.Is(err, core.Auth) {
			t.Fatal(err)
		}
	case mstcc.Error:
		fail = true
		if _, err := m.SelfTest(ctx); !errors.Is(err, core.Integrity) {
			t.Fatal(err)
		}
		fail = false
	case mstcc.EOL:
		must(m.Deregister(ctx, mstcc.OpenOptions{}, types("right")))
	case mstcc.Off:
		must(m.Close())
	}
	if m.State() != s {
		t.Fatalf("in %s, want %s", m.State(), s)
	}
	return x, m
}

// calls are the services of the table, by name, as an app calls them.
var calls = map[string]func(*testing.T, *mstcc.Module, core.Prompter) error{
	"initialise": func(t *testing.T, m *mstcc.Module, p core.Prompter) error {
		_, err := m.Initialize(ctx, request(t, "pin"), p)
		return err
	},
	"sign": func(_ *testing.T, m *mstcc.Module, p core.Prompter) error {
		_, _, err := m.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, p)
		return err
	},
	"verify": func(t *testing.T, m *mstcc.Module, p core.Prompter) error {
		k, err := sm.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = m.Verify(ctx, k.Public(), []byte("m"), nil, [64]byte{1}, mstcc.OpenOptions{}, p)
		return err
	},
	"encrypt": func(_ *testing.T, m *mstcc.Module, _ core.Prompter) error {
		_, err := m.Encrypt(func(io.Reader) error { return nil })
		return err
	},
	"decrypt": func(_ *testing.T, m *mstcc.Module, p core.Prompter) error {
		_, _, err := m.Decrypt(ctx, make([]byte, 120), mstcc.OpenOptions{}, p)
		if errors.Is(err, core.Invalid) || errors.Is(err, core.Corrupt) {
			return nil // the service ran: what it was given is no ciphertext
		}
		return err
	},
	"change factors": func(_ *testing.T, m *mstcc.Module, p core.Prompter) error {
		dearer := core.NewParams("cheap-test", core.Param{Key: "i", N: 4096})
		_, err := m.Change(ctx, mstcc.ChangeRequest{KDF: &dearer}, mstcc.OpenOptions{}, p)
		return err
	},
	"add recovery code": func(t *testing.T, m *mstcc.Module, p core.Prompter) error {
		code, err := mf.NewRecoveryCode(sm.Rand())
		if err != nil {
			t.Fatal(err)
		}
		_, err = m.AddRecovery(ctx, mstcc.NewSheet{Code: code, Endpoint: "host:1", Show: func(context.Context, *mf.Sheet) error { return nil }}, mstcc.OpenOptions{}, p)
		return err
	},
	"revoke": func(_ *testing.T, m *mstcc.Module, p core.Prompter) error {
		_, err := m.Revoke(ctx, mstcc.RevokeRequest{}, mstcc.OpenOptions{}, p)
		return err
	},
	"unbind": func(_ *testing.T, m *mstcc.Module, p core.Prompter) error {
		return m.Unbind(ctx, mstcc.OpenOptions{}, p)
	},
	"deregister": func(_ *testing.T, m *mstcc.Module, p core.Prompter) error {
		return m.Deregister(ctx, mstcc.OpenOptions{}, p)
	},
	"show status": func(_ *testing.T, m *mstcc.Module, _ core.Prompter) error {
		_, err := m.Status(ctx, false)
		return err
	},
	"self-test": func(_ *testing.T, m *mstcc.Module, _ core.Prompter) error {
		_, err := m.SelfTest(ctx)
		return err
	},
	"zeroise": func(_ *testing.T, m *mstcc.Module, _ core.Prompter) error { return m.Zeroise(ctx) },
}

// Every service in every state for who enters PPD and for who does not: it runs
// or is refused with the code the table names, which docs/roles.md prints.
// req: K-10.1-01, K-10.1-03, K-10.2-02, K-10.2-03, K-10.2-04, K-10.2-05, K-10.2-06, K-10.2-07, K-10.3-02, G-7.4-02, G-7.3-02, TK-06
func TestServiceMatrix(t *testing.T) {
	t.Parallel()
	for _, s := range services.TerminalStates() {
		_, shared := in(t, mstcc.State(s)) // for what the state refuses: it changes nothing
		for _, sv := range services.Terminal() {
			call := calls[sv.Name]
			if call == nil {
				t.Fatalf("no call for %s", sv.Name)
			}
			for _, role := range []services.Role{services.User, services.NoRole} {
				want := sv.Cell(s, role)
				m := shared
				if sv.Cell(s, sv.By) == services.Runs { // also by nobody: it begins
					_, m = in(t, mstcc.State(s))
				}
				p := types("right")
				if role == services.NoRole {
					p = core.PrompterFunc(func(context.Context, core.Prompt) (core.Sample, error) {
						return core.Sample{}, core.Errorf(core.Canceled, "test", "no PPD to enter")
					})
				}
				got := services.Runs
				if err := call(t, m, p); err != nil {
					got = core.CodeOf(err).String()
				}
				if got != want {
					t.Errorf("%s in %s by %s: %s, the table says %s", sv.Name, s, role, got, want)
				}
				if shared.State() != mstcc.State(s) {
					t.Fatalf("%s in %s by %s left %s", sv.Name, s, role, shared.State())
				}
			}
		}
	}
	if len(calls) != len(services.Terminal()) {
		t.Errorf("%d calls, %d services in the table", len(calls), len(services.Terminal()))
	}
}

// While PPD is entered, a service runs or tests run, any other call waits until
// that has ended: none is served inside CSP-ENTRY, APPROVED or SELFTEST.
// req: G-7.3-03, G-7.3-02
func TestCallsWaitForTheServiceUnderWay(t *testing.T) {
	x := newTerminal(t)
	var m *mstcc.Module
	var during []mstcc.State
	answered := make(chan error, 8)
	busy := func() {
		during = append(during, m.State())
		go func() {
			_, err := m.Encrypt(func(io.Reader) error { return nil })
			answered <- err
		}()
		time.Sleep(20 * time.Millisecond)
		select {
		case err := <-answered:
			t.Errorf("a call was answered in %s: %v", during[len(during)-1], err)
		default:
		}
	}
	ready := false
	cfg := x.config()
	cfg.SelfTests = []mstcc.SelfTestCase{{Name: "slow", Run: func(context.Context) error {
		if ready {
			busy()
		}
		return nil
	}}}
	cfg.Progress = func(p mstcc.Progress) {
		if ready && p.Flow == "7.2" && p.Step == 6 {
			busy()
		}
	}
	m, err := mstcc.Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	if _, err := m.Initialize(ctx, request(t, "pin"), types("right")); err != nil {
		t.Fatal(err)
	}
	ready = true
	entry := core.PrompterFunc(func(ctx context.Context, p core.Prompt) (core.Sample, error) {
		busy()
		return types("right").Ask(ctx, p)
	})
	if _, _, err := m.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, entry); err != nil {
		t.Fatal(err)
	}
	if _, err := m.SelfTest(ctx); err != nil {
		t.Fatal(err)
	}
	for range during {
		if err := <-answered; err != nil {
			t.Errorf("a call that waited: %v", err)
		}
	}
	want := []mstcc.State{mstcc.CSPEntry, mstcc.Approved, mstcc.SelfTest}
	if len(during) != len(want) {
		t.Fatalf("looked in %v, want %v", during, want)
	}
	for i, s := range want {
		if during[i] != s {
			t.Errorf("looked in %v, want %v", during, want)
		}
	}
}
