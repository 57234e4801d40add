package bench

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"net"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sscc"
	"github.com/keposs/keposs/escrow/api"
)

// Methods of the server under measurement. Each is asked with the number of a
// record and answers with a blob's length of bytes.
const service = "keposs.lab.Store"

var paths = map[string]string{kEcho: "/" + service + "/Echo", kFetch: "/" + service + "/Fetch", kHop: "/" + service + "/Hop", kPlugin: "/" + service + "/Plugin", kEngine: "/" + service + "/Engine"}

type answer func(ctx context.Context, in *wrapperspb.BytesValue) (*wrapperspb.BytesValue, error)

func method(name string, f answer) grpc.MethodDesc {
	return grpc.MethodDesc{MethodName: name, Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		in := &wrapperspb.BytesValue{}
		if err := decode(in); err != nil {
			return nil, err
		}
		return f(ctx, in)
	}}
}

// same answers what a record would hold and looks nothing up.
func same() answer {
	blob := noise(blobSize+hotSize, 3)
	return func(context.Context, *wrapperspb.BytesValue) (*wrapperspb.BytesValue, error) {
		return &wrapperspb.BytesValue{Value: blob}, nil
	}
}

// fetch answers a record of a backend, hot and blob.
func fetch(b core.Backend) answer {
	b = sscc.Coalesce(b) // how SS-CC asks it
	return looked(func(ctx context.Context, k core.Key) ([]byte, error) {
		recs, err := b.GetMany(ctx, []core.Key{k}, core.ReadOpts{})
		if err != nil || recs[0].Version == 0 {
			return nil, err
		}
		return append(recs[0].Hot, recs[0].Blob...), nil
	})
}

// looked answers the record whose number is asked for.
func looked(up func(context.Context, core.Key) ([]byte, error)) answer {
	return func(ctx context.Context, in *wrapperspb.BytesValue) (*wrapperspb.BytesValue, error) {
		n := uint64(0)
		if len(in.GetValue()) == 8 {
			n = binary.BigEndian.Uint64(in.GetValue())
		}
		b, err := up(ctx, key(int(n%stored)))
		if err == nil && len(b) != hotSize+blobSize {
			err = core.Errorf(core.Internal, "lab escrow", "a record that was made is absent")
		}
		return &wrapperspb.BytesValue{Value: b}, err
	}
}

// serve starts the server, the echo behind it and the driver in front of it.
func (s *stage) serve(ctx context.Context, dir string) error {
	cert, err := api.NewCertificate([]string{"127.0.0.1", "localhost"}, time.Hour)
	if err != nil {
		return err
	}
	defer cert.KeyPEM.Wipe()
	cfg, err := api.ServerTLS(cert.CertPEM, cert.KeyPEM.Bytes())
	if err != nil {
		return err
	}
	far, err := startChild(ctx, "echo")
	if err != nil {
		return err
	}
	s.children = append(s.children, far)
	socket := filepath.Join(dir, "echo.sock")
	// A key of this run's own certificate, to this run's own process.
	if err := far.say(map[string]string{"socket": socket, "cert": string(cert.CertPEM), "key": string(cert.KeyPEM.Bytes())}, &struct{}{}); err != nil {
		return err
	}
	client, err := clientTLS(string(cert.CAPEM))
	if err != nil {
		return err
	}
	if s.echo, err = grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(credentials.NewTLS(client))); err != nil {
		return core.Errorf(core.Environment, "lab escrow", "%w", err)
	}
	hop := func(ctx context.Context, in *wrapperspb.BytesValue) (*wrapperspb.BytesValue, error) {
		out := &wrapperspb.BytesValue{}
		return out, s.echo.Invoke(ctx, paths[kEcho], in, out)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return core.Errorf(core.Environment, "lab escrow", "%w", err)
	}
	s.srv = grpc.NewServer(grpc.Creds(credentials.NewTLS(cfg)))
	methods := []grpc.MethodDesc{method("Echo", same()), method("Fetch", fetch(s.inside)), method("Hop", hop), method("Plugin", fetch(s.outside))}
	if s.limit != nil && s.limit.read != nil {
		methods = append(methods, method("Engine", looked(s.limit.read)))
	}
	s.srv.RegisterService(&grpc.ServiceDesc{ServiceName: service, HandlerType: (*any)(nil), Methods: methods}, nil)
	go func() { _ = s.srv.Serve(l) }() // ends with Stop
	if s.driver, err = startChild(ctx, "drive"); err != nil {
		return err
	}
	s.children = append(s.children, s.driver)
	return s.driver.say(map[string]string{"address": l.Addr().String(), "ca": string(cert.CAPEM)}, &struct{}{})
}

// serveEcho is the third process: an echo behind TLS on a private socket.
func serveEcho(ctx context.Context, socket, cert, key string) (*grpc.Server, error) {
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		return nil, core.Errorf(core.Invalid, "lab escrow", "%w", err)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", socket)
	if err != nil {
		return nil, core.Errorf(core.Environment, "lab escrow", "%w", err)
	}
	srv := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13})))
	srv.RegisterService(&grpc.ServiceDesc{ServiceName: service, HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{method("Echo", same())}}, nil)
	go func() { _ = srv.Serve(l) }() // ends with Stop
	return srv, nil
}
