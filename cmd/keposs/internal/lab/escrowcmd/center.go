package escrowcmd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

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

// users is how many guess at once, each over a connection of its own; limit is
// how often before the administrator unlocks.
const (
	users = 32
	limit = 10
)

// A center is SS-CC over Badger in this process, with a bare echo beside it.
type center struct {
	store    core.Backend
	core     *sscc.Server
	srv      *api.Server
	echo     *grpc.Server
	ended    chan error
	password *secret.Buffer
	app      protocol.ID
	ids      []protocol.ID
	plan     plan
}

// newCenter starts everything in dir and makes the users.
func newCenter(ctx context.Context, dir string) (c *center, err error) {
	c = &center{store: badger.New(), ended: make(chan error, 2)}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	if err := c.store.Configure(ctx, core.Config{Values: map[string]string{"dir": filepath.Join(dir, "database")}}); err != nil {
		return c, err
	}
	slow, err := kdf.Builtin(kdf.Default)
	if err != nil {
		return c, err
	}
	l := sscc.DefaultLimits()
	l.TriesPerMinute, l.AppRate, l.DeviceRate, l.PolicyRate = 255, 1e9, 1e9, 1e9
	if c.core, err = sscc.New(sscc.Config{Backend: c.store, OPRF: sscc.NewOPRF(), KDF: slow, Limits: l,
		KDFParams: core.NewParams(kdf.Default, core.Param{Key: "i", N: 1024})}); err != nil {
		return c, err
	}
	if err := c.core.Start(ctx); err != nil {
		return c, err
	}
	if c.password, err = secret.Read(sm.Rand(), 16); err != nil {
		return c, core.Errorf(core.Internal, "lab escrow", "%w", err)
	}
	again := c.password.Clone()
	defer again.Wipe()
	if err := c.core.SetPassword(ctx, c.password, again); err != nil {
		return c, err
	}
	if err := c.core.Unseal(ctx, c.password); err != nil {
		return c, err
	}
	return c, c.serve(ctx, dir)
}

func (c *center) serve(ctx context.Context, dir string) error {
	cert, err := api.NewCertificate([]string{"127.0.0.1"}, time.Hour)
	if err != nil {
		return err
	}
	defer cert.KeyPEM.Wipe()
	cfg, err := api.ServerTLS(cert.CertPEM, cert.KeyPEM.Bytes())
	if err != nil {
		return err
	}
	if c.srv, err = api.NewServer(api.ServerConfig{Core: c.core, TLS: cfg, Drain: time.Second}); err != nil {
		return err
	}
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return core.Errorf(core.Environment, "lab escrow", "%w", err)
	}
	go func() { c.ended <- c.srv.Serve(front) }()
	bare, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return core.Errorf(core.Environment, "lab escrow", "%w", err)
	}
	c.echo = grpc.NewServer(grpc.Creds(credentials.NewTLS(cfg)))
	c.echo.RegisterService(&echoService, nil)
	go func() { c.ended <- c.echo.Serve(bare) }()
	c.plan = plan{Echo: bare.Addr().String(), CA: string(cert.CAPEM)}
	return c.as(ctx, func(tok sscc.Token) (err error) {
		if c.app, err = c.core.CreateApp(ctx, tok, sscc.AppRequest{Name: "lab", Limit: limit}); err != nil {
			return err
		}
		for i := range users {
			folder := filepath.Join(dir, fmt.Sprintf("terminal-%d", i))
			if err := c.makeUser(ctx, tok, folder, front.Addr().String()); err != nil {
				return err
			}
			c.plan.Folders = append(c.plan.Folders, folder)
		}
		return nil
	})
}

func (c *center) makeUser(ctx context.Context, tok sscc.Token, folder, endpoint string) (err error) {
	k, err := c.core.NewTicket(ctx, tok, c.app)
	if err != nil {
		return err
	}
	defer k.Key.Wipe()
	t := &api.Ticket{ID: k.ID, App: k.App, Realm: k.Realm, Endpoint: endpoint, CA: c.plan.CA, Identity: k.Identity, Key: k.Key, Expires: k.Expires}
	file := t.Marshal()
	defer file.Wipe()
	if _, err := client.Provision(ctx, folder, file.Bytes()); err != nil {
		return err
	}
	p := client.DefaultProfile()
	p.SlowFloor, p.Limit = 1024, limit
	pin := client.PrompterFunc(func(context.Context, client.Prompt) (client.Sample, error) {
		return client.NewSample(client.SamplePIN, []byte("271828")), nil
	})
	m, err := client.Open(ctx, client.Options{Dir: folder, Prompter: pin, Profile: p, InProcess: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	u, err := m.Initialize(ctx, client.InitRequest{Policy: "pin"})
	if err == nil {
		c.ids = append(c.ids, u.ID)
		c.plan.Users = append(c.plan.Users, u.ID.String())
	}
	return err
}

// unlock starts every count anew.
func (c *center) unlock(ctx context.Context) error {
	return c.as(ctx, func(tok sscc.Token) error {
		for _, id := range c.ids {
			if err := c.core.UnlockUser(ctx, tok, c.app, id); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *center) as(ctx context.Context, do func(sscc.Token) error) error {
	tok, err := c.core.Login(ctx, c.password)
	if err != nil {
		return err
	}
	defer secret.Zero(tok[:])
	return errors.Join(do(tok), c.core.Logout(ctx, tok))
}

func (c *center) close() error {
	var errs []error
	if c.echo != nil {
		c.echo.Stop()
	}
	if c.srv != nil {
		stop, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		errs = append(errs, c.srv.Shutdown(stop))
	}
	if c.core != nil {
		errs = append(errs, c.core.Close())
	}
	c.password.Wipe()
	return errors.Join(append(errs, c.store.Close())...)
}
