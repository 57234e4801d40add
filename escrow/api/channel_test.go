package api_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/escrow/api"
	"github.com/keposs/keposs/escrow/api/internal/wire"
)

func roots(t testing.TB, s *station) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(s.cert.CAPEM) {
		t.Fatal("no authority")
	}
	return pool
}

func pair(t testing.TB, s *station) tls.Certificate {
	t.Helper()
	c, err := tls.X509KeyPair(s.cert.CertPEM, s.cert.KeyPEM.Bytes())
	s.must(err)
	return c
}

// bare is a connection that speaks the outer protocol only.
func (s *station) bare() *grpc.ClientConn {
	s.t.Helper()
	cc, err := grpc.NewClient(s.addr, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots(s.t, s), ServerName: "127.0.0.1"})))
	s.must(err)
	s.t.Cleanup(func() { _ = cc.Close() })
	return cc
}

// Whoever ends TLS sees no id, policy, key or blob: only sealed bytes.
// req: K-6.2-03, X-28, G-7.9-07, K-6.1-04
func TestBalancerSeesNothing(t *testing.T) {
	t.Parallel()
	s := newStation(t, nil)
	b := newBalancer(t, s)
	p := b.phone(s)
	m, user := p.initialise(protocol.ModeHardened)
	_, _, err := m.Sign(bg, []byte("m"), nil, mstcc.OpenOptions{}, types("right"))
	s.must(err)
	pol, err := p.dial().Policy(bg, protocol.PolicyRequest{User: user.User})
	s.must(err)
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.requests) < 5 || len(b.seen) < 4000 {
		t.Fatalf("only %d calls, %d bytes passed the balancer", len(b.requests), len(b.seen))
	}
	key := p.key.Public().Compressed()
	for name, secret := range map[string][]byte{"user id": user.User[:], "device key": key[1:], "policy": pol.Policy[20:60],
		"signing key": pol.Pubs.Sign[1:], "realm": p.peer.Realm[:], "the word policy": []byte("policy")} {
		if bytes.Contains(b.seen, secret) {
			t.Errorf("the balancer sees the %s", name)
		}
	}
}

// A flipped byte anywhere in a sealed request, its ticket or a sealed answer is
// refused; a request so refused was not applied.
// req: G-7.9-08, X-28, K-5.3-04b
func TestFlippedBytes(t *testing.T) {
	t.Parallel()
	s := newStation(t, nil)
	b := newBalancer(t, s)
	p := b.phone(s)
	_, user := p.initialise(protocol.ModePlain)
	c := p.dial()
	pol, err := c.Policy(bg, protocol.PolicyRequest{User: user.User})
	s.must(err)
	_, err = c.Fetch(bg, protocol.FetchRequest{User: user.User, Gen: pol.Gen, Attempt: newID()})
	s.must(err)
	good := b.requests[len(b.requests)-1]
	for name, field := range map[string]func(*wire.SealedRequest) []byte{
		"sealed": (*wire.SealedRequest).GetSealed, "ticket": (*wire.SealedRequest).GetTicket,
	} {
		for i := range field(good) {
			bad := proto.Clone(good).(*wire.SealedRequest)
			field(bad)[i] ^= 0x20
			if _, err := b.to.Call(bg, bad); status.Code(err) != codes.Unauthenticated {
				t.Fatalf("%s byte %d: %v", name, i, err)
			}
		}
	}
	// Through a Conn: answers changed on the way are never believed.
	size := len(b.answers[len(b.answers)-1].GetSealed())
	for i := 0; i < size; i += 7 {
		b.mu.Lock()
		b.down = func(a *wire.SealedAnswer) { a.Sealed[i%len(a.Sealed)] ^= 1 }
		b.mu.Unlock()
		if _, err := c.Policy(bg, protocol.PolicyRequest{User: user.User}); !errors.Is(err, core.Indeterminate) {
			t.Fatalf("answer byte %d: %v", i, err)
		}
	}
	// The answer to an earlier request is not the answer to this one.
	old := bytes.Clone(b.answers[0].GetSealed())
	b.mu.Lock()
	b.down = func(a *wire.SealedAnswer) { a.Sealed = old }
	b.mu.Unlock()
	if _, err := c.Policy(bg, protocol.PolicyRequest{User: user.User}); !errors.Is(err, core.Indeterminate) {
		t.Errorf("a replayed answer: %v", err)
	}
	b.mu.Lock()
	b.down, b.up = nil, func(r *wire.SealedRequest) { r.Sealed[30] ^= 1 }
	b.mu.Unlock()
	if _, err := c.Fetch(bg, protocol.FetchRequest{User: user.User, Gen: pol.Gen, Attempt: newID()}); !errors.Is(err, core.Unavailable) {
		t.Errorf("requests changed on the way: %v", err)
	}
	b.mu.Lock()
	b.up = nil
	b.mu.Unlock()
	st, err := c.Status(bg, protocol.StatusRequest{User: user.User})
	s.must(err)
	if st.Tries.Used != 1 {
		t.Errorf("%d tries counted, want the one that was not changed", st.Tries.Used)
	}
}

// A recorded request sent again, later and from another connection, gets the
// same answer and counts nothing.
// req: K-7.1-D1, K-5.3-04b
func TestReplayIsHarmless(t *testing.T) {
	t.Parallel()
	s := newStation(t, nil)
	b := newBalancer(t, s)
	p := b.phone(s)
	_, user := p.initialise(protocol.ModePlain)
	c := p.dial()
	pol, err := c.Policy(bg, protocol.PolicyRequest{User: user.User})
	s.must(err)
	_, err = c.Fetch(bg, protocol.FetchRequest{User: user.User, Gen: pol.Gen, Attempt: newID()})
	s.must(err)
	recorded := append([]*wire.SealedRequest(nil), b.requests...)
	before, err := c.Status(bg, protocol.StatusRequest{User: user.User})
	s.must(err)
	thief := wire.NewSessionClient(s.bare())
	for range 3 {
		for _, r := range recorded {
			_, err := thief.Call(bg, r)
			s.must(err)
		}
	}
	after, err := c.Status(bg, protocol.StatusRequest{User: user.User})
	s.must(err)
	if after.Tries.Used != before.Tries.Used || after.Tries.Seq != before.Tries.Seq || after.Gen != before.Gen || after.Pending {
		t.Errorf("replays changed the record:\nbefore %+v\nafter  %+v", before, after)
	}
}

// Another identity key, another authority, a name not in the certificate and
// TLS 1.2 are refused, each with a text that says what to do.
// req: K-5.3-04b
func TestWrongServer(t *testing.T) {
	t.Parallel()
	s, other := newStation(t, nil), newStation(t, nil)
	p := s.phone()
	check := func(name string, edit func(*api.Peer), want core.Code, text string) {
		t.Helper()
		peer := p.peer
		edit(&peer)
		c, err := api.Dial(bg, peer)
		if !errors.Is(err, want) || c != nil {
			t.Errorf("%s: %v, want %s", name, err, want)
			return
		}
		if !bytes.Contains([]byte(err.Error()), []byte(text)) {
			t.Errorf("%s: %q does not say %q", name, err, text)
		}
	}
	check("identity", func(q *api.Peer) { q.Server = other.id }, core.Refused, "identity key that was pinned")
	check("realm", func(q *api.Peer) { q.Realm = other.realm }, core.Refused, "identity key that was pinned")
	check("authority", func(q *api.Peer) { q.CA = string(other.cert.CAPEM) }, core.Unavailable, "not from the authority that was pinned")
	check("system's roots", func(q *api.Peer) { q.CA = api.SystemCA }, core.Unavailable, "not from the authority that was pinned")
	check("another SS-CC", func(q *api.Peer) { q.Endpoint, q.CA = other.addr, string(other.cert.CAPEM) }, core.Refused, "refuses this device")
	check("no authority", func(q *api.Peer) { q.CA = "" }, core.Invalid, "want 1 to 8")
	check("nobody there", func(q *api.Peer) { q.Endpoint = "127.0.0.1:1" }, core.Unavailable, "no connection")
	check("no device key", func(q *api.Peer) { q.Key = nil }, core.Usage, "key")

	both := p.peer // an authority is replaced with overlap
	both.CA = string(other.cert.CAPEM) + string(s.cert.CAPEM)
	c, err := api.Dial(bg, both)
	s.must(err)
	s.must(c.Close())
	_, err = tls.Dial("tcp", s.addr, &tls.Config{RootCAs: roots(t, s), ServerName: "127.0.0.1", MaxVersion: tls.VersionTLS12})
	if err == nil {
		t.Error("TLS 1.2 was accepted")
	}
	named := p.peer
	named.Endpoint = "ip6-localhost.invalid:1"
	if _, err := api.Dial(bg, named); !errors.Is(err, core.Unavailable) {
		t.Errorf("a name that does not resolve: %v", err)
	}
	cfg, err := api.ServerTLS(s.cert.CertPEM, s.cert.KeyPEM.Bytes())
	s.must(err)
	cfg.MinVersion = tls.VersionTLS12
	if _, err := api.NewServer(api.ServerConfig{Core: s.core, TLS: cfg}); !errors.Is(err, core.Usage) {
		t.Errorf("a server with TLS 1.2: %v", err)
	}
}

// A session that ended, or of an SS-CC that was restarted, is made anew without
// the caller's knowing; a sealed SS-CC is State.
func TestSessionsAreRenewed(t *testing.T) {
	t.Parallel()
	s := newStation(t, nil)
	b := newBalancer(t, s)
	p := b.phone(s)
	_, user := p.initialise(protocol.ModePlain)
	c := p.dial()
	ask := func(when string) {
		t.Helper()
		if _, err := c.Status(bg, protocol.StatusRequest{User: user.User}); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
	}
	ask("at first")
	n := b.exchange.Load()
	ask("again")
	if b.exchange.Load() != n {
		t.Error("a second call in a session made a key exchange")
	}
	s.clock.move(2 * time.Hour) // SS-CC's: the terminal does not know that its session ended
	ask("after the session ended")
	if b.exchange.Load() != n+1 {
		t.Errorf("%d key exchanges for the ended session, want 1", b.exchange.Load()-n)
	}
	s.restart()
	ask("after a restart")

	direct := p.peer
	direct.Endpoint = s.addr
	d, err := api.Dial(bg, direct)
	s.must(err)
	defer d.Close()
	s.restart()
	if _, err := d.Status(bg, protocol.StatusRequest{User: user.User}); err != nil {
		t.Errorf("in mid-session after a restart: %v", err)
	}
	s.admin()
	tok, err := s.core.Login(bg, password())
	s.must(err)
	s.must(s.core.Seal(bg, tok))
	if _, err := d.Status(bg, protocol.StatusRequest{User: user.User}); !errors.Is(err, core.State) {
		t.Errorf("sealed: %v, want state", err)
	}
	if _, err := api.Dial(bg, direct); !errors.Is(err, core.State) {
		t.Errorf("dial while sealed: %v, want state", err)
	}
	s.down()
	if _, err := d.Status(bg, protocol.StatusRequest{User: user.User}); !errors.Is(err, core.Unavailable) {
		t.Errorf("stopped: %v, want unavailable", err)
	}
}

// A balancer that swaps the granted ticket gets no loop and no Auth.
func TestSwappedTicket(t *testing.T) {
	t.Parallel()
	s := newStation(t, nil)
	b := newBalancer(t, s)
	p := b.phone(s)
	b.grant = func(g *wire.Grant) { g.Ticket[len(g.Ticket)-1] ^= 1 }
	c := p.dial()
	_, err := c.Status(bg, protocol.StatusRequest{User: newID()})
	if !errors.Is(err, core.Unavailable) || errors.Is(err, core.Auth) {
		t.Errorf("got %v, want unavailable", err)
	}
	if n := b.exchange.Load(); n != 2 {
		t.Errorf("%d key exchanges, want 2", n)
	}
}

// A reply that is lost after SS-CC applied the request is Indeterminate; the
// same attempt then gets its answer and was counted once.
// req: K-7.1-D1
func TestLostReply(t *testing.T) {
	t.Parallel()
	s := newStation(t, nil)
	x := newCutter(t, s)
	p := s.phone()
	_, user := p.initialise(protocol.ModePlain)
	p.peer.Endpoint = x.addr
	c := p.dial()
	pol, err := c.Policy(bg, protocol.PolicyRequest{User: user.User})
	s.must(err)
	try := protocol.FetchRequest{User: user.User, Gen: pol.Gen, Attempt: newID()}
	x.cut.Store(true)
	if _, err := c.Fetch(bg, try); !errors.Is(err, core.Indeterminate) {
		t.Fatalf("lost reply: %v, want indeterminate", err)
	}
	x.cut.Store(false)
	a, err := c.Fetch(bg, try)
	s.must(err)
	b, err := c.Fetch(bg, try)
	s.must(err)
	if a.Seq != 1 || b.Seq != 1 || a.Tries.Used != 1 || !bytes.Equal(a.Sealed, b.Sealed) {
		t.Errorf("first seq %d used %d, then seq %d: want one try, one answer", a.Seq, a.Tries.Used, b.Seq)
	}
}

// Unknown app, device or user, a revoked device and another app's user are
// refused alike: same code, same text, same number of bytes.
// req: X-25, K-5.3-04b, K-7.2-04, K-17.1-10
func TestUniformRefusals(t *testing.T) {
	t.Parallel()
	s := newStation(t, nil)
	b := newBalancer(t, s)
	p, foreign := b.phone(s), s.phone()
	_, user := p.initialise(protocol.ModePlain)
	_, other := foreign.initialise(protocol.ModePlain)

	texts := map[string]bool{}
	dial := func(edit func(*api.Peer)) {
		t.Helper()
		q := p.peer
		q.Endpoint = s.addr
		edit(&q)
		_, err := api.Dial(bg, q)
		if !errors.Is(err, core.Refused) {
			t.Fatalf("dial: %v, want refused", err)
		}
		texts[err.Error()] = true
	}
	revoked := s.phone()
	s.desk(func(a *api.Admin) { s.must(a.RevokeDevice(bg, revoked.peer.App, revoked.peer.Device)) })
	dial(func(q *api.Peer) { q.App = newID() })
	dial(func(q *api.Peer) { q.Device = newID() })
	dial(func(q *api.Peer) { q.App, q.Device, q.Key = revoked.peer.App, revoked.peer.Device, revoked.key })
	if len(texts) != 1 {
		t.Errorf("the refusals of a key exchange differ: %v", texts)
	}

	c := p.dial()
	sizes, words := map[int]bool{}, map[string]bool{}
	for _, id := range []protocol.ID{newID(), other.User} {
		for _, call := range []func() error{
			func() error { _, err := c.Policy(bg, protocol.PolicyRequest{User: id}); return err },
			func() error { _, err := c.Policy(bg, protocol.PolicyRequest{User: id}); return err },
		} {
			err := call()
			if !errors.Is(err, core.Refused) {
				t.Fatalf("another's user: %v, want refused", err)
			}
			words[err.Error()] = true
			sizes[len(b.answers[len(b.answers)-1].GetSealed())] = true
		}
	}
	if len(words) != 1 || len(sizes) != 1 {
		t.Errorf("refusals differ: %v, sizes %v", words, sizes)
	}
	s.desk(func(a *api.Admin) { s.must(a.RevokeApp(bg, p.peer.App)) })
	if _, err := c.Policy(bg, protocol.PolicyRequest{User: user.User}); !errors.Is(err, core.Refused) {
		t.Errorf("a revoked app in mid-session: %v, want refused", err)
	}
}
