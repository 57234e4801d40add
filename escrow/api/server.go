package api

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"path"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/net/netutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/experimental"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sscc"
	"github.com/keposs/keposs/escrow/api/internal/wire"
)

// Limits of a server. They protect it from peers that have shown nothing yet;
// what an enrolled device may do is core/sscc's.
const (
	maxConnections  = 4096
	maxStreams      = 256 // calls at once on one connection
	streamWorkers   = 32  // goroutines that serve calls one after the other; more calls at once get one of their own
	maxHeaders      = 8 << 10
	handshakeLimit  = 10 * time.Second // TLS, and the two rounds of a key exchange
	requestLimit    = 30 * time.Second
	streamWindow    = 256 << 10       // what a peer may send ahead of being read
	connWindow      = 1 << 20         // the same for all calls of one connection
	passwordLimit   = 2 * time.Minute // the password's KDF is slow on purpose
	idleLimit       = 15 * time.Minute
	pingAfter       = time.Minute
	pingTimeout     = 20 * time.Second
	peerPingAtLeast = 15 * time.Second
)

// maxRead is where gRPC cuts a message off. Up to there what is too large gets a
// refusal that says so and is written down.
const maxRead = 4 * maxRequest

// DefaultDrain is how long Shutdown waits for calls under way.
const DefaultDrain = 10 * time.Second

// ServerConfig brings in what a Server serves.
type ServerConfig struct {
	Core   *sscc.Server
	TLS    *tls.Config   // of ServerTLS, or the operator's own with TLS 1.3
	Logger *slog.Logger  // nil = silent; sees methods, codes and times, never content
	Drain  time.Duration // 0 = DefaultDrain
	// AddressRate bounds the calls a second of one address; 0 = DefaultAddressRate.
	AddressRate float64
	// Observe hears of every finished call with its code (Unknown = success).
	Observe func(method string, code core.Code, took time.Duration)
}

// A Server serves one SS-CC over gRPC. No other path exists: no reflection, no
// debug endpoint.
type Server struct {
	core  *sscc.Server
	log   *slog.Logger
	drain time.Duration
	from  *addresses
	heard func(method string, code core.Code, took time.Duration)
	grpc  *grpc.Server
	stop  chan struct{} // closed once by Shutdown
}

// NewServer checks c. Errors: Usage, also for TLS that allows less than 1.3.
func NewServer(c ServerConfig) (*Server, error) {
	const op = "api: new server"
	if c.Core == nil || c.TLS == nil {
		return nil, core.Errorf(core.Usage, op, "want an SS-CC and a TLS configuration")
	}
	if c.TLS.MinVersion < tls.VersionTLS13 {
		return nil, core.Errorf(core.Usage, op, "want TLS 1.3 as the lowest version")
	}
	if c.AddressRate < 0 {
		return nil, core.Errorf(core.Usage, op, "a rate of %g calls a second, want more than 0", c.AddressRate)
	}
	if len(c.TLS.Certificates) == 0 && c.TLS.GetCertificate == nil && c.TLS.GetConfigForClient == nil {
		return nil, core.Errorf(core.Usage, op, "want a certificate")
	}
	s := &Server{core: c.Core, log: c.Logger, drain: c.Drain, from: newAddresses(c.AddressRate), heard: c.Observe, stop: make(chan struct{})}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.drain <= 0 {
		s.drain = DefaultDrain
	}
	s.grpc = grpc.NewServer(
		grpc.Creds(credentials.NewTLS(c.TLS.Clone())),
		grpc.MaxRecvMsgSize(maxRead), grpc.MaxSendMsgSize(maxAdminAnswer), grpc.MaxHeaderListSize(maxHeaders),
		grpc.MaxConcurrentStreams(maxStreams), grpc.ConnectionTimeout(handshakeLimit),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: idleLimit, Time: pingAfter, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: peerPingAtLeast, PermitWithoutStream: true}),
		grpc.UnaryInterceptor(s.unary), grpc.StreamInterceptor(s.stream),
		grpc.UnknownServiceHandler(unknown),
		experimental.BufferPool(newPool()),
		grpc.StaticStreamWindowSize(streamWindow), grpc.StaticConnWindowSize(connWindow),
		// Workers keep their grown stacks: 12 us of 105 us CPU a call, both sides.
		// A try waits for the disk while it holds one, so there are many.
		grpc.NumStreamWorkers(uint32(max(streamWorkers, 2*runtime.GOMAXPROCS(0)))),
	)
	wire.RegisterSessionServer(s.grpc, &sessionService{s: s})
	wire.RegisterEnrolmentServer(s.grpc, &enrolService{s: s})
	wire.RegisterInfoServer(s.grpc, &infoService{s: s})
	wire.RegisterAdminServer(s.grpc, &adminService{s: s})
	healthpb.RegisterHealthServer(s.grpc, &healthService{s: s})
	return s, nil
}

// Serve answers on l, which it owns, until Shutdown; then it returns nil.
func (s *Server) Serve(l net.Listener) error {
	err := s.grpc.Serve(netutil.LimitListener(l, maxConnections))
	if err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return core.Errorf(core.Unavailable, "api: serve", "%s: %w", l.Addr(), err)
	}
	return nil
}

// Shutdown takes no new calls, waits for those under way until ctx ends or the
// drain time is over, then cuts the rest; Indeterminate tells that it did.
// It is called once.
func (s *Server) Shutdown(ctx context.Context) error {
	close(s.stop) // health tells NOT_SERVING, watchers leave
	done := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(done)
	}()
	limit := time.NewTimer(s.drain)
	defer limit.Stop()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	case <-limit.C:
	}
	s.grpc.Stop()
	<-done
	return core.Errorf(core.Indeterminate, "api: shutdown", "calls under way were cut")
}

func (s *Server) stopping() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

func unknown(any, grpc.ServerStream) error {
	return core.Errorf(core.Unsupported, "ss-cc", "no such method")
}

// limitOf is the longest a method may take.
func limitOf(method string) time.Duration {
	switch method {
	case wire.Admin_Login_FullMethodName, wire.Admin_Unseal_FullMethodName, wire.Admin_VerifyAudit_FullMethodName:
		return passwordLimit
	}
	return requestLimit
}

func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, h grpc.UnaryHandler) (resp any, err error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, limitOf(info.FullMethod)) // no timer where the terminal's own deadline is sooner
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			resp, err = nil, s.panicked(info.FullMethod)
		}
		err = ours(err)
		s.note(info.FullMethod, err, time.Since(start))
		err = statusOut(err)
	}()
	if err := s.admit(ctx, req, info.FullMethod); err != nil {
		return nil, err
	}
	return h(ctx, req)
}

// admit refuses a call that is too large or comes too often, before anything of
// it is read, and has it written down.
func (s *Server) admit(ctx context.Context, req any, method string) error {
	err := s.from.take(ctx)
	if m, ok := req.(proto.Message); ok && err == nil {
		if n := proto.Size(m); n > maxRequest {
			err = core.Errorf(core.TooLarge, "ss-cc", "a request of %d bytes, at most %d", n, maxRequest)
		}
	}
	if err != nil {
		s.core.NoteRefusal(path.Base(method), core.CodeOf(err))
	}
	return err
}

func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, h grpc.StreamHandler) (err error) {
	start := time.Now()
	defer func() {
		if r := recover(); r != nil {
			err = s.panicked(info.FullMethod)
		}
		err = ours(err)
		s.note(info.FullMethod, err, time.Since(start))
		err = statusOut(err)
	}()
	if err := s.admit(ss.Context(), nil, info.FullMethod); err != nil {
		return err
	}
	return h(srv, ss)
}

// panicked keeps one bad call from ending the others. The panic's value could
// hold a part of the request: only the place is logged.
func (s *Server) panicked(method string) error {
	s.log.Error("panic", "method", method, "stack", string(debug.Stack()))
	return core.Errorf(core.Internal, "ss-cc", "the call failed")
}

// note logs a call without its content. What the operator must act on is an
// error, with its cause, which stays on this side.
func (s *Server) note(method string, err error, took time.Duration) {
	code := core.CodeOf(err)
	if s.heard != nil {
		s.heard(method, code, took)
	}
	switch code {
	case core.Unknown:
		if s.log.Enabled(context.Background(), slog.LevelDebug) { // what is said twice a call is not made up in vain
			s.log.Debug("call", "method", method, "took", took)
		}
	case core.Internal, core.Corrupt, core.Integrity, core.Exhausted, core.Indeterminate:
		s.log.Error("call", "method", method, "code", code.String(), "took", took, "error", err.Error())
	default:
		s.log.Debug("call", "method", method, "code", code.String(), "took", took)
	}
}
