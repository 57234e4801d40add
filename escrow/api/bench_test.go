package api_test

import (
	"context"
	"crypto/tls"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/escrow/api"
	"github.com/keposs/keposs/escrow/api/internal/wire"
)

// echo is gRPC over the same TLS with nothing behind it: the floor.
type echo struct {
	wire.UnimplementedSessionServer
}

func (echo) Call(_ context.Context, r *wire.SealedRequest) (*wire.SealedAnswer, error) {
	return &wire.SealedAnswer{Sealed: r.GetSealed()}, nil
}

// BenchmarkCall compares one sealed Status call with a bare gRPC echo of the
// same size over TLS. -cpu 1 gives the sum of both sides' CPU.
func BenchmarkCall(b *testing.B) {
	s := newStation(b, nil)
	b.Run("echo", func(b *testing.B) {
		cert := pair(b, s)
		srv := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&cert)))
		wire.RegisterSessionServer(srv, echo{})
		l, err := net.Listen("tcp", "127.0.0.1:0")
		s.must(err)
		go func() { _ = srv.Serve(l) }()
		defer srv.Stop()
		cc, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots(b, s), ServerName: "127.0.0.1"})))
		s.must(err)
		defer cc.Close()
		c := wire.NewSessionClient(cc)
		q := &wire.SealedRequest{Ticket: make([]byte, 222), Sealed: make([]byte, 110)}
		for b.Loop() {
			if _, err := c.Call(bg, q); err != nil {
				b.Fatal(err)
			}
		}
	})
	p := s.phone()
	_, user := p.initialise(protocol.ModeHardened)
	c := p.dial()
	for _, call := range []struct {
		name string
		do   func() error
	}{
		{"status", func() error { _, err := c.Status(bg, protocol.StatusRequest{User: user.User}); return err }},
		{"policy", func() error { _, err := c.Policy(bg, protocol.PolicyRequest{User: user.User}); return err }},
	} {
		b.Run(call.name, func(b *testing.B) {
			for b.Loop() {
				if err := call.do(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("evaluate again", func(b *testing.B) { // one attempt repeated: all but the durable count
		pol, err := c.Policy(bg, protocol.PolicyRequest{User: user.User})
		s.must(err)
		e := newKey(b).Public().Compressed()
		q := protocol.EvaluateRequest{User: user.User, Gen: pol.Gen, Attempt: newID(), Blinded: e}
		for b.Loop() {
			if _, err := c.Evaluate(bg, q); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("key exchange", func(b *testing.B) { // TLS handshake included
		for b.Loop() {
			d, err := api.Dial(bg, p.peer)
			s.must(err)
			_ = d.Close()
		}
	})
}
