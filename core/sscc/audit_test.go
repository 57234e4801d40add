package sscc_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sscc"
)

func (r *realm) audit() (es []sscc.AuditEvent) {
	r.t.Helper()
	r.admin(func(tok sscc.Token) {
		for {
			page, err := r.AuditPage(bg, tok, uint64(len(es))+1, 7)
			r.must(err)
			if es = append(es, page...); len(page) < 7 {
				return
			}
		}
	})
	return es
}

func (r *realm) verify() (rep sscc.AuditReport) {
	r.t.Helper()
	r.admin(func(tok sscc.Token) {
		var err error
		rep, err = r.VerifyAudit(bg, tok)
		r.must(err)
	})
	return rep
}

// What happened is in the log, in order, without an identifier in the clear.
// req: G-7.6-03
func TestAuditTellsAll(t *testing.T) {
	r := newRealm(t)
	p := r.phone(r.app(sscc.AppRequest{Limit: 1}))
	a := p.account(protocol.ModePlain)
	_, err := r.Login(bg, password("wrong password"))
	want(t, err, core.Auth)
	_, err = r.Policy(bg, p.peer, protocol.PolicyRequest{User: a.user})
	r.must(err)
	got, err := a.fetch()
	r.must(err)
	_, err = a.fetch()
	want(t, err, core.Locked)
	_, err = r.Confirm(bg, p.peer, a.confirm(held(got.Tries)...))
	r.must(err)
	_, err = r.Fetch(bg, p.peer, protocol.FetchRequest{User: newID(), Gen: 1, Attempt: newID()})
	want(t, err, core.Refused)
	r.admin(func(tok sscc.Token) {
		r.must(r.LockUser(bg, tok, p.peer.App, a.user))
		r.must(r.UnlockUser(bg, tok, p.peer.App, a.user))
	})
	r.must(r.Unbind(bg, p.peer, a.removal(false)))
	es := r.audit()
	var kinds []string
	for i, e := range es {
		if e.Seq != uint64(i)+1 {
			t.Fatalf("event %d has number %d", i+1, e.Seq)
		}
		kinds = append(kinds, e.Kind)
	}
	rest := kinds
	for _, k := range []string{"unsealed", "login", "app-create", "logout", "ticket", "enrol", "prepare", "init", "login-bad",
		"policy-read", "try", "locked", "refused", "confirm", "refused", "lock", "unlock", "unbind"} {
		i := 0
		for i < len(rest) && rest[i] != k {
			i++
		}
		if i == len(rest) {
			t.Fatalf("no %s in order in %v", k, kinds)
		}
		rest = rest[i+1:]
	}
	text, err := json.Marshal(es)
	r.must(err)
	for _, id := range []string{a.user.String(), p.peer.Device.String(), p.peer.App.String()} {
		if strings.Contains(string(text), id) {
			t.Error("the log names an identifier")
		}
	}
	if rep := r.verify(); !rep.OK || rep.Events < uint64(len(es)) {
		t.Fatalf("report %+v", rep)
	}
}

// Replicas write one chain; it survives restarts and many events.
// req: G-7.6-04
func TestAuditIsOneChain(t *testing.T) {
	r := newRealm(t)
	servers := []*sscc.Server{r.Server, r.replica(), r.replica()}
	p := r.phone(r.app(sscc.AppRequest{}))
	a := p.account(protocol.ModePlain)
	for i := range 1500 {
		_, _ = servers[i%3].Status(bg, p.peer, protocol.StatusRequest{User: newID()})
		if i%500 == 499 {
			r.must(servers[2].Close())
			servers[2] = r.replica()
		}
	}
	_, err := a.fetch()
	r.must(err)
	for _, s := range servers {
		r.must(s.Close())
	}
	r.Server = r.replica()
	if rep := r.verify(); !rep.OK || rep.Events < 1500 {
		t.Fatalf("report %+v", rep)
	}
	n := 0
	for _, e := range r.audit2(1000) {
		if e.Kind == "refused" {
			n++
		}
	}
	if n != 1500 {
		t.Fatalf("%d refusals in the log, want 1500", n)
	}
}

func (r *realm) audit2(page int) (es []sscc.AuditEvent) {
	r.t.Helper()
	r.admin(func(tok sscc.Token) {
		for {
			got, err := r.AuditPage(bg, tok, uint64(len(es))+1, page)
			r.must(err)
			if es = append(es, got...); len(got) < page {
				return
			}
		}
	})
	return es
}

// Any stored bit that is turned, any part that is dropped or put back is found.
// req: G-7.6-04
func TestAuditTamper(t *testing.T) {
	r := newRealm(t)
	p := r.phone(r.app(sscc.AppRequest{}))
	before := r.b.snapshot()
	for range 900 {
		_, _ = r.Status(bg, p.peer, protocol.StatusRequest{User: newID()})
	}
	if rep := r.verifyOn(); !rep.OK {
		t.Fatalf("report %+v", rep)
	}
	// The parts of the log are the records of kind 11.
	var parts []string
	for k, rec := range r.b.m {
		if rec.Hot[1] == 11 {
			parts = append(parts, k)
		}
	}
	if len(parts) < 2 {
		t.Fatalf("%d parts", len(parts))
	}
	broken := 0
	for _, k := range parts {
		keep := r.b.m[k]
		for name, edit := range map[string]func(*core.Record){
			"event":   func(x *core.Record) { x.Blob = bytes.Clone(x.Blob); x.Blob[100] ^= 1 },
			"head":    func(x *core.Record) { x.Hot = bytes.Clone(x.Hot); x.Hot[60] ^= 1 },
			"dropped": func(x *core.Record) { *x = core.Record{} },
			"old":     func(x *core.Record) { *x = before.m[k] },
		} {
			bad := keep
			edit(&bad)
			if bad.Version == keep.Version && bytes.Equal(bad.Hot, keep.Hot) && bytes.Equal(bad.Blob, keep.Blob) {
				continue
			}
			r.b.m[k] = bad
			if bad.Version == 0 {
				delete(r.b.m, k)
			}
			rep := r.verifyOn()
			r.b.m[k] = keep
			if rep.OK && !(name == "dropped" || name == "old") {
				t.Errorf("%s: not found", name)
			}
			if !rep.OK {
				broken++
			}
		}
	}
	if broken < 2*len(parts) {
		t.Errorf("%d changes found", broken)
	}
}

// verifyOn asks without logging in anew, which would write to the log.
func (r *realm) verifyOn() (rep sscc.AuditReport) {
	if r.tok == (sscc.Token{}) {
		tok, err := r.Login(bg, password(adminPassword))
		r.must(err)
		r.tok = tok
		_, err = r.VerifyAudit(bg, tok) // stores what the login wrote
		r.must(err)
	}
	rep, err := r.VerifyAudit(bg, r.tok)
	r.must(err)
	return rep
}

// A backend put back to an older state is noticed by the head kept outside: the
// users are frozen until the administrator unlocks each (I7).
// req: X-15
func TestRollbackFreezes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "head.json")
	r := newRealm(t, func(c *sscc.Config) { c.Heads = sscc.NewFileHeads(path) })
	p := r.phone(r.app(sscc.AppRequest{}))
	a := p.account(protocol.ModePlain)
	r.must(r.Close())
	r.Server = r.replica()
	r.must(r.Close())
	old := r.b.snapshot()
	r.Server = r.replica()
	for range 5 {
		_, err := a.fetch()
		r.must(err)
	}
	r.must(r.Close())
	r.Server = r.replica()
	if rep := r.verify(); !rep.OK || !rep.Outside {
		t.Fatalf("report %+v", rep)
	}
	r.must(r.Close())
	r.b.m = old.m
	r.Server = r.replica()
	_, err := a.fetch()
	want(t, err, core.Locked)
	_, err = r.Policy(bg, p.peer, protocol.PolicyRequest{User: a.user})
	want(t, err, core.Locked)
	r.admin(func(tok sscc.Token) {
		u, err := r.FindUser(bg, tok, a.user)
		r.must(err)
		if u.State != "frozen" {
			t.Fatalf("state %s", u.State)
		}
	})
	if es := r.audit(); !has(es, "rollback") {
		t.Fatal("the log does not tell the rollback")
	}
	fresh := p.account(protocol.ModePlain) // a new user is not concerned
	_, err = fresh.fetch()
	r.must(err)
	r.admin(func(tok sscc.Token) { r.must(r.UnlockUser(bg, tok, p.peer.App, a.user)) })
	_, err = a.fetch()
	r.must(err)
	r.must(r.Close())
	r.Server = r.replica() // the new head is outside by now: no second freeze
	_, err = a.fetch()
	r.must(err)
	// A head of somebody else, or a changed one, is not taken.
	r.must(r.Close())
	b, err := os.ReadFile(path)
	r.must(err)
	r.must(os.WriteFile(path, bytes.Replace(b, []byte(`"seq":`), []byte(`"seq":1`), 1), 0o600))
	s := r.start()
	want(t, s.Unseal(bg, password(adminPassword)), core.Corrupt)
	if s.State() != sscc.Sealed {
		t.Fatalf("state %s", s.State())
	}
}

func has(es []sscc.AuditEvent, kind string) bool {
	for _, e := range es {
		if e.Kind == kind {
			return true
		}
	}
	return false
}

// Fail-closed: no answer without its event; the count stays and the repeat gets
// the answer once the log can be written.
func TestFailClosed(t *testing.T) {
	r := newRealm(t, func(c *sscc.Config) { c.FailClosed = true })
	a := r.phone(r.app(sscc.AppRequest{})).account(protocol.ModePlain)
	_, err := a.fetch()
	r.must(err)
	r.b.fault = func(m core.Mutation) error {
		if m.Hot[1] == 11 {
			return core.Errorf(core.Unavailable, "table", "down")
		}
		return nil
	}
	att := newID()
	ans, err := a.fetchAs(att)
	if err == nil || ans.Sealed != nil {
		t.Fatal("an answer left without its event")
	}
	ans, err = a.fetchAs(att)
	if err == nil || ans.Sealed != nil {
		t.Fatal("the repeat left without its event")
	}
	r.b.mu.Lock()
	r.b.fault = nil
	r.b.mu.Unlock()
	ans, err = a.fetchAs(att)
	r.must(err)
	if ans.Seq != 2 || ans.Tries.Used != 2 {
		t.Fatalf("the repeat is try %d of %d", ans.Seq, ans.Tries.Used)
	}
	n := 0
	for _, e := range r.audit() {
		if e.Kind == "try" {
			n++
		}
	}
	if n != 2 {
		t.Fatalf("%d tries in the log", n)
	}
}

// Strangers cannot fill the log: their refusals are counted, not told one by one.
func TestAuditOfStrangers(t *testing.T) {
	r := newRealm(t)
	app := r.app(sscc.AppRequest{})
	r.verify()
	ra := point(newKey(t))
	for range 300 {
		_, err := r.OpenExchange(bg, app, newID(), ra)
		want(t, err, core.Refused)
		_, err = r.Enrol(bg, protocol.EnrolRequest{Ticket: newID(), App: app, Device: newID(), Key: ra})
		want(t, err, core.Refused)
	}
	told, counted := 0, uint32(0)
	for _, e := range r.audit2(1000) {
		switch {
		case e.Op == "strangers":
			counted += e.N
		case e.Kind == "enrol-bad" || e.Op == "exchange":
			told++
		}
	}
	if told+int(counted) != 600 || told > 300 {
		t.Fatalf("%d told and %d counted of 600", told, counted)
	}
}

// Without fail-closed a try costs one durable write: its event rides along later.
func TestAuditCostsNoSync(t *testing.T) {
	r := newRealm(t)
	a := r.phone(r.app(sscc.AppRequest{Limit: 10})).account(protocol.ModePlain)
	r.verify() // everything before is stored
	time.Sleep(300 * time.Millisecond)
	r.b.mu.Lock()
	before := r.b.commits
	r.b.mu.Unlock()
	for range 10 {
		_, err := a.fetch()
		r.must(err)
	}
	r.b.mu.Lock()
	n := r.b.commits - before
	r.b.mu.Unlock()
	if n > 12 {
		t.Fatalf("%d writes for 10 tries", n)
	}
}
