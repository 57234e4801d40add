package api

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/stats"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/api/internal/channel"
)

// callTimeout bounds a call whose context has no deadline.
const callTimeout = 30 * time.Second

// Bounds of gRPC messages: what is sealed, with its ticket.
const (
	maxRequest = channel.MaxRequest + 4<<10
	maxAnswer  = channel.MaxAnswer + 4<<10
)

// maxAdminAnswer bounds what the administrator's desk answers.
const maxAdminAnswer = 1 << 20

// A link is one gRPC connection over TLS that is made anew after a failure, so
// that a call never waits out gRPC's backoff. Safe for concurrent use.
type link struct {
	endpoint string
	options  []grpc.DialOption

	mu     sync.Mutex
	cc     *grpc.ClientConn
	closed bool
}

func newLink(endpoint, ca string, most int) (*link, error) {
	cfg, err := clientTLS(endpoint, ca)
	if err != nil {
		return nil, err
	}
	return &link{endpoint: endpoint, options: []grpc.DialOption{
		grpc.WithTransportCredentials(credentials.NewTLS(cfg)),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(), // repeating is the caller's: it knows the ids
		grpc.WithStatsHandler(sentTracker{}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(most), grpc.MaxCallSendMsgSize(maxRequest)),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: 5 * time.Second}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithUserAgent("keposs"),
		experimental.WithBufferPool(newPool()),
		grpc.WithStaticStreamWindowSize(streamWindow), grpc.WithStaticConnWindowSize(connWindow),
	}}, nil
}

// conn returns the connection; one that failed is replaced.
func (l *link) conn() (*grpc.ClientConn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, core.Errorf(core.Closed, "api", "the connection was closed")
	}
	if l.cc != nil && l.cc.GetState() == connectivity.TransientFailure {
		_ = l.cc.Close()
		l.cc = nil
	}
	if l.cc == nil {
		cc, err := grpc.NewClient("dns:///"+l.endpoint, l.options...)
		if err != nil {
			return nil, core.Errorf(core.Invalid, "api: dial", "%s: %w", l.endpoint, err)
		}
		l.cc = cc
	}
	return l.cc, nil
}

func (l *link) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.cc == nil {
		l.closed = true
		return nil
	}
	l.closed = true
	if err := l.cc.Close(); err != nil {
		return core.Errorf(core.Internal, "api: close", "%w", err)
	}
	return nil
}

// do runs one RPC under op and gives its error the code a caller can act on.
func (l *link) do(ctx context.Context, op string, rpc func(ctx context.Context, cc *grpc.ClientConn) error) error {
	cc, err := l.conn()
	if err != nil {
		return err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTimeout)
		defer cancel()
	}
	mark := &sentMark{}
	if err = rpc(context.WithValue(ctx, sentKey{}, mark), cc); err == nil {
		return nil
	}
	if e, ok := err.(*core.Error); ok { // the rpc's own check of what came back
		return e
	}
	return callError(op, err, mark.sent.Load(), l.endpoint)
}

// sentTracker notes when a request was handed to the transport. Until then a
// failed call was certainly not applied.
type sentTracker struct{}

type sentKey struct{}

type sentMark struct{ sent atomic.Bool }

func (sentTracker) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (sentTracker) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.OutPayload); !ok {
		return
	}
	if m, ok := ctx.Value(sentKey{}).(*sentMark); ok {
		m.sent.Store(true)
	}
}

func (sentTracker) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (sentTracker) HandleConn(context.Context, stats.ConnStats)                       {}
