package api_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sscc"
	"github.com/keposs/keposs/escrow/api"
	"github.com/keposs/keposs/escrow/api/internal/wire"
	"github.com/keposs/keposs/escrow/memory"
)

// troubled is a store to which things happen.
type troubled struct {
	core.Backend
	write, read atomic.Pointer[core.Error]           // what every call answers
	change      atomic.Pointer[func(r *core.Record)] // what happens to every record that is read
}

func (b *troubled) GetMany(ctx context.Context, keys []core.Key, o core.ReadOpts) ([]core.Record, error) {
	if err := b.read.Load(); err != nil {
		return nil, err
	}
	out, err := b.Backend.GetMany(ctx, keys, o)
	if change := b.change.Load(); change != nil && err == nil {
		for i := range out {
			(*change)(&out[i])
		}
	}
	return out, err
}

func (b *troubled) CommitMany(ctx context.Context, ms []core.Mutation) ([]core.Result, error) {
	if err := b.write.Load(); err != nil {
		return nil, err
	}
	return b.Backend.CommitMany(ctx, ms)
}

// Clear kinds of sealed frames that change by themselves here: the audit log, and
// the administrator's session, which this test opens to read it.
const (
	stateKind = 10
	auditKind = 11
)

// content is every other stored record; of the boot record all but the login
// guard, which counts wrong passwords.
func (s *station) content() map[string]string {
	s.t.Helper()
	out := map[string]string{}
	for req := (core.ScanRequest{Limit: 1000, Hot: true, Blob: true}); ; {
		p, err := s.store.Scan(bg, req)
		s.must(err)
		for _, r := range p.Records {
			switch {
			case len(r.Hot) > 1 && r.Hot[0] == 1 && (r.Hot[1] == auditKind || r.Hot[1] == stateKind):
			case string(r.Key) == string(sscc.BootKey()):
				out[string(r.Key)] = fmt.Sprintf("%x", r.Blob)
			default:
				out[string(r.Key)] = fmt.Sprintf("%d %x %x", r.Version, r.Hot, r.Blob)
			}
		}
		if p.Next == nil {
			return out
		}
		req.After = p.Next
	}
}

// refusals are the audit log's events of a code, with what was only counted.
func (s *station) refusals(code core.Code) (n uint32) {
	s.t.Helper()
	s.desk(func(a *api.Admin) {
		for from := uint64(1); ; {
			page, err := a.AuditPage(bg, from, 1000)
			s.must(err)
			for _, e := range page {
				from = e.Seq + 1
				if e.Code == code.String() {
					n += max(e.N, 1)
				}
			}
			if len(page) < 1000 {
				return
			}
		}
	})
	return n
}

// Wrong password, changed record, full disk, unreachable database, expired
// session, oversized request, 10,000 unknown users: each gets the error the
// protocol names and is in the audit log; no other record changes, and the user
// signs as before.
// req: G-7.6-03, K-10.3-01
func TestRefusals(t *testing.T) {
	t.Parallel()
	store := &troubled{Backend: memory.New()}
	s := newStationOver(t, store, nil)
	p := s.phone()
	m, user := p.initialise(protocol.ModeHardened)
	c := p.dial()
	sign := func() error {
		_, _, err := m.Sign(bg, []byte("m"), nil, mstcc.OpenOptions{}, types("right"))
		return err
	}
	s.must(sign())
	status := func() error { _, err := c.Status(bg, protocol.StatusRequest{User: user.User}); return err }
	s.must(status())
	try := func() error {
		_, err := c.Evaluate(bg, protocol.EvaluateRequest{User: user.User, Gen: 1, Attempt: newID(), Blinded: newKey(t).Public().Compressed()})
		return err
	}
	// A sign returns before its confirmation has arrived.
	settled := func(id protocol.ID) {
		s.desk(func(a *api.Admin) {
			for range 200 {
				if u, err := a.FindUser(bg, id); err == nil && u.Used == 0 {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
			t.Error("a sign was not confirmed")
		})
	}
	full := core.Errorf(core.Exhausted, "test", "no space is left")
	gone := core.Errorf(core.Unavailable, "test", "no connection to the database")
	flip := func(r *core.Record) {
		if len(r.Hot) > 100 && r.Hot[0] == 1 && r.Hot[1] == 1 { // a user's counter
			r.Hot[60] ^= 1
		}
	}
	for _, x := range []struct {
		name    string
		want    core.Code // what the caller gets
		audited core.Code
		least   uint32
		do      func() error
		undo    func()
	}{
		{"wrong password", core.Auth, core.Auth, 1, func() error {
			a, err := api.DialAdmin(bg, s.addr, string(s.cert.CAPEM))
			s.must(err)
			defer a.Close()
			return a.Login(bg, secret.Copy([]byte("correct horse batterie")))
		}, nil},
		{"changed record", core.Corrupt, core.Corrupt, 1, func() error { store.change.Store(&flip); return try() }, func() { store.change.Store(nil) }},
		{"full disk", core.Exhausted, core.Exhausted, 1, func() error { store.write.Store(full); return try() }, func() { store.write.Store(nil) }},
		{"unreachable database", core.Unavailable, core.Unavailable, 1, func() error { store.read.Store(gone); store.write.Store(gone); return try() },
			func() { store.read.Store(nil); store.write.Store(nil) }},
		{"expired session of a terminal", core.Auth, core.Auth, 1, func() error {
			b := newBalancer(t, s)
			q := p.peer
			q.Endpoint = b.addr
			through, err := api.Dial(bg, q)
			s.must(err)
			defer through.Close()
			_, err = through.Status(bg, protocol.StatusRequest{User: user.User})
			s.must(err)
			s.clock.move(sscc.SessionTTL + time.Second)
			b.mu.Lock()
			old := b.requests[0]
			b.mu.Unlock()
			_, err = wire.NewSessionClient(s.bare()).Call(bg, old)
			return fmt.Errorf("%w", codeOf(err))
		}, nil},
		{"expired session of the administrator", core.Auth, core.Auth, 1, func() error {
			a := s.admin()
			s.clock.move(2 * time.Hour)
			_, err := a.Apps(bg)
			return err
		}, nil},
		{"oversized request", core.TooLarge, core.TooLarge, 1, func() error {
			_, err := wire.NewSessionClient(s.bare()).Call(bg, &wire.SealedRequest{Ticket: make([]byte, 200), Sealed: make([]byte, 300<<10)})
			return fmt.Errorf("%w", codeOf(err))
		}, nil},
		{"10,000 unknown users", core.Refused, core.Refused, 10_000, func() error {
			var last error
			for range 10_000 {
				_, err := c.Policy(bg, protocol.PolicyRequest{User: newID()})
				if last != nil && err.Error() != last.Error() {
					return fmt.Errorf("refusals differ: %w, %w", err, last)
				}
				last = err
			}
			return last
		}, nil},
	} {
		t.Run(x.name, func(t *testing.T) {
			settled(user.User)
			had, before := s.refusals(x.audited), s.content()
			err := x.do()
			if x.undo != nil {
				x.undo()
			}
			if got := core.CodeOf(err); got != x.want {
				t.Errorf("%v (%s), want %s", err, got, x.want)
			}
			after := s.content()
			for k := range after {
				if before[k] == "" {
					t.Errorf("a record was made")
				}
			}
			for k, v := range before {
				if after[k] != v {
					t.Errorf("a record changed: %.40q, was %.40q", after[k], v)
				}
			}
			var n uint32
			for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
				if n = s.refusals(x.audited) - had; n >= x.least || time.Now().After(deadline) {
					break
				}
			}
			if n < x.least {
				t.Errorf("%d events of %s in the audit log, want %d", n, x.audited, x.least)
			}
			if err := sign(); err != nil {
				t.Errorf("the user afterwards: %v", err)
			}
		})
	}
	s.desk(func(a *api.Admin) {
		u, err := a.FindUser(bg, user.User)
		s.must(err)
		if u.State != "active" || u.Used > 1 {
			t.Errorf("the user afterwards: %+v", u)
		}
		r, err := a.VerifyAudit(bg)
		s.must(err)
		if !r.OK {
			t.Errorf("the audit log: %+v", r)
		}
	})
	s.must(status())
}
