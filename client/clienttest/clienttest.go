// Package clienttest gives the tests of an app a real SS-CC: core/sscc over the
// memory backend, served by escrow/api on a loopback port of this process. An
// app is tested against it from Provision on; nothing is faked but durability.
//
//	e := clienttest.New(t)
//	binding, err := client.Provision(ctx, dir, e.Ticket(t))
//
// The administrator's password costs little and rates are high, so that tests
// are quick; neither can be had outside tests.
package clienttest

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sscc"
	"github.com/keposs/keposs/escrow/api"
	"github.com/keposs/keposs/escrow/memory"
	"github.com/keposs/keposs/kdf"
)

// An Escrow is an SS-CC with one app. It ends with the test it was made for.
type Escrow struct {
	Core     *sscc.Server
	App      protocol.ID
	Endpoint string // host:port
	CA       string // PEM
	password *secret.Buffer
}

// New starts an SS-CC for t, changed from what is cheap for tests. What fails
// ends t.
func New(t testing.TB, change ...func(*sscc.Config)) *Escrow {
	t.Helper()
	store := memory.New()
	if err := store.Configure(context.Background(), core.Config{}); err != nil {
		t.Fatal(err)
	}
	return Over(t, store, change...)
}

// Over is New over a configured backend without an SS-CC, which it closes.
func Over(t testing.TB, store core.Backend, change ...func(*sscc.Config)) *Escrow {
	t.Helper()
	ctx := context.Background()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	slow, err := kdf.Builtin(kdf.Default)
	check(err)
	limits := sscc.DefaultLimits()
	limits.TriesPerMinute, limits.PolicyRate, limits.DeviceRate = 250, 1000, 1000
	e := &Escrow{password: secret.Copy([]byte("correct horse battery"))}
	cfg := sscc.Config{
		Backend: store, OPRF: sscc.NewOPRF(), KDF: slow, Limits: limits,
		KDFParams: core.NewParams(kdf.Default, core.Param{Key: "i", N: 1024}),
	}
	for _, f := range change {
		f(&cfg)
	}
	e.Core, err = sscc.New(cfg)
	check(err)
	check(e.Core.Start(ctx))
	again := e.password.Clone()
	defer again.Wipe()
	check(e.Core.SetPassword(ctx, e.password, again))
	check(e.Core.Unseal(ctx, e.password))
	end := e.serve(t)
	t.Cleanup(func() {
		end()
		check(e.Core.Close())
		check(store.Close())
		e.password.Wipe()
	})
	e.As(t, func(tok sscc.Token) error {
		e.App, err = e.Core.CreateApp(ctx, tok, sscc.AppRequest{Name: "test"})
		return err
	})
	return e
}

// serve listens on a loopback port; end drains and stops.
func (e *Escrow) serve(t testing.TB) (end func()) {
	t.Helper()
	cert, err := api.NewCertificate([]string{"127.0.0.1"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	defer cert.KeyPEM.Wipe()
	tls, err := api.ServerTLS(cert.CertPEM, cert.KeyPEM.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	srv, err := api.NewServer(api.ServerConfig{Core: e.Core, TLS: tls})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	e.Endpoint, e.CA = l.Addr().String(), string(cert.CAPEM)
	return func() {
		stop, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = srv.Shutdown(stop) // what is cut off belongs to a test that is over
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	}
}

// As runs do in a session of the administrator.
func (e *Escrow) As(t testing.TB, do func(sscc.Token) error) {
	t.Helper()
	tok, err := e.Core.Login(context.Background(), e.password)
	if err != nil {
		t.Fatal(err)
	}
	if err := do(tok); err != nil {
		t.Fatal(err)
	}
	if err := e.Core.Logout(context.Background(), tok); err != nil {
		t.Fatal(err)
	}
}

// Ticket returns a new ticket file for one terminal of the app.
func (e *Escrow) Ticket(t testing.TB) []byte {
	t.Helper()
	var out []byte
	e.As(t, func(tok sscc.Token) error {
		k, err := e.Core.NewTicket(context.Background(), tok, e.App)
		if err != nil {
			return err
		}
		defer k.Key.Wipe()
		f := &api.Ticket{ID: k.ID, App: k.App, Realm: k.Realm, Endpoint: e.Endpoint, CA: e.CA, Identity: k.Identity, Key: k.Key, Expires: k.Expires}
		out = f.Marshal().Bytes()
		return nil
	})
	return out
}

// Unlock is the administrator's order for a user that is LOCKED.
func (e *Escrow) Unlock(t testing.TB, user protocol.ID) {
	t.Helper()
	e.As(t, func(tok sscc.Token) error { return e.Core.UnlockUser(context.Background(), tok, e.App, user) })
}
