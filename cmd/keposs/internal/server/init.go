package server

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	hclog "github.com/hashicorp/go-hclog"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sscc"
	"github.com/keposs/keposs/core/step"
	"github.com/keposs/keposs/escrow/api"
	"github.com/keposs/keposs/kdf"
	"github.com/keposs/keposs/plugins/image"
)

// certificateLife is how long the certificate made by Init is good.
const certificateLife = 5 * 365 * 24 * time.Hour

// InitOptions tells Init what to write.
type InitOptions struct {
	Listen  string   // "" = DefaultListen
	Hosts   []string // nil = DefaultHosts
	Backend Store    // Name "" = badger
	// Password asks for the administrator's password, confirmed where a person
	// types it; Init wipes it. It is called once, after everything that could
	// refuse the command has been looked at.
	Password func(context.Context) (*secret.Buffer, error)
}

// Realm is realm.json: who this SS-CC is. It is public.
type Realm struct {
	Version  int         `json:"version"`
	Realm    protocol.ID `json:"realm"`
	Identity string      `json:"identity_key"` // PEM
	Created  int64       `json:"created"`      // Unix seconds
}

// Init sets SS-CC up in f: configuration, certificate, database, root key and
// identity under the administrator's password. realm.json is written last; an
// interrupted Init is completed, or starts over, by running it again. State
// when f is set up already.
// req: K-10.1-02, K-10.2-01
func (f Folder) Init(ctx context.Context, o InitOptions) (*Realm, error) {
	const op = "ss-cc init"
	c := &Config{Version: 1, Listen: o.Listen, Hosts: o.Hosts, Backend: o.Backend}
	c.fill()
	if err := c.check(); err != nil {
		return nil, err
	}
	if f.exists() {
		return nil, f.already(op)
	}
	if err := f.make(op); err != nil {
		return nil, err
	}
	unlock, err := f.lock(op)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if f.exists() { // another init was faster
		return nil, f.already(op)
	}
	f.sweep()
	password, err := o.Password(ctx)
	if err != nil {
		return nil, err
	}
	defer password.Wipe()
	step.At("ss-cc.init.start")
	if err := f.writeFiles(op, c); err != nil {
		return nil, err
	}
	step.At("ss-cc.init.files")
	r, err := f.setUp(ctx, c, password)
	if err != nil {
		return nil, err
	}
	step.At("ss-cc.init.password")
	return r, f.writeJSON(op, realmFile, r, 0o644)
}

func (f Folder) already(op string) error {
	return core.Errorf(core.State, op, "SS-CC is already set up in %s", string(f))
}

// writeFiles writes configuration and certificate; what an interrupted run left
// is replaced, since nobody has seen it.
func (f Folder) writeFiles(op string, c *Config) error {
	text, err := c.marshal()
	if err != nil {
		return err
	}
	if err := f.write(op, configFile, text, 0o600); err != nil {
		return err
	}
	cert, err := api.NewCertificate(withLocal(c.Hosts), certificateLife)
	if err != nil {
		return err
	}
	defer cert.KeyPEM.Wipe()
	return errors.Join(
		f.write(op, keyFile, cert.KeyPEM.Bytes(), 0o600),
		f.write(op, certFile, cert.CertPEM, 0o644),
		f.write(op, caFile, cert.CAPEM, 0o644),
	)
}

// withLocal adds loopback: commands on this machine come that way.
func withLocal(hosts []string) []string {
	out := slices.Clone(hosts)
	for _, h := range DefaultHosts {
		if !slices.Contains(out, h) {
			out = append(out, h)
		}
	}
	return out
}

// setUp makes the realm in the database. One that an interrupted run made is
// kept, if password opens it.
func (f Folder) setUp(ctx context.Context, c *Config, password *secret.Buffer) (r *Realm, err error) {
	quiet := slog.New(slog.DiscardHandler)
	st, err := f.openStore(ctx, c, quiet, hclog.Error, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	s, err := f.newCore(c, st, quiet, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.Start(ctx); err != nil {
		return nil, err
	}
	if s.State() == sscc.Init {
		again := password.Clone()
		defer again.Wipe()
		err = s.SetPassword(ctx, password, again)
	} else if err = s.Unseal(ctx, password); errors.Is(err, core.Auth) {
		err = core.Errorf(core.Auth, "ss-cc init", "an interrupted run already set a password, and it is another: give that one, or remove %s and begin again", string(f))
	}
	if err != nil {
		return nil, err
	}
	realm, identity, ok, err := s.Realm(ctx)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, core.Errorf(core.Internal, "ss-cc init", "no realm after set-up")
	}
	return &Realm{Version: 1, Realm: realm, Identity: string(identity.PEM()), Created: time.Now().Unix()}, nil
}

// newCore assembles SS-CC over a configured backend.
func (f Folder) newCore(c *Config, b core.Backend, log *slog.Logger, observe func(string, core.Code, time.Duration)) (*sscc.Server, error) {
	slow, err := kdf.Builtin("pbkdf2sm3")
	if err != nil {
		return nil, err
	}
	vouch, err := f.attestors(c)
	if err != nil {
		return nil, err
	}
	var tests []sscc.SelfTestCase
	for _, t := range image.Tests() {
		tests = append(tests, sscc.SelfTestCase{Name: t.Name, Run: func(context.Context) error { return t.Run() }})
	}
	return sscc.New(sscc.Config{SelfTests: tests, Backend: b, KDF: slow, OPRF: sscc.NewOPRF(), Logger: log, Step: step.At, Heads: sscc.NewFileHeads(f.head(c)), Observe: observe,
		Attestors: vouch, FailClosed: c.FailClosed, Limits: sscc.Limits{AppRate: c.Limits.App, DeviceRate: c.Limits.Device, PolicyRate: c.Limits.Policy, TriesPerMinute: c.Limits.TriesPerMinute}})
}
