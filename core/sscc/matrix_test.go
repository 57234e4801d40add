package sscc_test

import (
	"context"
	"errors"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sscc"
	"github.com/keposs/keposs/internal/services"
)

// scene is an SS-CC in a state with one user, and what a caller of a role has.
type scene struct {
	*realm
	a    *account
	tok  sscc.Token    // of the administrator, else zero
	peer protocol.Peer // of the user's terminal, else zero
}

// at returns a fresh SS-CC in a state with a caller of the role. Where nobody
// can log in, an administrator has an old session.
func at(t *testing.T, state string, by services.Role) *scene {
	t.Helper()
	fail := false
	tests := func(c *sscc.Config) {
		c.SelfTests = []sscc.SelfTestCase{{Name: "planted", Run: func(context.Context) error {
			if fail {
				return errors.New("planted")
			}
			return nil
		}}}
	}
	if state == "INIT" {
		r := &realm{t: t, b: newTable(), clock: &clock{}}
		r.cfg = baseConfig(r.b, r.clock)
		r.Server = r.start()
		return &scene{realm: r}
	}
	r := newRealm(t, tests)
	x := &scene{realm: r, a: r.phone(r.app(sscc.AppRequest{})).account(protocol.ModePlain)}
	if by == services.User {
		x.peer = x.a.peer
	}
	login := func() {
		tok, err := r.Login(bg, password(adminPassword))
		r.must(err)
		if by == services.Administrator {
			x.tok = tok
		} else if state == "SERVING" {
			r.must(r.Logout(bg, tok))
		}
	}
	switch state {
	case "OFF":
		login()
		r.must(r.Close())
	case "SEALED":
		login()
		r.Server = r.start()
	case "SERVING":
		login()
	case "ERROR":
		login()
		fail = true
		if err := r.SelfTest(bg); core.CodeOf(err) != core.Integrity {
			t.Fatal(err)
		}
		fail = false
	case "EOL":
		tok, err := r.Login(bg, password(adminPassword))
		r.must(err)
		if by == services.Administrator {
			x.tok = tok
		}
		r.must(r.Decommission(bg, tok, r.id))
	}
	if got := string(r.State()); got != state {
		t.Fatalf("in %s, want %s", got, state)
	}
	return x
}

func only(_ any, err error) error { return err }

// serverCalls are the services of the table, by name, on a scene.
var serverCalls = map[string]func(x *scene) error{
	"initialise": func(x *scene) error {
		return x.SetPassword(bg, password(adminPassword), password(adminPassword))
	},
	"log in": func(x *scene) error {
		p := "a wrong password"
		if x.tok != (sscc.Token{}) || x.a == nil {
			p = adminPassword
		}
		return only(x.Login(bg, password(p)))
	},
	"seal": func(x *scene) error { return x.Seal(bg, x.tok) },
	"change password": func(x *scene) error {
		return x.ChangePassword(bg, x.tok, password("a new password"), password("a new password"))
	},
	"rotate keys":      func(x *scene) error { return x.RotateKeys(bg, x.tok, nil) },
	"create app":       func(x *scene) error { return only(x.CreateApp(bg, x.tok, sscc.AppRequest{Name: "x"})) },
	"list apps":        func(x *scene) error { return only(x.Apps(bg, x.tok)) },
	"revoke app":       func(x *scene) error { return x.RevokeApp(bg, x.tok, x.app()) },
	"make ticket":      func(x *scene) error { return only(x.NewTicket(bg, x.tok, x.app())) },
	"list devices":     func(x *scene) error { return only(x.Devices(bg, x.tok, x.app())) },
	"revoke device":    func(x *scene) error { return x.RevokeDevice(bg, x.tok, x.app(), x.device()) },
	"list users":       func(x *scene) error { _, _, err := x.Users(bg, x.tok, nil, 10); return err },
	"find user":        func(x *scene) error { return only(x.FindUser(bg, x.tok, x.user())) },
	"lock user":        func(x *scene) error { return x.LockUser(bg, x.tok, x.app(), x.user()) },
	"unlock user":      func(x *scene) error { return x.UnlockUser(bg, x.tok, x.app(), x.user()) },
	"remove user":      func(x *scene) error { return x.RemoveUser(bg, x.tok, x.app(), x.user()) },
	"unbind user":      func(x *scene) error { return x.UnbindUser(bg, x.tok, x.app(), x.user()) },
	"describe":         func(x *scene) error { return only(x.Describe(bg, x.tok)) },
	"read audit log":   func(x *scene) error { return only(x.AuditPage(bg, x.tok, 1, 10)) },
	"verify audit log": func(x *scene) error { return only(x.VerifyAudit(bg, x.tok)) },
	"decommission":     func(x *scene) error { return x.Decommission(bg, x.tok, x.id) },
	"fetch policy":     func(x *scene) error { return only(x.Policy(bg, x.peer, protocol.PolicyRequest{User: x.user()})) },
	"fetch sealed keys": func(x *scene) error {
		return only(x.Fetch(bg, x.peer, protocol.FetchRequest{User: x.user(), Gen: 1, Attempt: newID()}))
	},
	"prepare": func(x *scene) error {
		if x.a == nil {
			return only(x.Prepare(bg, x.peer, protocol.PrepareRequest{}))
		}
		q, _ := x.a.replace(nil)
		return only(x.Prepare(bg, x.peer, q))
	},
	"ask standing": func(x *scene) error { return only(x.Standing(bg, x.peer, protocol.StandingRequest{User: x.user()})) },
	"ask tries":    func(x *scene) error { return only(x.Status(bg, x.peer, protocol.StatusRequest{User: x.user()})) },
	"unbind or deregister": func(x *scene) error {
		if x.a == nil {
			return x.Unbind(bg, x.peer, protocol.RemoveRequest{})
		}
		return x.Unbind(bg, x.peer, x.a.removal(false))
	},
	"show status": func(x *scene) error { _ = x.State(); return nil },
	"self-test":   func(x *scene) error { return x.SelfTest(bg) },
	"reset":       func(x *scene) error { return x.Reset(bg) },
}

func (x *scene) app() (id protocol.ID) {
	if x.a != nil {
		id = x.a.peer.App
	}
	return id
}

func (x *scene) device() (id protocol.ID) {
	if x.a != nil {
		id = x.a.peer.Device
	}
	return id
}

func (x *scene) user() (id protocol.ID) {
	if x.a != nil {
		id = x.a.user
	}
	return id
}

// Every service in every state for an administrator in session, the user's
// bound terminal and anybody: it runs or is refused with the code the table
// names, which docs/roles.md prints.
// req: K-10.1-01, K-10.1-02, K-10.2-01, K-10.2-07, K-10.3-01, G-7.3-02, G-7.4-01, G-7.4-02, G-7.4-03, TK-06
func TestServiceMatrix(t *testing.T) {
	t.Parallel()
	for _, state := range services.ServerStates() {
		for _, by := range []services.Role{services.Administrator, services.User, services.NoRole} {
			shared := at(t, state, by) // for refusals, which change nothing
			for _, sv := range services.Server() {
				call := serverCalls[sv.Name]
				if call == nil {
					t.Fatalf("no call for %s", sv.Name)
				}
				want := sv.Cell(state, by)
				if want == services.NoCall {
					continue // no caller of that role reaches it: internal/services looks at the wire
				}
				x, got := shared, services.Runs
				if want == services.Runs {
					x = at(t, state, by)
				}
				if err := call(x); err != nil {
					got = core.CodeOf(err).String()
				}
				if got != want {
					t.Errorf("%s in %s by %s: %s, the table says %s", sv.Name, state, by, got, want)
				}
				if string(shared.State()) != state {
					t.Fatalf("%s in %s by %s left %s", sv.Name, state, by, shared.State())
				}
			}
		}
	}
	if len(serverCalls) != len(services.Server()) {
		t.Errorf("%d calls, %d services in the table", len(serverCalls), len(services.Server()))
	}
}
