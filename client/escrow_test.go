package client

import (
	"context"
	"crypto/rand"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sscc"
	"github.com/keposs/keposs/escrow/api"
	"github.com/keposs/keposs/escrow/memory"
	"github.com/keposs/keposs/kdf"
)

// escrow is a real SS-CC inside the test: core/sscc over the memory backend,
// served by escrow/api on a loopback port.
type escrow struct {
	core     *sscc.Server
	app      ID
	endpoint string
	ca       string
	password *secret.Buffer
}

func newEscrow(t testing.TB) *escrow {
	t.Helper()
	ctx := context.Background()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	store := memory.New()
	check(store.Configure(ctx, core.Config{}))
	slow, err := kdf.Builtin(DefaultKDF)
	check(err)
	limits := sscc.DefaultLimits()
	limits.TriesPerMinute, limits.PolicyRate, limits.DeviceRate = 250, 1000, 1000
	e := &escrow{password: secret.Copy([]byte("correct horse battery"))}
	e.core, err = sscc.New(sscc.Config{Backend: store, OPRF: sscc.NewOPRF(), KDF: slow, KDFParams: core.NewParams(DefaultKDF, core.Param{Key: "i", N: 1024}), Limits: limits})
	check(err)
	check(e.core.Start(ctx))
	again := e.password.Clone()
	defer again.Wipe()
	check(e.core.SetPassword(ctx, e.password, again))
	check(e.core.Unseal(ctx, e.password))
	cert, err := api.NewCertificate([]string{"127.0.0.1"}, time.Hour)
	check(err)
	tls, err := api.ServerTLS(cert.CertPEM, cert.KeyPEM.Bytes())
	check(err)
	srv, err := api.NewServer(api.ServerConfig{Core: e.core, TLS: tls})
	check(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	e.endpoint, e.ca = l.Addr().String(), string(cert.CAPEM)
	t.Cleanup(func() {
		stop, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		_ = srv.Shutdown(stop)
		<-ended
		check(e.core.Close())
		check(store.Close())
	})
	e.as(t, func(tok sscc.Token) error {
		e.app, err = e.core.CreateApp(ctx, tok, sscc.AppRequest{Name: "test"})
		return err
	})
	return e
}

// as runs do in a session of the administrator.
func (e *escrow) as(t testing.TB, do func(sscc.Token) error) {
	t.Helper()
	tok, err := e.core.Login(context.Background(), e.password)
	if err != nil {
		t.Fatal(err)
	}
	if err := do(tok); err != nil {
		t.Fatal(err)
	}
	if err := e.core.Logout(context.Background(), tok); err != nil {
		t.Fatal(err)
	}
}

// ticket is a new enrolment ticket's file.
func (e *escrow) ticket(t testing.TB) []byte {
	t.Helper()
	var out []byte
	e.as(t, func(tok sscc.Token) error {
		k, err := e.core.NewTicket(context.Background(), tok, e.app)
		if err != nil {
			return err
		}
		defer k.Key.Wipe()
		f := &api.Ticket{ID: k.ID, App: k.App, Realm: k.Realm, Endpoint: e.endpoint, CA: e.ca, Identity: k.Identity, Key: k.Key, Expires: k.Expires}
		out = f.Marshal().Bytes()
		return nil
	})
	return out
}

// person types the same PIN and gesture always; wrong is another PIN.
type person struct{ pin, gesture string }

var (
	right = person{"271828", "1-6-7-2-9-4"}
	wrong = person{"314159", "1-6-7-2-9-4"}
)

func (p person) Ask(_ context.Context, q Prompt) (Sample, error) {
	if q.Label == "gesture" {
		return NewSample(SamplePattern, []byte(p.gesture)), nil
	}
	return NewSample(SamplePIN, []byte(p.pin)), nil
}

// cheapProfile is the default with the lowest cost a profile may ask.
func cheapProfile() Profile {
	p := DefaultProfile()
	p.SlowFloor = 1024
	return p
}

// provisioned returns a terminal's folder bound to e.
func (e *escrow) provisioned(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "terminal")
	if _, err := Provision(context.Background(), dir, e.ticket(t)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// opened returns a client of dir answered by p.
func opened(t testing.TB, dir string, p Prompter, change ...func(*Options)) *Client {
	t.Helper()
	o := Options{Dir: dir, Prompter: p, Profile: cheapProfile()}
	for _, f := range change {
		f(&o)
	}
	c, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// initialised returns a client with a user of the default policy.
func initialised(t testing.TB, change ...func(*Options)) (*escrow, *Client, *Initialized) {
	t.Helper()
	e := newEscrow(t)
	c := opened(t, e.provisioned(t), right, change...)
	u, err := c.Initialize(context.Background(), InitRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return e, c, u
}

func randomID(t testing.TB) (id ID) {
	t.Helper()
	if _, err := rand.Read(id[:]); err != nil {
		t.Fatal(err)
	}
	return id
}
