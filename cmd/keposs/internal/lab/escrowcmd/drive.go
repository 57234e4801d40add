package escrowcmd

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/escrow/api"
)

// A plan is what the driving process is told in its first line. It names
// folders and holds no secret.
type plan struct {
	Folders []string `json:"folders"`
	Users   []string `json:"users"`
	Echo    string   `json:"echo"`
	CA      string   `json:"ca"`
}

// Rounds the driver is told by one word a line.
const (
	roundEcho     = "echo"
	roundEchoEach = "echo_each" // a connection for each terminal, messages as long as a try's
	roundEvaluate = "evaluate"
	roundProof    = "evaluate_dleq"
)

// drive is the terminals' side in a process of its own: it makes the rounds it
// is told and answers each with the word ok.
func drive(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	var p plan
	if !lines.Scan() {
		return core.Errorf(core.Usage, "lab escrow", "no plan")
	}
	if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
		return core.Errorf(core.Invalid, "lab escrow", "plan: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(p.CA))
	dial := func() (*grpc.ClientConn, error) {
		cc, err := grpc.NewClient(p.Echo, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13})))
		if err != nil {
			return nil, core.Errorf(core.Internal, "lab escrow", "%w", err)
		}
		return cc, nil
	}
	var ts []*guesser
	for i, f := range p.Folders {
		g, err := newGuesser(ctx, f, p.Users[i])
		if err != nil {
			return err
		}
		defer g.conn.Close()
		if g.echo, err = dial(); err != nil {
			return err
		}
		defer g.echo.Close()
		ts = append(ts, g)
	}
	cc, err := dial()
	if err != nil {
		return err
	}
	defer cc.Close()
	fmt.Fprintln(out, "ok")
	for lines.Scan() {
		word := lines.Text()
		errs := make(chan error, len(ts))
		var wg sync.WaitGroup
		for _, g := range ts {
			wg.Go(func() {
				for range limit {
					var err error
					switch word {
					case roundEcho:
						err = echo(ctx, cc, echoMethod, shortBytes)
					case roundEchoEach:
						err = echo(ctx, g.echo, echoLongMethod, askedBytes)
					default:
						err = g.guess(ctx, word == roundProof)
					}
					if err != nil {
						errs <- err
						return
					}
				}
			})
		}
		wg.Wait()
		close(errs)
		if err := <-errs; err != nil {
			return err
		}
		fmt.Fprintln(out, "ok")
	}
	return nil
}

// shortBytes is how much the plain echo carries.
const shortBytes = 330

// echo is one call of the bare server.
func echo(ctx context.Context, cc *grpc.ClientConn, method string, n int) error {
	return cc.Invoke(ctx, method, &wrapperspb.BytesValue{Value: make([]byte, n)}, &wrapperspb.BytesValue{})
}

// A guesser makes counted tries with a terminal's device key.
type guesser struct {
	conn  *api.Conn
	echo  *grpc.ClientConn // of its own, to the bare server
	user  protocol.ID
	gen   uint64
	point protocol.Point
	seen  protocol.Seen
}

func newGuesser(ctx context.Context, folder, user string) (*guesser, error) {
	var b client.Binding
	raw, err := os.ReadFile(filepath.Join(folder, "binding.json"))
	if err == nil {
		err = json.Unmarshal(raw, &b)
	}
	if err != nil {
		return nil, core.Errorf(core.Environment, "lab escrow", "%w", err)
	}
	keys, err := mstcc.NewFileKeyStore(filepath.Join(folder, "keys"))
	if err != nil {
		return nil, err
	}
	d, err := keys.Load(ctx, mstcc.DeviceKeyName(1))
	if err != nil {
		return nil, err
	}
	defer d.Wipe()
	key, err := sm.NewPrivateKey(d.Bytes())
	if err != nil {
		return nil, err
	}
	server, err := sm.ParsePEM([]byte(b.ServerKey))
	if err != nil {
		return nil, err
	}
	g := &guesser{point: key.Public().Compressed()}
	if g.user, err = protocol.ParseID(user); err != nil {
		return nil, err
	}
	g.conn, err = api.Dial(ctx, api.Peer{Endpoint: b.Endpoint, CA: b.CA, Realm: b.Realm, App: b.App, Device: b.Device, Server: server, Key: key})
	if err != nil {
		return nil, err
	}
	pol, err := g.conn.Policy(ctx, protocol.PolicyRequest{User: g.user})
	g.gen = pol.Gen
	return g, err
}

// guess is one counted Evaluate of a fixed point: SS-CC cannot tell.
func (g *guesser) guess(ctx context.Context, proof bool) error {
	var attempt protocol.ID
	if _, err := io.ReadFull(sm.Rand(), attempt[:]); err != nil {
		return core.Errorf(core.Internal, "lab escrow", "%w", err)
	}
	a, err := g.conn.Evaluate(ctx, protocol.EvaluateRequest{User: g.user, Gen: g.gen, Attempt: attempt, Blinded: g.point, WantProof: proof, Seen: g.seen})
	g.seen = protocol.Seen{Seq: a.Tries.Seq, Head: a.Tries.Head}
	return err
}
