package glue

import (
	"context"
	"errors"
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
)

// Local serves impl in this process over memory: the glue with no process
// around it, for tests and benchmarks. closer ends both sides and, for a
// backend, closes it.
func Local(ctx context.Context, impl any, more ...grpc.DialOption) (h *Host, closer func() error, err error) {
	l := bufconn.Listen(1 << 16)
	s := grpc.NewServer(ServerOptions()...)
	end, err := Register(s, impl)
	if err != nil {
		return nil, nil, err
	}
	go func() { _ = s.Serve(l) }()
	opts := append(append(DialOptions(), more...),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	conn, err := grpc.NewClient("passthrough:local", opts...)
	if err != nil {
		s.Stop()
		return nil, nil, err
	}
	stop := sync.OnceValue(func() error {
		err := conn.Close()
		s.Stop()
		return errors.Join(err, end())
	})
	h, err = Attach(ctx, conn, Info{Kind: kindOf(impl)})
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	return h, stop, nil
}
