package thief

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"crypto/rand"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/core/sscc"
	"github.com/keposs/keposs/escrow/api"
	"github.com/keposs/keposs/escrow/badger"
	"github.com/keposs/keposs/kdf"
)

// A site is the installation under attack.
type site struct {
	dir      string
	password *secret.Buffer
	cert     api.Certificate
	endpoint string // host:port, kept over a restart
	center   *center
	srv      *api.Server
	ended    chan error
	app      protocol.ID
	users    map[protocol.Mode]protocol.ID
}

// A center is SS-CC's core over a database folder.
type center struct {
	store core.Backend
	*sscc.Server
}

func newSite(dir string) *site {
	return &site{dir: dir, endpoint: "127.0.0.1:0", users: map[protocol.Mode]protocol.ID{}}
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) terminal(m protocol.Mode) string { return s.path("terminal-" + m.String()) }

// Names of the database and of its stolen copy.
const (
	database = "database"
	stolen   = "stolen"
)

// openCenter runs SS-CC over a database folder: SEALED, or INIT when new.
func openCenter(ctx context.Context, dir string, o sscc.OPRF) (_ *center, err error) {
	c := &center{store: badger.New()}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	if err := c.store.Configure(ctx, core.Config{Values: map[string]string{"dir": dir}}); err != nil {
		return nil, err
	}
	slow, err := kdf.Builtin(kdf.Default)
	if err != nil {
		return nil, err
	}
	if c.Server, err = sscc.New(sscc.Config{
		Backend: c.store, OPRF: o, KDF: slow, KDFParams: core.NewParams(kdf.Default, core.Param{Key: "i", N: cost}),
	}); err != nil {
		return nil, err
	}
	return c, c.Start(ctx)
}

func (c *center) close() (err error) {
	if c.Server != nil {
		err = c.Server.Close()
	}
	return errors.Join(err, c.store.Close())
}

// setUp makes SS-CC, an app and the two users, and steals the database.
func (s *site) setUp(ctx context.Context, space int) (err error) {
	const op = "lab thief"
	if s.password, err = secret.Read(sm.Rand(), 16); err != nil {
		return core.Errorf(core.Internal, op, "%w", err)
	}
	if s.cert, err = api.NewCertificate([]string{"127.0.0.1"}, time.Hour); err != nil {
		return err
	}
	if s.center, err = openCenter(ctx, s.path(database), sscc.NewOPRF()); err != nil {
		return err
	}
	again := s.password.Clone()
	defer again.Wipe()
	if err := s.center.SetPassword(ctx, s.password, again); err != nil {
		return err
	}
	if err := s.serve(ctx); err != nil {
		return err
	}
	if err := s.as(ctx, func(tok sscc.Token) (err error) {
		s.app, err = s.center.CreateApp(ctx, tok, sscc.AppRequest{Name: "thief"})
		return err
	}); err != nil {
		return err
	}
	for _, m := range []protocol.Mode{protocol.ModePlain, protocol.ModeHardened} {
		if err := s.makeUser(ctx, m, space); err != nil {
			return err
		}
	}
	if err := s.down(); err != nil { // a copy of an open database may be torn
		return err
	}
	if err := os.CopyFS(s.path(stolen), os.DirFS(s.path(database))); err != nil {
		return core.Errorf(core.Environment, op, "copy the database: %w", err)
	}
	if s.center, err = openCenter(ctx, s.path(database), sscc.NewOPRF()); err != nil {
		return err
	}
	return s.serve(ctx)
}

// serve unseals and listens.
func (s *site) serve(ctx context.Context) error {
	const op = "lab thief"
	if err := s.center.Unseal(ctx, s.password); err != nil {
		return err
	}
	cfg, err := api.ServerTLS(s.cert.CertPEM, s.cert.KeyPEM.Bytes())
	if err != nil {
		return err
	}
	srv, err := api.NewServer(api.ServerConfig{Core: s.center.Server, TLS: cfg, Drain: time.Second})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", s.endpoint)
	if err != nil {
		return core.Errorf(core.Environment, op, "%w", err)
	}
	s.srv, s.endpoint, s.ended = srv, l.Addr().String(), make(chan error, 1)
	go func() { s.ended <- srv.Serve(l) }()
	return nil
}

// down stops SS-CC and lets the database go.
func (s *site) down() error {
	var errs []error
	if s.srv != nil {
		stop, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		errs = append(errs, s.srv.Shutdown(stop), <-s.ended)
		s.srv = nil
	}
	if s.center != nil {
		errs = append(errs, s.center.close())
		s.center = nil
	}
	return errors.Join(errs...)
}

func (s *site) close() error {
	err := s.down()
	s.password.Wipe()
	s.cert.KeyPEM.Wipe()
	return err
}

// as runs do in a session of the administrator.
func (s *site) as(ctx context.Context, do func(sscc.Token) error) error {
	tok, err := s.center.Login(ctx, s.password)
	if err != nil {
		return err
	}
	defer secret.Zero(tok[:])
	return errors.Join(do(tok), s.center.Logout(ctx, tok))
}

// makeUser provisions a terminal and initialises a user whose only factor is a
// 4-digit PIN below space.
func (s *site) makeUser(ctx context.Context, m protocol.Mode, space int) (err error) {
	var ticket *secret.Buffer
	if err := s.as(ctx, func(tok sscc.Token) error {
		k, err := s.center.NewTicket(ctx, tok, s.app)
		if err != nil {
			return err
		}
		defer k.Key.Wipe()
		t := &api.Ticket{ID: k.ID, App: k.App, Realm: k.Realm, Endpoint: s.endpoint, CA: string(s.cert.CAPEM), Identity: k.Identity, Key: k.Key, Expires: k.Expires}
		ticket = t.Marshal()
		return nil
	}); err != nil {
		return err
	}
	defer ticket.Wipe()
	if _, err := client.Provision(ctx, s.terminal(m), ticket.Bytes()); err != nil {
		return err
	}
	profile := client.DefaultProfile()
	profile.Mode, profile.SlowFloor = m, cost
	who := &victim{space: space}
	defer who.wipe()
	c, err := client.Open(ctx, client.Options{Dir: s.terminal(m), Prompter: who, Profile: profile, InProcess: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	u, err := c.Initialize(ctx, client.InitRequest{Policy: label, Params: map[string]map[string]string{label: {"min": "4", "max": "4"}}})
	if err != nil {
		return err
	}
	s.users[m] = u.ID
	_, err = c.Sign(ctx, client.SignRequest{Message: []byte("before the theft")})
	return err
}

// label names the one factor.
const label = "pin"

// A victim chooses a PIN at random that the rules allow, and remembers it.
type victim struct {
	space int
	pin   *secret.Buffer
}

// Ask implements core.Prompter. A first entry at enrolment draws: the source
// asks again when the PIN is a weak one.
func (v *victim) Ask(_ context.Context, q core.Prompt) (core.Sample, error) {
	if q.Purpose == core.PurposeEnroll {
		n, err := rand.Int(io.Reader(sm.Rand()), big.NewInt(int64(v.space)))
		if err != nil {
			return core.Sample{}, core.Errorf(core.Internal, "lab thief", "draw a PIN: %w", err)
		}
		v.wipe()
		v.pin = secret.Copy(fmt.Appendf(nil, "%04d", n))
	}
	return core.NewSample(core.SamplePIN, append([]byte(nil), v.pin.Bytes()...)), nil
}

func (v *victim) wipe() { v.pin.Wipe() }
