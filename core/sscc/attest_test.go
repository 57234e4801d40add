package sscc_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/attest"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/core/sscc"
)

const (
	subject  = "com.example.bank"
	attested = "play=" + subject
)

// vouching is a realm that knows one attestation service, and its key.
func vouching(t *testing.T) (*realm, *sm.PrivateKey) {
	key := newKey(t)
	return newRealm(t, func(c *sscc.Config) { c.Attestors = map[string]sscc.Attestor{"play": attest.NewService(key.Public())} }), key
}

// statement is what the service says of a phone over a challenge.
func (p *phone) statement(challenge protocol.Hash) attest.Statement {
	nonce := sm.SM3(protocol.AttestInput(p.r.id, p.peer.App, p.peer.Device, p.peer.Key, challenge))
	return attest.Statement{Nonce: nonce, Subject: subject, Issued: p.r.clock.now().Unix()}
}

// An app's policy asks for an attestation: nothing but a challenge and the
// standing is answered before one was accepted, over a nonce of SS-CC, of the
// right app, service, platform, device and hour. It counts for a day.
// req: P-14
func TestAttestation(t *testing.T) {
	r, key := vouching(t)
	p, free := r.phone(r.app(sscc.AppRequest{Attest: attested})), r.phone(r.app(sscc.AppRequest{Name: "free"}))
	other := r.phone(p.peer.App)
	ask := func() error {
		_, err := r.Policy(bg, p.peer, protocol.PolicyRequest{User: newID()})
		return err
	}
	challenge := func(of *phone) protocol.Hash {
		a, err := r.Challenge(bg, of.peer, protocol.ChallengeRequest{})
		r.must(err)
		return a.Challenge
	}
	want(t, ask(), core.Environment)
	_, err := r.Prepare(bg, p.peer, protocol.PrepareRequest{Init: true})
	want(t, err, core.Environment)
	_, err = r.Standing(bg, p.peer, protocol.StandingRequest{})
	r.must(err)
	foreign := newKey(t)
	for name, edit := range map[string]func(s *attest.Statement, q *protocol.AttestRequest, by **sm.PrivateKey){
		"wrong nonce": func(s *attest.Statement, _ *protocol.AttestRequest, _ **sm.PrivateKey) { s.Nonce[0]++ },
		"wrong app id": func(s *attest.Statement, _ *protocol.AttestRequest, _ **sm.PrivateKey) {
			s.Subject = "com.example.game"
		},
		"stale":               func(s *attest.Statement, _ *protocol.AttestRequest, _ **sm.PrivateKey) { s.Issued -= 3600 },
		"another service":     func(_ *attest.Statement, _ *protocol.AttestRequest, by **sm.PrivateKey) { *by = foreign },
		"another platform":    func(_ *attest.Statement, q *protocol.AttestRequest, _ **sm.PrivateKey) { q.Platform = "apple" },
		"a made-up challenge": func(_ *attest.Statement, q *protocol.AttestRequest, _ **sm.PrivateKey) { q.Challenge[0]++ },
		"another phone's": func(s *attest.Statement, _ *protocol.AttestRequest, _ **sm.PrivateKey) {
			*s = other.statement(challenge(other))
		},
		"over the other's own": func(_ *attest.Statement, q *protocol.AttestRequest, _ **sm.PrivateKey) {
			q.Challenge = challenge(other)
		},
		"no challenge":             func(_ *attest.Statement, q *protocol.AttestRequest, _ **sm.PrivateKey) { q.Challenge = protocol.Hash{} },
		"an expired challenge":     func(*attest.Statement, *protocol.AttestRequest, **sm.PrivateKey) { r.clock.move(3 * time.Minute) },
		"no statement but garbage": func(_ *attest.Statement, q *protocol.AttestRequest, _ **sm.PrivateKey) { q.Token = []byte("garbage") },
	} {
		q := protocol.AttestRequest{Platform: "play", Challenge: challenge(p)}
		s, by := p.statement(q.Challenge), key
		edit(&s, &q, &by)
		if q.Token == nil {
			q.Token, err = s.Sign(by)
			r.must(err)
		}
		if err := r.Attest(bg, p.peer, q); core.CodeOf(err) != core.Refused {
			t.Errorf("%s: %v", name, err)
		}
		want(t, ask(), core.Environment)
	}
	q := protocol.AttestRequest{Platform: "play", Challenge: challenge(p)}
	q.Token, err = p.statement(q.Challenge).Sign(key)
	r.must(err)
	want(t, r.Attest(bg, other.peer, q), core.Refused)
	want(t, r.Attest(bg, free.peer, q), core.Refused)
	r.must(r.Attest(bg, p.peer, q))
	want(t, ask(), core.Refused) // of a user nobody has: answered as ever
	_, err = r.Policy(bg, other.peer, protocol.PolicyRequest{User: newID()})
	want(t, err, core.Environment)
	r.clock.move(23 * time.Hour)
	want(t, ask(), core.Refused)
	r.clock.move(2 * time.Hour)
	want(t, ask(), core.Environment)
	r.admin(func(tok sscc.Token) {
		as, err := r.Apps(bg, tok)
		r.must(err)
		if !slices.ContainsFunc(as, func(a sscc.AppInfo) bool { return a.ID == p.peer.App && a.Attest == attested }) {
			t.Errorf("apps: %+v", as)
		}
		for text, code := range map[string]core.Code{"play": core.Invalid, "=x": core.Invalid, "play=": core.Invalid, "play=" + strings.Repeat("a", 256): core.Invalid, "tpm=x": core.Unsupported} {
			_, err := r.CreateApp(bg, tok, sscc.AppRequest{Name: "x", Attest: text})
			want(t, err, code)
		}
	})
}

// A real terminal asks its platform when SS-CC demands it, and only then; a
// platform without a proof ends the request without a counted try.
// req: P-14
func TestTerminalAttests(t *testing.T) {
	r, key := vouching(t)
	p := r.phone(r.app(sscc.AppRequest{Attest: attested}))
	asked, genuine := 0, true
	m, w := p.terminal(protocol.ModeHardened, func(c *mstcc.Config) {
		c.Attest = func(_ context.Context, nonce [32]byte) (string, []byte, error) {
			asked++
			s := attest.Statement{Nonce: nonce, Subject: subject, Issued: r.clock.now().Unix()}
			if !genuine {
				s.Subject = "com.example.copy"
			}
			token, err := s.Sign(key)
			return "play", token, err
		}
	})
	tree, err := policy.Parse("pin")
	r.must(err)
	_, err = m.Initialize(bg, mstcc.InitRequest{Tree: tree, KDF: core.NewParams("cheap-test", core.Param{Key: "i", N: 1024})}, types("right"))
	r.must(err)
	for range 2 {
		_, _, err = m.Sign(bg, []byte("m"), nil, mstcc.OpenOptions{}, types("right"))
		r.must(err)
	}
	if asked != 1 || w.asked("attest") != 1 {
		t.Errorf("the platform was asked %d times in one day", asked)
	}
	r.clock.move(25 * time.Hour)
	_, _, err = m.Sign(bg, []byte("m"), nil, mstcc.OpenOptions{}, types("right"))
	r.must(err)
	if asked != 2 {
		t.Errorf("the platform was asked %d times in two days", asked)
	}
	r.clock.move(25 * time.Hour)
	genuine = false
	tries := w.asked("try")
	_, _, err = m.Sign(bg, []byte("m"), nil, mstcc.OpenOptions{}, types("right"))
	want(t, err, core.Environment)
	if m.State() != mstcc.User || w.asked("try") != tries {
		t.Errorf("in %s, %d tries counted", m.State(), w.asked("try")-tries)
	}
	without, _ := r.phone(p.peer.App).terminal(protocol.ModeHardened)
	_, err = without.Initialize(bg, mstcc.InitRequest{Tree: tree, KDF: core.NewParams("cheap-test", core.Param{Key: "i", N: 1024})}, types("right"))
	want(t, err, core.Environment)
}
