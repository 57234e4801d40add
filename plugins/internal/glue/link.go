package glue

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/plugins/internal/seal"
	"github.com/keposs/keposs/plugins/internal/wire"
)

// MaxMessage bounds every message in both directions, in bytes. gRPC's own
// default bounds only what is received.
const MaxMessage = 4 << 20

// budget is what one list of records may take of a message; the rest is for
// framing.
const budget = 3 << 20

// Kinds of plugin, as they stand on the wire.
const (
	KindSource  = "source"
	KindSensor  = "sensor"
	KindKDF     = "kdf"
	KindBackend = "backend"
)

// Info is what a plugin says of itself.
type Info struct{ Kind, Name, Version string }

// ServerOptions are the options of a plugin's gRPC server.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(MaxMessage),
		grpc.MaxSendMsgSize(MaxMessage),
		grpc.UnaryInterceptor(unary),
	}
}

// DialOptions are the options of a host's gRPC connection.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithDefaultCallOptions(
		grpc.MaxCallRecvMsgSize(MaxMessage),
		grpc.MaxCallSendMsgSize(MaxMessage),
	)}
}

// A link seals and opens the secrets of one connection at either end.
type link struct {
	session atomic.Pointer[seal.Session] // nil = plain
	plain   atomic.Bool                  // a plain secret went either way
}

func (l *link) out(context string, b *secret.Buffer) (*wire.Secret, error) {
	if b == nil {
		return nil, nil
	}
	s := l.session.Load()
	if s == nil {
		l.plain.Store(true)
		// A copy: the transport may still read it when the owner wipes.
		return &wire.Secret{Form: &wire.Secret_Plain{Plain: append([]byte(nil), b.Bytes()...)}}, nil
	}
	box, err := s.Seal(context, b.Bytes())
	if err != nil {
		return nil, err
	}
	return &wire.Secret{Form: &wire.Secret_Sealed{Sealed: box}}, nil
}

// in returns the content, owned by the caller; nil for an absent message.
func (l *link) in(context string, m *wire.Secret) (*secret.Buffer, error) {
	switch f := m.GetForm().(type) {
	case nil:
		if m == nil {
			return nil, nil
		}
		return nil, core.Errorf(core.Invalid, "plugin", "%s is neither plain nor sealed", context)
	case *wire.Secret_Sealed:
		s := l.session.Load()
		if s == nil {
			return nil, core.Errorf(core.State, "plugin", "%s is sealed and there is no sealing session", context)
		}
		return s.Open(context, f.Sealed)
	case *wire.Secret_Plain:
		l.plain.Store(true)
		return secret.Own(f.Plain), nil
	default:
		return nil, core.Errorf(core.Unsupported, "plugin", "%s comes in a form this version does not know", context)
	}
}

// required is in for a field that must be there.
func (l *link) required(context string, m *wire.Secret) (*secret.Buffer, error) {
	if m == nil {
		return nil, core.Errorf(core.Invalid, "plugin", "%s is missing", context)
	}
	return l.in(context, m)
}

// A Host is the host's end of one connection.
type Host struct {
	conn grpc.ClientConnInterface
	link link
	lost atomic.Bool
	busy atomic.Int64 // calls and streams under way
	Info Info
}

// Lost reports whether a call found the connection broken. One over a local
// socket does not come back: its process has ended or is about to.
func (h *Host) Lost() bool { return h.lost.Load() }

// Busy is how many calls and streams are under way.
func (h *Host) Busy() int64 { return h.busy.Load() }

// watched notes a broken connection.
type watched struct {
	grpc.ClientConnInterface
	h *Host
}

func (w watched) Invoke(ctx context.Context, method string, in, out any, opts ...grpc.CallOption) error {
	w.h.busy.Add(1)
	defer w.h.busy.Add(-1)
	err := w.ClientConnInterface.Invoke(ctx, method, in, out, opts...)
	w.h.note(err)
	return err
}

func (w watched) NewStream(ctx context.Context, d *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := w.ClientConnInterface.NewStream(ctx, d, method, opts...)
	w.h.note(err)
	if err != nil {
		return nil, err
	}
	w.h.busy.Add(1)
	end := sync.OnceFunc(func() { w.h.busy.Add(-1) })
	context.AfterFunc(ctx, end)
	return stream{s, end}, nil
}

// stream tells when it has ended.
type stream struct {
	grpc.ClientStream
	end func()
}

func (s stream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err != nil {
		s.end()
	}
	return err
}

// note looks for gRPC's own Unavailable; a plugin's has a detail.
func (h *Host) note(err error) {
	if s, ok := status.FromError(err); ok && s.Code() == codes.Unavailable && len(s.Details()) == 0 {
		h.lost.Store(true)
	}
}

// Attach identifies the plugin behind conn and sets up sealing. want names
// kind and, if not empty, name; another one is Integrity. A plugin that cannot
// seal is served in plain, which Sealed tells.
func Attach(ctx context.Context, conn grpc.ClientConnInterface, want Info) (*Host, error) {
	const op = "plugin: attach"
	h := &Host{}
	h.conn = watched{conn, h}
	c := wire.NewControlClient(h.conn)
	d, err := c.Describe(ctx, &wire.DescribeRequest{})
	if err != nil {
		return nil, statusIn(ctx, op, err, reads)
	}
	h.Info = Info{Kind: clean(d.Kind, 32), Name: clean(d.Name, 32), Version: clean(d.Version, 64)}
	if h.Info.Kind != want.Kind {
		return nil, core.Errorf(core.Integrity, op, "the program is a %s plugin, want %s", h.Info.Kind, want.Kind)
	}
	if want.Name != "" && h.Info.Name != want.Name {
		return nil, core.Errorf(core.Integrity, op, "the program is %s %q, want %q", want.Kind, h.Info.Name, want.Name)
	}
	k, err := c.KeyAgreement(ctx, &wire.KeyAgreementRequest{})
	if status.Code(err) == codes.Unimplemented {
		h.link.plain.Store(true)
		return h, nil
	}
	if err != nil {
		return nil, statusIn(ctx, op, err, reads)
	}
	text, finish, err := seal.Offer(nil, k.PublicKey)
	if err != nil {
		return nil, err
	}
	e, err := c.Establish(ctx, &wire.EstablishRequest{Ciphertext: text})
	if err != nil {
		return nil, statusIn(ctx, op, err, reads)
	}
	s, err := finish(e.Confirm)
	if err != nil {
		return nil, err
	}
	h.link.session.Store(s)
	return h, nil
}

// Sealed reports whether the connection seals and no plain secret was seen.
func (h *Host) Sealed() bool { return h.link.session.Load() != nil && !h.link.plain.Load() }

// Close wipes the sealing keys; the connection is its owner's.
func (h *Host) Close() {
	if s := h.link.session.Load(); s != nil {
		s.Close()
	}
}

// control serves the Control service and holds the plugin's end of the link.
type control struct {
	wire.UnimplementedControlServer
	info Info
	link link
	mu   sync.Mutex
	key  *seal.Key
}

func (c *control) Describe(context.Context, *wire.DescribeRequest) (*wire.PluginInfo, error) {
	return &wire.PluginInfo{Kind: c.info.Kind, Name: c.info.Name, Version: c.info.Version}, nil
}

func (c *control) KeyAgreement(context.Context, *wire.KeyAgreementRequest) (*wire.KeyAgreementResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link.session.Load() != nil {
		return nil, core.Errorf(core.State, "plugin: key agreement", "a sealing session exists already")
	}
	if c.key == nil {
		k, err := seal.NewKey(nil)
		if err != nil {
			return nil, err
		}
		c.key = k
	}
	return &wire.KeyAgreementResponse{PublicKey: c.key.Public()}, nil
}

func (c *control) Establish(_ context.Context, r *wire.EstablishRequest) (*wire.EstablishResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.key == nil {
		return nil, core.Errorf(core.State, "plugin: establish", "ask for the key first")
	}
	s, confirm, err := c.key.Accept(r.Ciphertext)
	if err != nil {
		return nil, err
	}
	c.link.session.Store(s)
	return &wire.EstablishResponse{Confirm: confirm}, nil
}

// Register serves impl, which is a core.Source, Sensor, KDF or Backend, on s.
// The returned end closes a backend and wipes the sealing keys.
func Register(s grpc.ServiceRegistrar, impl any) (end func() error, err error) {
	var closer func() error
	c := &control{}
	ctx := context.Background()
	var info Info
	switch v := impl.(type) {
	case core.Source:
		d, derr := v.Describe(ctx)
		info, err = Info{KindSource, d.Name, d.Version}, derr
		wire.RegisterSourceServer(s, &sourceServer{link: &c.link, impl: v})
	case core.Backend:
		d, derr := v.Describe(ctx)
		info, err = Info{KindBackend, d.Name, d.Version}, derr
		wire.RegisterBackendServer(s, &backendServer{link: &c.link, impl: v})
		closer = v.Close
	case core.KDF:
		d, derr := v.Describe(ctx)
		info, err = Info{KindKDF, d.Name, d.Version}, derr
		wire.RegisterKDFServer(s, &kdfServer{link: &c.link, impl: v})
	case core.Sensor:
		d, derr := v.Describe(ctx)
		info, err = Info{KindSensor, d.Name, d.Version}, derr
		wire.RegisterSensorServer(s, &sensorServer{link: &c.link, impl: v})
	default:
		return nil, core.Errorf(core.Usage, "plugins", "%T is neither source, sensor, KDF nor backend", impl)
	}
	if err != nil {
		return nil, err
	}
	c.info = info
	wire.RegisterControlServer(s, c)
	return func() error {
		var cerr error
		if closer != nil {
			cerr = closer()
		}
		if session := c.link.session.Load(); session != nil {
			session.Close()
		}
		return cerr
	}, nil
}

// kindOf names the contract impl fulfils; "" for none.
func kindOf(impl any) string {
	switch impl.(type) {
	case core.Source:
		return KindSource
	case core.Backend:
		return KindBackend
	case core.KDF:
		return KindKDF
	case core.Sensor:
		return KindSensor
	}
	return ""
}

// configOut and configIn carry settings; secrets are sealed one by one.
func (l *link) configOut(c core.Config) (*wire.Config, error) {
	m := &wire.Config{Values: c.Values}
	for name, b := range c.Secrets {
		s, err := l.out(configContext(name), b)
		if err != nil {
			return nil, err
		}
		if s == nil {
			return nil, core.Errorf(core.Invalid, "plugin: configure", "setting %.32q holds no secret", name)
		}
		if m.Secrets == nil {
			m.Secrets = map[string]*wire.Secret{}
		}
		m.Secrets[name] = s
	}
	return m, nil
}

func (l *link) configIn(m *wire.Config) (core.Config, error) {
	c := core.Config{Values: m.Values}
	for name, s := range m.Secrets {
		b, err := l.required(configContext(name), s)
		if err != nil {
			wipeConfig(c)
			return core.Config{}, err
		}
		if c.Secrets == nil {
			c.Secrets = map[string]*secret.Buffer{}
		}
		c.Secrets[name] = b
	}
	return c, nil
}

// configContext binds a sealed setting to its name.
func configContext(name string) string { return "config " + clean(name, 32) }

func wipeConfig(c core.Config) {
	for _, b := range c.Secrets {
		b.Wipe()
	}
}

// asError keeps an absent wire error a nil interface.
func asError(e *core.Error) error {
	if e == nil {
		return nil
	}
	return e
}

var errProtocol = errors.New("the plugin broke the protocol")
