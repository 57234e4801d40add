package api_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/keposs/keposs/escrow/api/internal/wire"
)

// balancer ends TLS before an SS-CC, as an operator's load balancer may, with
// a certificate of the same authority: it sees everything the outer shell
// hides, records it, and changes it when asked.
type balancer struct {
	wire.UnimplementedSessionServer
	to   wire.SessionClient
	addr string

	mu       sync.Mutex
	requests []*wire.SealedRequest
	answers  []*wire.SealedAnswer
	seen     []byte // every byte of every message, both ways
	up       func(*wire.SealedRequest)
	down     func(*wire.SealedAnswer)
	grant    func(*wire.Grant)
	exchange atomic.Int32
}

func newBalancer(t testing.TB, s *station) *balancer {
	t.Helper()
	cert := pair(t, s)
	b := &balancer{}
	b.move(s)
	srv := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&cert)))
	wire.RegisterSessionServer(srv, b)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	b.addr = l.Addr().String()
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(srv.Stop)
	return b
}

// move sends what follows to another replica.
func (b *balancer) move(s *station) {
	to := wire.NewSessionClient(s.bare())
	b.mu.Lock()
	defer b.mu.Unlock()
	b.to = to
}

// phone is an enrolled device whose calls pass the balancer.
func (b *balancer) phone(s *station) *phone {
	p := s.phone()
	p.peer.Endpoint = b.addr
	return p
}

func (b *balancer) note(parts ...[]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range parts {
		b.seen = append(b.seen, p...)
	}
}

func (b *balancer) Exchange(in grpc.BidiStreamingServer[wire.ExchangeUp, wire.ExchangeDown]) error {
	b.exchange.Add(1)
	out, err := b.to.Exchange(in.Context())
	if err != nil {
		return err
	}
	for {
		up, err := in.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		b.note(up.GetHello().GetR(), up.GetConfirm().GetS())
		if err := out.Send(up); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		down, err := out.Recv()
		if err != nil {
			return err
		}
		if g := down.GetGrant(); g != nil && b.grant != nil {
			b.grant(g)
		}
		b.note(down.GetOffer().GetR(), down.GetOffer().GetS(), down.GetGrant().GetTicket())
		if err := in.Send(down); err != nil {
			return err
		}
	}
}

func (b *balancer) Call(ctx context.Context, r *wire.SealedRequest) (*wire.SealedAnswer, error) {
	b.note(r.GetTicket(), r.GetSealed())
	b.mu.Lock()
	b.requests = append(b.requests, r)
	up, down, to := b.up, b.down, b.to
	b.mu.Unlock()
	if up != nil {
		up(r)
	}
	a, err := to.Call(ctx, r)
	if err != nil {
		return nil, err
	}
	b.note(a.GetSealed())
	b.mu.Lock()
	b.answers = append(b.answers, a)
	b.mu.Unlock()
	if down != nil {
		down(a)
	}
	return a, nil
}

// cutter forwards TCP and can cut each connection after the request went
// through and before its answer returns.
type cutter struct {
	addr string
	cut  atomic.Bool
	sent atomic.Int64 // bytes that came from the terminal while cut is set
}

// aRequest is less than any sealed request and more than what HTTP/2 says by
// itself, such as the answer to a ping.
const aRequest = 150

// Write counts what went through.
func (c *cutter) Write(b []byte) (int, error) {
	if c.cut.Load() {
		c.sent.Add(int64(len(b)))
	}
	return len(b), nil
}

func newCutter(t testing.TB, s *station) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	t.Cleanup(func() { _ = l.Close() })
	c := &cutter{addr: l.Addr().String()}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go c.join(in, s.addr)
		}
	}()
	return c
}

func (c *cutter) join(in net.Conn, to string) {
	defer in.Close()
	out, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer out.Close()
	go func() { _, _ = io.Copy(io.MultiWriter(c, out), in); _ = out.Close() }()
	buf := make([]byte, 32<<10)
	for {
		n, err := out.Read(buf)
		if err != nil || c.cut.Load() && c.sent.Load() >= aRequest {
			return
		}
		if _, err := in.Write(buf[:n]); err != nil {
			return
		}
	}
}
