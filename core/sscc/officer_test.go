package sscc_test

import (
	"context"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sscc"
)

// Wrong passwords are counted durably, across replicas and restarts; the lock
// lasts its time and serving goes on (S-10, S-11, S-25, S-26).
// req: G-7.4-05, K-10.3-01, S-10, S-11, S-25, K-10.3-00
func TestLoginLock(t *testing.T) {
	r := newRealm(t, func(c *sscc.Config) { c.Limits.LoginTries = 3; c.Limits.LoginWait = time.Minute })
	a := r.phone(r.app(sscc.AppRequest{})).account(protocol.ModePlain)
	other := r.start()
	bad := func(s *sscc.Server, code core.Code) {
		t.Helper()
		_, err := s.Login(bg, password("wrong password"))
		want(t, err, code)
	}
	bad(r.Server, core.Auth)
	bad(other, core.Auth)
	bad(r.Server, core.Locked)
	if r.Officer() != sscc.Locked || other.State() != sscc.Sealed {
		t.Fatalf("officer %s, other replica %s", r.Officer(), other.State())
	}
	_, err := r.Login(bg, password(adminPassword))
	want(t, err, core.Locked)
	_, err = other.Login(bg, password(adminPassword))
	want(t, err, core.Locked)
	_, err = r.start().Login(bg, password(adminPassword))
	want(t, err, core.Locked)
	if _, err = a.fetch(); err != nil {
		t.Fatal("the lock of the administrator stopped serving: ", err)
	}
	r.clock.move(61 * time.Second)
	r.must(other.Unseal(bg, password(adminPassword)))
	// The next lock lasts twice as long, but a right password forgave the first.
	bad(r.Server, core.Auth)
	bad(r.Server, core.Auth)
	bad(r.Server, core.Locked)
	r.clock.move(61 * time.Second)
	bad(r.Server, core.Auth)
	bad(r.Server, core.Auth)
	bad(r.Server, core.Locked)
	r.clock.move(61 * time.Second)
	bad(r.Server, core.Locked)
	r.clock.move(61 * time.Second)
	r.must(r.Unseal(bg, password(adminPassword)))
}

// A session is one, of any replica, and ends: by logout, by the next login, by
// time, by sealing.
// req: K-10.1-02, G-7.4-08
func TestOfficerSession(t *testing.T) {
	r := newRealm(t)
	other := r.replica()
	tok, err := r.Login(bg, password(adminPassword))
	r.must(err)
	_, err = r.Apps(bg, tok)
	r.must(err)
	_, err = other.Apps(bg, tok)
	r.must(err)
	for i := range tok {
		bad := tok
		bad[i] ^= 1
		_, err = r.Apps(bg, bad)
		want(t, err, core.Auth)
	}
	_, err = r.Apps(bg, sscc.Token{})
	want(t, err, core.Auth)
	second, err := other.Login(bg, password(adminPassword))
	r.must(err)
	_, err = r.Apps(bg, tok)
	want(t, err, core.Auth)
	r.must(r.Logout(bg, second))
	_, err = other.Apps(bg, second)
	want(t, err, core.Auth)
	tok, err = r.Login(bg, password(adminPassword))
	r.must(err)
	r.clock.move(2 * time.Hour)
	_, err = r.Apps(bg, tok)
	want(t, err, core.Auth)
	tok, err = r.Login(bg, password(adminPassword))
	r.must(err)
	r.must(r.Seal(bg, tok))
	_, err = other.Apps(bg, tok)
	want(t, err, core.Auth)
}

// Every service of the administrator is refused without a session (Table 1).
// req: K-10.2-01, K-10.2-07, K-10.3-01, G-7.4-01, G-7.4-03, G-7.6-04, K-10.3-00
func TestAdminNeedsLogin(t *testing.T) {
	r := newRealm(t)
	app, id := r.app(sscc.AppRequest{}), newID()
	var tok sscc.Token
	err1 := func(_ any, err error) error { return err }
	_, _, usersErr := r.Users(bg, tok, nil, 10)
	for name, err := range map[string]error{
		"create app": err1(r.CreateApp(bg, tok, sscc.AppRequest{Name: "x"})), "apps": err1(r.Apps(bg, tok)), "revoke app": r.RevokeApp(bg, tok, app),
		"ticket": err1(r.NewTicket(bg, tok, app)), "devices": err1(r.Devices(bg, tok, app)), "revoke device": r.RevokeDevice(bg, tok, app, id),
		"users": usersErr, "find": err1(r.FindUser(bg, tok, id)), "unlock": r.UnlockUser(bg, tok, app, id), "lock": r.LockUser(bg, tok, app, id),
		"remove": r.RemoveUser(bg, tok, app, id), "unbind": r.UnbindUser(bg, tok, app, id), "describe": err1(r.Describe(bg, tok)), "audit": err1(r.AuditPage(bg, tok, 1, 10)),
		"verify": err1(r.VerifyAudit(bg, tok)), "seal": r.Seal(bg, tok), "logout": r.Logout(bg, tok), "decommission": r.Decommission(bg, tok, r.id),
	} {
		if core.CodeOf(err) != core.Auth {
			t.Errorf("%s without a session: %v", name, err)
		}
	}
	if r.State() != sscc.Serving {
		t.Fatalf("state %s", r.State())
	}
}

// Apps, devices and users as the administrator sees them.
// req: K-10.1-02
func TestAdministration(t *testing.T) {
	r := newRealm(t)
	for _, bad := range []sscc.AppRequest{{}, {Name: "x", Limit: 11}, {Name: "a\nb"}, {Name: string(make([]byte, 65))}, {Name: "\xff"}} {
		r.admin(func(tok sscc.Token) {
			_, err := r.CreateApp(bg, tok, bad)
			want(t, err, core.Invalid)
		})
	}
	app := r.app(sscc.AppRequest{Name: "bank", Limit: 7})
	for range 30 {
		r.app(sscc.AppRequest{Name: "more"})
	}
	var as []*account
	for range 3 {
		as = append(as, r.phone(app).account(protocol.ModePlain))
	}
	r.admin(func(tok sscc.Token) {
		apps, err := r.Apps(bg, tok)
		r.must(err)
		if len(apps) != 31 || apps[0].ID != app || apps[0].Name != "bank" || apps[0].Limit != 7 || apps[0].Revoked {
			t.Fatalf("%d apps, first %+v", len(apps), apps[0])
		}
		ds, err := r.Devices(bg, tok, app)
		r.must(err)
		if len(ds) != 3 {
			t.Fatalf("%d devices", len(ds))
		}
		seen := map[protocol.ID]bool{}
		var after []byte
		for {
			us, next, err := r.Users(bg, tok, after, 1)
			r.must(err)
			for _, u := range us {
				seen[u.ID] = true
				if u.App != app || u.State != "active" || u.Limit != 7 || u.Subject == "" {
					t.Fatalf("user %+v", u)
				}
			}
			if after = next; next == nil {
				break
			}
		}
		if len(seen) != 3 {
			t.Fatalf("%d users in pages of one", len(seen))
		}
		_, err = r.FindUser(bg, tok, newID())
		want(t, err, core.NotFound)
		want(t, r.UnlockUser(bg, tok, app, newID()), core.NotFound)
		want(t, r.UnlockUser(bg, tok, newID(), as[0].user), core.NotFound)
		want(t, r.RevokeApp(bg, tok, newID()), core.NotFound)
		want(t, r.RevokeDevice(bg, tok, app, newID()), core.NotFound)
		_, err = r.NewTicket(bg, tok, newID())
		want(t, err, core.NotFound)
		_, _, err = r.Users(bg, tok, nil, 0)
		want(t, err, core.Invalid)
		r.must(r.RemoveUser(bg, tok, app, as[0].user))
		want(t, r.RemoveUser(bg, tok, app, as[0].user), core.State)
		d, err := r.Describe(bg, tok)
		r.must(err)
		if d.Realm != r.id || d.Apps != 31 || d.AuditSeq == 0 || d.State != "SERVING" || d.Officer != "ADMIN" {
			t.Fatalf("description %+v", d)
		}
		r.must(r.RevokeApp(bg, tok, app))
		r.must(r.RevokeApp(bg, tok, app))
		_, err = r.NewTicket(bg, tok, app)
		want(t, err, core.State)
	})
	_, err := as[1].fetch()
	want(t, err, core.Refused)
}

// Requests above the rate are Throttled and cost nothing.
func TestRates(t *testing.T) {
	r := newRealm(t, func(c *sscc.Config) { c.Limits.PolicyRate = 1; c.Limits.DeviceRate = 5 })
	app := r.app(sscc.AppRequest{})
	a, b := r.phone(app).account(protocol.ModePlain), r.phone(app).account(protocol.ModePlain)
	r.clock.move(time.Minute)
	ask := func(a *account) error {
		_, err := r.Policy(bg, a.peer, protocol.PolicyRequest{User: a.user})
		return err
	}
	r.must(ask(a))
	r.must(ask(a))
	want(t, ask(a), core.Throttled)
	r.must(ask(b))
	r.clock.move(time.Second)
	r.must(ask(a))
	for range 20 {
		_, _ = a.fetch()
	}
	_, err := a.fetch()
	want(t, err, core.Throttled)
}

// Observe hears every request with its code.
func TestObserve(t *testing.T) {
	got := map[string]core.Code{}
	r := newRealm(t, func(c *sscc.Config) {
		c.Observe = func(op string, code core.Code, _ time.Duration) { got[op] = code }
	})
	a := r.phone(r.app(sscc.AppRequest{})).account(protocol.ModePlain)
	_, err := a.fetch()
	r.must(err)
	_, err = r.Status(bg, a.peer, protocol.StatusRequest{User: newID()})
	want(t, err, core.Refused)
	if c, ok := got["fetch"]; !ok || c != core.Unknown || got["status"] != core.Refused {
		t.Fatalf("heard %v", got)
	}
}

// A canceled request ends and counts at most once.
func TestCanceled(t *testing.T) {
	r := newRealm(t)
	a := r.phone(r.app(sscc.AppRequest{})).account(protocol.ModePlain)
	ctx, cancel := context.WithCancel(bg)
	cancel()
	_, _ = r.Fetch(ctx, a.peer, protocol.FetchRequest{User: a.user, Gen: 1, Attempt: newID()})
	if used := a.status().Tries.Used; used > 1 {
		t.Fatalf("%d tries", used)
	}
}
