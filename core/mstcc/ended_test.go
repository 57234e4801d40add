package mstcc_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/protocol"
)

// fired tells whether a row of the table was fired.
func (x *terminal) fired(row string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.ContainsFunc(x.steps, func(p mstcc.Progress) bool { return p.Flow == "state" && strings.HasPrefix(p.Text, row+" ") })
}

// left lists what stands in the state folder and the key store.
func (x *terminal) left() (names []string) {
	x.t.Helper()
	for _, dir := range []string{x.dir, x.dir + "-keys"} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			x.t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
	}
	return names
}

func sign(m *mstcc.Module, p core.Prompter) error {
	_, _, err := m.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, p)
	return err
}

// whenAsked runs do while the person is asked, and answers.
func whenAsked(do func()) core.Prompter {
	return core.PrompterFunc(func(ctx context.Context, p core.Prompt) (core.Sample, error) {
		do()
		return types("right").Ask(ctx, p)
	})
}

// A revoked app ends the terminal's life at its next contact, from every state
// and at every point of a service: secrets and records are gone, the row of the
// catalog was fired, and no service runs any more.
// req: K-17.1-10, F-05, F-16, F-23, F-34, F-39, F-44
func TestRevokedAppEndsLife(t *testing.T) {
	for _, c := range []struct {
		row, when string
		from      mstcc.State
		contact   func(x *terminal, m *mstcc.Module) error
	}{
		{"F-05", "status", mstcc.Factory, func(x *terminal, m *mstcc.Module) error {
			x.srv.revoke()
			st, err := m.Status(ctx, true)
			return errors.Join(err, st.ServerErr)
		}},
		{"F-16", "status", mstcc.Init, func(x *terminal, m *mstcc.Module) error {
			x.srv.revoke()
			st, err := m.Status(ctx, true)
			return errors.Join(err, st.ServerErr)
		}},
		{"F-16", "initialisation", mstcc.Factory, func(x *terminal, m *mstcc.Module) error {
			_, err := m.Initialize(ctx, request(x.t, "pin"), whenAsked(x.srv.revoke))
			return err
		}},
		{"F-23", "status", mstcc.User, func(x *terminal, m *mstcc.Module) error {
			x.srv.revoke()
			st, err := m.Status(ctx, true)
			return errors.Join(err, st.ServerErr)
		}},
		{"F-23", "a plan", mstcc.User, func(x *terminal, m *mstcc.Module) error {
			x.srv.revoke()
			_, err := m.PlanChange(ctx, mstcc.ChangeRequest{}, mstcc.OpenOptions{})
			return err
		}},
		{"F-34", "before the entry", mstcc.User, func(x *terminal, m *mstcc.Module) error {
			x.srv.revoke()
			return sign(m, types("right"))
		}},
		{"F-34", "during the entry", mstcc.User, func(x *terminal, m *mstcc.Module) error {
			return sign(m, whenAsked(x.srv.revoke))
		}},
		{"F-39", "before a change is stored", mstcc.User, func(x *terminal, m *mstcc.Module) error {
			x.hook = func(at string) {
				if at == "life.sealed" {
					x.srv.revoke()
				}
			}
			_, err := m.Change(ctx, mstcc.ChangeRequest{}, mstcc.OpenOptions{}, types("right"))
			return err
		}},
		{"F-44", "the next request", mstcc.Locked, func(x *terminal, m *mstcc.Module) error {
			x.srv.revoke()
			return sign(m, types("right"))
		}},
	} {
		t.Run(c.row+" "+c.when, func(t *testing.T) {
			x, m := in(t, c.from)
			err := c.contact(x, m)
			if !errors.Is(err, core.Refused) || !strings.Contains(err.Error(), "revoked") {
				t.Errorf("%v, want refused with the reason", err)
			}
			if m.State() != mstcc.EOL || !x.fired(c.row) {
				t.Errorf("in %s, %s fired: %v", m.State(), c.row, x.fired(c.row))
			}
			if names := x.left(); len(names) > 0 {
				t.Errorf("left: %v", names)
			}
			if err := sign(m, types("right")); !errors.Is(err, core.State) {
				t.Errorf("a service in EOL: %v", err)
			}
		})
	}
}

// The administrator ends a user: removed, the terminal's life ends; unbound, it
// may hold a new user.
// req: F-22, F-42, F-43, K-17.1-08, K-17.1-08b, K-17.1-09
func TestAdministratorEndsUser(t *testing.T) {
	for _, c := range []struct {
		row  string
		from mstcc.State
		as   protocol.Kept
		to   mstcc.State
	}{
		{"F-22", mstcc.User, protocol.KeptRemoved, mstcc.EOL},
		{"F-43", mstcc.Locked, protocol.KeptRemoved, mstcc.EOL},
		{"F-42", mstcc.Locked, protocol.KeptUnbound, mstcc.Init},
		{"F-06", mstcc.User, protocol.KeptUnbound, mstcc.Init},
	} {
		for when, contact := range map[string]func(m *mstcc.Module) error{
			"status": func(m *mstcc.Module) error {
				st, err := m.Status(ctx, true)
				return errors.Join(err, st.ServerErr)
			},
			"sign": func(m *mstcc.Module) error { return sign(m, types("right")) },
		} {
			t.Run(c.row+" "+when, func(t *testing.T) {
				x, m := in(t, c.from)
				x.srv.drop(c.as)
				x.steps = nil
				if err := contact(m); !errors.Is(err, core.Refused) {
					t.Errorf("%v, want refused", err)
				}
				if m.State() != c.to || !x.fired(c.row) {
					t.Fatalf("in %s, want %s; %s fired: %v", m.State(), c.to, c.row, x.fired(c.row))
				}
				if c.to == mstcc.EOL {
					if names := x.left(); len(names) > 0 {
						t.Errorf("left: %v", names)
					}
					return
				}
				if names := x.left(); !slices.Equal(names, []string{mstcc.DeviceKeyName(1)}) {
					t.Errorf("left: %v, want the device key alone", names)
				}
				if _, err := m.Initialize(ctx, request(t, "pin"), types("new")); err != nil {
					t.Fatal(err)
				}
				if err := sign(m, types("new")); err != nil {
					t.Errorf("the new user signs: %v", err)
				}
			})
		}
	}
}

// A refusal alone ends nothing: anybody between could have made it up.
// req: K-17.1-10
func TestRefusalAloneEndsNothing(t *testing.T) {
	x, m := in(t, mstcc.User)
	x.srv.fail["policy"] = []error{refused}
	if err := sign(m, types("right")); !errors.Is(err, core.Refused) {
		t.Fatal(err)
	}
	if m.State() != mstcc.User {
		t.Fatalf("in %s", m.State())
	}
	if err := sign(m, types("right")); err != nil {
		t.Errorf("the next request: %v", err)
	}
}
