// Package sscctest checks that SS-CC keeps its counter invariants over a given
// backend: what core/sscc's own tests show over a map, shown over the engine
// that is going to hold the records. It is run beside the conformance kit:
//
//	func TestInvariants(t *testing.T) {
//		sscctest.Run(t, func(t *testing.T) core.Backend { … a fresh, configured backend … })
//	}
package sscctest

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/oprf"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/core/sscc"
)

var bg = context.Background()

// cheap is a KDF for tests: one HMAC. Its name tells it is not for use.
type cheap struct{}

func (cheap) Describe(context.Context) (core.KDFInfo, error) {
	return core.KDFInfo{Name: "cheap-test", Default: core.NewParams("cheap-test", core.Param{Key: "i", N: 1024})}, nil
}
func (cheap) Validate(core.Params, core.Limits) error { return nil }
func (cheap) Derive(_ context.Context, _ core.Params, sec, salt, out []byte) error {
	h := sm.HMAC(salt, sec)
	copy(out, sm.KDF(h[:], len(out)))
	return nil
}
func (cheap) Calibrate(context.Context, time.Duration, core.Limits) (core.Params, error) {
	return core.NewParams("cheap-test", core.Param{Key: "i", N: 1024}), nil
}

// test is what a site needs of *testing.T; identifiers has one of its own.
type test interface {
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// site is one realm with an app and the replicas that serve it.
type site struct {
	t        test
	b        core.Backend
	replicas []*sscc.Server
	realm    protocol.ID
	app      protocol.ID
	limit    uint8
}

func adminPassword() *secret.Buffer { return secret.Copy([]byte("correct horse battery")) }

// newSite sets an SS-CC up over b and unseals n replicas of it.
func newSite(t test, b core.Backend, n int, limit uint8) *site {
	t.Helper()
	s := &site{t: t, b: b, limit: limit}
	first := s.start()
	s.must(first.SetPassword(bg, adminPassword(), adminPassword()))
	s.must(first.Unseal(bg, adminPassword()))
	s.replicas = append(s.replicas, first)
	for len(s.replicas) < n {
		s.replicas = append(s.replicas, s.unsealed())
	}
	id, _, _, err := first.Realm(bg)
	s.must(err)
	s.realm = id
	s.admin(func(tok sscc.Token) {
		s.app, err = first.CreateApp(bg, tok, sscc.AppRequest{Name: "invariants", Limit: limit})
		s.must(err)
	})
	return s
}

func (s *site) start() *sscc.Server {
	s.t.Helper()
	x, err := sscc.New(sscc.Config{Backend: s.b, KDF: cheap{}, OPRF: sscc.NewOPRF(),
		Limits: sscc.Limits{LoginDelay: time.Microsecond, AppRate: 1e9, DeviceRate: 1e9, PolicyRate: 1e9, TriesPerMinute: 255, RotateGrace: time.Millisecond}})
	s.must(err)
	s.must(x.Start(bg))
	s.t.Cleanup(func() { _ = x.Close() })
	return x
}

func (s *site) unsealed() *sscc.Server {
	s.t.Helper()
	x := s.start()
	s.must(x.Unseal(bg, adminPassword()))
	return x
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) want(err error, code core.Code) {
	s.t.Helper()
	if core.CodeOf(err) != code {
		s.t.Fatalf("got %v (%s), want %s", err, core.CodeOf(err), code)
	}
}

// admin runs fn in an administrator's session at the first replica.
func (s *site) admin(fn func(tok sscc.Token)) {
	s.t.Helper()
	tok, err := s.replicas[0].Login(bg, adminPassword())
	s.must(err)
	fn(tok)
	s.must(s.replicas[0].Logout(bg, tok))
}

func newID() (id protocol.ID) {
	_, _ = rand.Read(id[:])
	return id
}

func (s *site) key() *sm.PrivateKey {
	k, err := sm.GenerateKey(nil)
	s.must(err)
	return k
}

func (s *site) point() protocol.Point { return s.key().Public().Compressed() }

// user is a committed user on its own device; SS-CC sees of it what it sees of
// a real one.
type user struct {
	*site
	id   protocol.ID
	peer protocol.Peer
	mode protocol.Mode
	conf *sm.PrivateKey
}

// enrol makes a device of the site's app.
func (s *site) enrol() protocol.Peer {
	s.t.Helper()
	peer := protocol.Peer{App: s.app, Device: newID(), Key: s.point()}
	s.admin(func(tok sscc.Token) {
		et, err := s.replicas[0].NewTicket(bg, tok, s.app)
		s.must(err)
		c, err := s.replicas[0].EnrolChallenge(bg, et.ID)
		s.must(err)
		q := protocol.EnrolRequest{Ticket: et.ID, App: s.app, Device: peer.Device, Key: peer.Key, Challenge: c}
		q.MAC = sm.HMAC(et.Key.Bytes(), protocol.EnrolMessage(q.App, q.Device, q.Key, c))
		_, err = s.replicas[0].Enrol(bg, q)
		s.must(err)
	})
	return peer
}

// stage makes an initialisation's requests.
func (s *site) stage(peer protocol.Peer, mode protocol.Mode) (*user, protocol.PrepareRequest, protocol.CommitRequest) {
	s.t.Helper()
	u := &user{site: s, peer: peer, mode: mode, conf: s.key()}
	pubs := protocol.Pubs{Sign: s.point(), Enc: s.point()}
	tree, err := policy.Parse("pin")
	s.must(err)
	p := &mf.Policy{Suite: mf.SuiteSM, KeyID: newID(), MKGen: 1, Epoch: 1, Root: mf.RootDirect, Tree: tree,
		KDF:     core.NewParams("cheap-test", core.Param{Key: "i", N: 1024}),
		Escrow:  mf.Escrow{Mode: mode, T: 1, N: 1, Realms: []mf.Realm{{ID: s.realm, Index: 1}}},
		Pubs:    sm.SM3(pubs.Encode()),
		Factors: []mf.Factor{{ID: "pin", Kind: core.KindKnowledge, Source: "pin", Format: 1, Rev: 1, PerTry: 13000, Offline: 13000, Helper: []byte{1}}},
		Sets:    []mf.Set{{Members: 1}},
		Anchor:  []mf.Holder{{ID: "device", Kind: mf.HolderDevice, Rev: 1, P: peer.Key}},
		PPol:    s.point(), PConf: u.conf.Public().Compressed()}
	q := protocol.PrepareRequest{Init: true, NewGen: 1, Idem: newID(), Sealed: make([]byte, 300), Pubs: pubs}
	if mode == protocol.ModeHardened {
		k, err := oprf.GenerateKey(nil)
		s.must(err)
		pub := protocol.Point(k.PublicKey())
		p.Escrow.OPRF, p.Escrow.Realms[0].K, q.OPRFKey = mf.OPRFSM2, &pub, k.Bytes().Bytes()
	}
	q.Policy = mf.EncodePolicy(p)
	sig := u.sign(protocol.CommitMessage(protocol.Commit{Realm: s.realm, App: s.app, Idem: q.Idem, NewGen: 1, Policy: sm.SM3(q.Policy),
		Sealed: sm.SM3(q.Sealed), Pubs: p.Pubs, OPRFKey: sm.SM3(q.OPRFKey), Device: peer.Key}))
	return u, q, protocol.CommitRequest{Idem: q.Idem, Proof: sig}
}

func (u *user) sign(msg []byte) protocol.Sig {
	sig, err := u.conf.Sign(nil, msg, []byte(protocol.ConfirmID))
	u.must(err)
	return sig
}

// user commits a user on a new device.
func (s *site) user(mode protocol.Mode) *user {
	s.t.Helper()
	u, q, c := s.stage(s.enrol(), mode)
	_, err := s.replicas[0].Prepare(bg, u.peer, q)
	s.must(err)
	ans, err := s.replicas[0].Commit(bg, u.peer, c)
	s.must(err)
	u.id = ans.User
	return u
}

// try makes one counted try at a replica. blinded is used in hardened mode.
func (u *user) try(at int, attempt protocol.ID, blinded protocol.Point) (protocol.Tries, uint32, error) {
	s := u.replicas[at%len(u.replicas)]
	if u.mode == protocol.ModePlain {
		a, err := s.Fetch(bg, u.peer, protocol.FetchRequest{User: u.id, Gen: 1, Attempt: attempt})
		return a.Tries, a.Seq, err
	}
	a, err := s.Evaluate(bg, u.peer, protocol.EvaluateRequest{User: u.id, Gen: 1, Attempt: attempt, Blinded: blinded})
	return a.Tries, a.Seq, err
}

func (u *user) status(at int) protocol.Tries {
	u.t.Helper()
	a, err := u.replicas[at%len(u.replicas)].Status(bg, u.peer, protocol.StatusRequest{User: u.id})
	u.must(err)
	return a.Tries
}

func (u *user) confirm(at int, held []protocol.HeldTry) (protocol.Tries, error) {
	var es []protocol.SeqTag
	for _, h := range held {
		es = append(es, protocol.SeqTag{Seq: h.Seq, Tag: h.Tag})
	}
	a, err := u.replicas[at%len(u.replicas)].Confirm(bg, u.peer, protocol.ConfirmRequest{User: u.id, Gen: 1, Entries: es,
		Sig: u.sign(protocol.ConfirmMessage(u.realm, u.app, u.id, 1, es))})
	return a.Tries, err
}
