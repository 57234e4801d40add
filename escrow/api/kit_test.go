package api_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/core/sscc"
	"github.com/keposs/keposs/escrow/api"
	"github.com/keposs/keposs/escrow/memory"
	"github.com/keposs/keposs/kdf/pbkdf2sm3"
)

var bg = context.Background()

const adminPassword = "correct horse battery"

func password() *secret.Buffer { return secret.Copy([]byte(adminPassword)) }

var cost = core.NewParams(pbkdf2sm3.Name, core.Param{Key: "i", N: pbkdf2sm3.MinIterations})

// clock is a settable clock.
type clock struct {
	mu  sync.Mutex
	add time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.add)
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add += d
}

// station is one SS-CC: a real server on a loopback port over a memory store.
type station struct {
	t     testing.TB
	store core.Backend
	clock *clock
	cert  api.Certificate
	core  *sscc.Server
	srv   *api.Server
	addr  string
	log   *slog.Logger
	realm protocol.ID
	id    sm.PublicKey
	ended chan error
}

func newStation(t testing.TB, log *slog.Logger) *station {
	t.Helper()
	return newStationOver(t, memory.New(), log)
}

// newStationOver is one over a given store, not yet configured.
func newStationOver(t testing.TB, store core.Backend, log *slog.Logger) *station {
	t.Helper()
	s := &station{t: t, store: store, clock: &clock{}, log: log}
	s.must(s.store.Configure(bg, core.Config{}))
	var err error
	s.cert, err = api.NewCertificate([]string{"127.0.0.1", "localhost"}, time.Hour)
	s.must(err)
	s.boot()
	s.must(s.core.SetPassword(bg, password(), password()))
	s.must(s.core.Unseal(bg, password()))
	var ok bool
	s.realm, s.id, ok, err = s.core.Realm(bg)
	if !ok || err != nil {
		t.Fatal("no realm: ", err)
	}
	s.listen("127.0.0.1:0")
	t.Cleanup(func() { s.down(); _ = s.store.Close() })
	return s
}

func (s *station) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// boot makes the SS-CC over the store.
func (s *station) boot() {
	s.t.Helper()
	var err error
	s.core, err = sscc.New(sscc.Config{Backend: s.store, KDF: pbkdf2sm3.New(), KDFParams: cost, OPRF: sscc.NewOPRF(), Clock: s.clock.now, Logger: s.log,
		Limits: sscc.Limits{LoginDelay: time.Microsecond, AppRate: 1e9, DeviceRate: 1e9, PolicyRate: 1e9, TriesPerMinute: 255}})
	s.must(err)
	s.must(s.core.Start(bg))
}

func (s *station) listen(addr string) {
	s.t.Helper()
	cfg, err := api.ServerTLS(s.cert.CertPEM, s.cert.KeyPEM.Bytes())
	s.must(err)
	s.srv, err = api.NewServer(api.ServerConfig{Core: s.core, TLS: cfg, Logger: s.log, Drain: 2 * time.Second, AddressRate: 1e9})
	s.must(err)
	l, err := net.Listen("tcp", addr)
	s.must(err)
	s.addr, s.ended = l.Addr().String(), make(chan error, 1)
	go func(srv *api.Server, ended chan error) { ended <- srv.Serve(l) }(s.srv, s.ended)
}

// down stops the server; SS-CC forgets its keys.
func (s *station) down() {
	if s.srv == nil {
		return
	}
	_ = s.srv.Shutdown(bg)
	if err := <-s.ended; err != nil {
		s.t.Errorf("serve: %v", err)
	}
	_ = s.core.Close()
	s.srv = nil
}

// restart is down and up again at the same address over the same store.
func (s *station) restart() {
	s.t.Helper()
	s.down()
	s.boot()
	s.must(s.core.Unseal(bg, password()))
	s.listen(s.addr)
}

// admin is a logged-in administrator.
func (s *station) admin() *api.Admin {
	s.t.Helper()
	a, err := api.DialAdmin(bg, s.addr, string(s.cert.CAPEM))
	s.must(err)
	s.t.Cleanup(func() { _ = a.Close() })
	s.must(a.Login(bg, password()))
	return a
}

// desk runs fn with an administrator who logs out afterwards.
func (s *station) desk(fn func(a *api.Admin)) {
	s.t.Helper()
	a := s.admin()
	fn(a)
	s.must(a.Logout(bg))
}

// ticket makes an app and a ticket for it.
func (s *station) ticket() (k *api.Ticket) {
	s.t.Helper()
	s.desk(func(a *api.Admin) {
		app, err := a.CreateApp(bg, sscc.AppRequest{Name: "bank"})
		s.must(err)
		k, err = a.NewTicket(bg, app)
		s.must(err)
		k.Endpoint, k.CA = s.addr, string(s.cert.CAPEM)
		file := k.Marshal()
		defer file.Wipe()
		k, err = api.ParseTicket(file.Bytes())
		s.must(err)
	})
	return k
}

// phone is an enrolled device.
type phone struct {
	s    *station
	t    testing.TB
	key  *sm.PrivateKey
	peer api.Peer
	dir  string
	// wrap, if set, stands between the module and its Conn.
	wrap func(mstcc.Escrow) mstcc.Escrow

	mu    sync.Mutex
	steps []mstcc.Progress
}

func newID() (id protocol.ID) {
	_, _ = rand.Read(id[:])
	return id
}

func newKey(t testing.TB) *sm.PrivateKey {
	t.Helper()
	k, err := sm.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (s *station) phone() *phone {
	s.t.Helper()
	k := s.ticket()
	p := &phone{s: s, t: s.t, key: newKey(s.t), dir: s.t.TempDir()}
	p.peer = api.Peer{Endpoint: k.Endpoint, CA: k.CA, Realm: k.Realm, App: k.App, Device: newID(), Server: k.Identity, Key: p.key}
	s.must(api.Enrol(bg, k, p.peer.Device, p.key.Public()))
	return p
}

func (p *phone) dial() *api.Conn {
	p.t.Helper()
	c, err := api.Dial(bg, p.peer)
	p.s.must(err)
	p.t.Cleanup(func() { _ = c.Close() })
	return c
}

// module is the terminal component over this package's Conn.
func (p *phone) module(mode protocol.Mode) *mstcc.Module {
	p.t.Helper()
	keys, err := mstcc.NewFileKeyStore(p.dir + "/keys")
	p.s.must(err)
	prof := mstcc.DefaultProfile(mode)
	prof.SlowFloor = mstcc.MinSlowFloor
	m, err := mstcc.Open(bg, mstcc.Config{
		Dir: p.dir + "/user", Keys: keys, Device: p.key.Public(), Profile: prof, OPRF: mstcc.NewOPRF(),
		Binding: &mstcc.Binding{App: p.peer.App, Device: p.peer.Device, Realm: p.peer.Realm, Server: p.peer.Server},
		Source:  func(context.Context, string) (core.Source, bool, error) { return word{}, true, nil },
		KDF:     func(context.Context, string) (core.KDF, bool, error) { return pbkdf2sm3.New(), true, nil },
		Dial: func(ctx context.Context) (mstcc.Escrow, error) {
			c, err := api.Dial(ctx, p.peer)
			if err != nil || p.wrap == nil {
				return c, err
			}
			return p.wrap(c), nil
		},
		Progress: func(e mstcc.Progress) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.steps = append(p.steps, e)
		},
	})
	p.s.must(err)
	p.t.Cleanup(func() { _ = m.Close() })
	return m
}

// initialise binds a user whose PIN is "right".
func (p *phone) initialise(mode protocol.Mode) (*mstcc.Module, *mstcc.InitResult) {
	p.t.Helper()
	m := p.module(mode)
	tree, err := policy.Parse("pin")
	p.s.must(err)
	r, err := m.Initialize(bg, mstcc.InitRequest{Tree: tree, KDF: cost}, types("right"))
	p.s.must(err)
	return m, r
}

// types answers every prompt with the same text.
func types(s string) core.Prompter {
	return core.PrompterFunc(func(_ context.Context, p core.Prompt) (core.Sample, error) {
		return core.NewSample(p.Kinds[0], []byte(s)), nil
	})
}

// word is a knowledge source: the secret is what was typed.
type word struct{}

var strength = core.Strength{PerTry: 13000, Offline: 13000, Evidence: "counted"}

func (word) Describe(context.Context) (core.SourceInfo, error) {
	return core.SourceInfo{Name: "pin", Kind: core.KindKnowledge, Format: 1, Formats: []uint32{1}, Samples: []core.SampleKind{core.SamplePIN}, Strength: strength}, nil
}
func (word) Configure(context.Context, core.Config) error { return nil }
func (word) Enroll(ctx context.Context, r core.EnrollRequest, p core.Prompter) (core.Enrollment, error) {
	s, err := p.Ask(ctx, core.Prompt{Kinds: []core.SampleKind{core.SamplePIN}, Label: r.Label, Purpose: core.PurposeEnroll})
	if err != nil {
		return core.Enrollment{}, err
	}
	return core.Enrollment{Secret: s.Data, Helper: []byte{1}, Format: 1, Strength: strength}, nil
}
func (word) Capture(ctx context.Context, r core.CaptureRequest, p core.Prompter) (core.Capture, error) {
	s, err := p.Ask(ctx, core.Prompt{Kinds: []core.SampleKind{core.SamplePIN}, Label: r.Label, Purpose: core.PurposeRecover})
	if err != nil {
		return nil, err
	}
	return typed{s.Data}, nil
}

type typed struct{ s *secret.Buffer }

func (t typed) Recover(context.Context, core.RecoverRequest) (*secret.Buffer, error) {
	return t.s.Clone(), nil
}
func (t typed) Close() error { t.s.Wipe(); return nil }
