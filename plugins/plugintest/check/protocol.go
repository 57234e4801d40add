package check

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"time"

	plugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/plugins/internal/glue"
	"github.com/keposs/keposs/plugins/internal/launch"
	"github.com/keposs/keposs/plugins/internal/wire"
)

// connected runs do with a fresh session and an authenticated connection.
func connected(do func(ctx context.Context, s *session, c *grpc.ClientConn, t Target) error) func(context.Context, Target) error {
	return func(ctx context.Context, t Target) error {
		s, err := open(ctx, t)
		if err != nil {
			return err
		}
		defer s.close()
		c, err := s.dial(s.cert)
		if err != nil {
			return err
		}
		defer c.Close()
		if err := healthy(ctx, c); err != nil {
			return err
		}
		return do(ctx, s, c, t)
	}
}

func healthy(ctx context.Context, c *grpc.ClientConn) error {
	r, err := grpc_health_v1.NewHealthClient(c).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: plugin.GRPCServiceName})
	if err != nil {
		return fmt.Errorf("health: %w", err)
	}
	if r.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("health is %v", r.Status)
	}
	return nil
}

// Protocol returns the cases of the protocol document.
func Protocol() []Case {
	return []Case{
		{"Runtime", "This machine has what the program needs to be executed.", "Name the interpreter in the first line, or build for this machine.", "process", 0, runnable},
		{"Handshake", "H1 The first line is 1|1|NETWORK|ADDRESS|grpc|CERTIFICATE.", "Print that line, flushed, once the server listens, and nothing before it.", "handshake", 0,
			func(ctx context.Context, t Target) error {
				s, err := open(ctx, t)
				if err == nil {
					s.close()
				}
				return err
			}},
		{"NeedsCookie", "Without the cookie the program says what it is and exits with a status.", "Compare KEPOSS_PLUGIN_COOKIE before anything else.", "handshake", 0, needsCookie},
		{"OnlyTheHost", "H2 Only the certificate the host sent may connect.", "Require and verify the client certificate of PLUGIN_CLIENT_CERT.", "handshake", 0, onlyTheHost},
		{"Health", "H3 Health of the service plugin is SERVING at once.", "Register grpc.health.v1 with the service name plugin.", "handshake", 0,
			connected(func(context.Context, *session, *grpc.ClientConn, Target) error { return nil })},
		{"Describe", "C1 Control tells kind, name and version, and they are the entry's.", "Answer Control.Describe with what the manifest says.", "control", 0, connected(describe)},
		{"Sealing", "C3 The sealing session is made once and confirmed.", "See section 4 of the protocol; without sealing the plugin works and is never approved.", "control", 0, connected(sealing)},
		{"UnknownFields", "M2 Unknown fields are ignored.", "Generate the messages from the protocol's files.", "messages", 0, connected(unknownFields)},
		{"UnknownCalls", "Calls that are not served answer UNIMPLEMENTED.", "Leave them to the gRPC library.", "messages", 0, connected(unknownCalls)},
		{"Garbage", "A message that is none fails its call and nothing else.", "Leave parsing to the gRPC library.", "messages", 0, connected(garbage)},
		{"Cap", "M1 A message above 4 MiB is refused and the program lives on.", "Set the server's receive limit to 4 MiB.", "messages", 0, connected(tooLarge)},
		{"Deadline", "M4 A call that its caller gave up leaves the program usable.", "Look at the call's context while waiting.", "messages", 0, connected(deadline)},
		{"SideBySide", "M5 Calls may run side by side.", "Serve each call on its own; keep no state of one call in a global.", "messages", 0, connected(sideBySide)},
		{"ErrorCodes", "E1 Errors carry a code of the list.", "Attach the Error message as a detail of the status, or set the gRPC code of rule E3.", "messages", 0, connected(errorCodes)},
		{"LifeLine", "P1 The program ends within 1 s of the end of standard input.", "Read standard input in the background and exit at its end.", "process", 0, lifeLine},
		{"Shutdown", "P6 The program ends within 1 s of the controller's Shutdown.", "Serve plugin.GRPCController and exit when it is called.", "process", 0, shutdown},
		{"NoOrphans", "P7 No helper the program started outlives it.", "End helpers before you return from main, or have the kernel do it with a parent-death signal.", "process", 0, noOrphans},
		{"QuietStdout", "P4 Nothing follows the handshake on standard output.", "Log to standard error.", "process", 0, connected(quiet)},
		{"SealedImage", "P3 The program runs from a sealed memory copy with a bare environment.", "Do not read files beside the program or variables of the host.", "process", 0, sealedImage},
	}
}

func needsCookie(ctx context.Context, t Target) error {
	ctx, cancel := context.WithTimeout(ctx, launch.Timeout)
	defer cancel()
	cmd := command(t)
	run := exec.CommandContext(ctx, cmd.Path, t.Args...)
	run.Env = cmd.Env
	out, err := run.Output()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return errors.New("it runs on without the cookie")
	case err == nil:
		return errors.New("it exits with 0")
	case !errors.As(err, &exit):
		return err
	case strings.Contains(string(out), "|grpc|"):
		return errors.New("it prints a handshake")
	}
	return nil
}

func onlyTheHost(ctx context.Context, t Target) error {
	s, err := open(ctx, t)
	if err != nil {
		return err
	}
	defer s.close()
	stranger, _, err := certificate()
	if err != nil {
		return err
	}
	for who, certs := range map[string][]tls.Certificate{"a client without a certificate": nil, "a stranger's certificate": {stranger}} {
		c, err := s.dial(certs...)
		if err != nil {
			return err
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		err = healthy(short, c)
		cancel()
		_ = c.Close()
		if err == nil {
			return fmt.Errorf("%s is served", who)
		}
	}
	c, err := s.dial(s.cert)
	if err != nil {
		return err
	}
	defer c.Close()
	return healthy(ctx, c)
}

func describe(ctx context.Context, _ *session, c *grpc.ClientConn, t Target) error {
	d, err := wire.NewControlClient(c).Describe(ctx, &wire.DescribeRequest{})
	if err != nil {
		return err
	}
	if d.Kind != t.Kind || t.Name != "" && d.Name != t.Name {
		return fmt.Errorf("it is %s %q, want %s %q", d.Kind, d.Name, t.Kind, t.Name)
	}
	if d.Name == "" || len(d.Name) > 32 || d.Version == "" || len(d.Version) > 64 {
		return fmt.Errorf("name %q and version %q need 1 to 32 and 1 to 64 bytes", d.Name, d.Version)
	}
	return nil
}

func sealing(ctx context.Context, _ *session, c *grpc.ClientConn, t Target) error {
	h, err := glue.Attach(ctx, c, glue.Info{Kind: t.Kind, Name: t.Name})
	if err != nil {
		return err
	}
	defer h.Close()
	if !h.Sealed() {
		return Skip("the plugin does not seal: it works and is never approved")
	}
	_, err = wire.NewControlClient(c).Establish(ctx, &wire.EstablishRequest{Ciphertext: make([]byte, 129)})
	if err == nil {
		return errors.New("a second session is made")
	}
	return nil
}

// stuffed is an empty message with a field of a later version.
func stuffed(n int) *wire.Empty {
	m := &wire.Empty{}
	raw := protowire.AppendTag(nil, 2047, protowire.BytesType)
	m.ProtoReflect().SetUnknown(protowire.AppendBytes(raw, make([]byte, n)))
	return m
}

const controlDescribe = "/keposs.plugin.v1.Control/Describe"

func unknownFields(ctx context.Context, _ *session, c *grpc.ClientConn, _ Target) error {
	return c.Invoke(ctx, controlDescribe, stuffed(1000), &wire.PluginInfo{})
}

func unknownCalls(ctx context.Context, _ *session, c *grpc.ClientConn, _ Target) error {
	for _, m := range []string{"/keposs.plugin.v1.Control/NoSuchCall", "/keposs.plugin.v9.Future/Call"} {
		if err := c.Invoke(ctx, m, &wire.Empty{}, &wire.Empty{}); status.Code(err) != codes.Unimplemented {
			return fmt.Errorf("%s answers %v", m, err)
		}
	}
	return healthy(ctx, c)
}

// rawCodec sends bytes as they are.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error)   { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(b []byte, v any) error { *v.(*[]byte) = b; return nil }
func (rawCodec) Name() string                    { return "proto" }

func garbage(ctx context.Context, _ *session, c *grpc.ClientConn, _ Target) error {
	in, out := []byte{0xff, 0xff, 0xff, 0xff, 0x0f}, []byte(nil)
	if err := c.Invoke(ctx, controlDescribe, &in, &out, grpc.ForceCodec(rawCodec{})); err == nil {
		return errors.New("bytes that are no message are answered")
	}
	return healthy(ctx, c)
}

func tooLarge(ctx context.Context, _ *session, c *grpc.ClientConn, _ Target) error {
	err := c.Invoke(ctx, controlDescribe, stuffed(glue.MaxMessage+1), &wire.PluginInfo{}, grpc.MaxCallSendMsgSize(2*glue.MaxMessage))
	if err == nil {
		return errors.New("a message above 4 MiB is taken")
	}
	return healthy(ctx, c)
}

func deadline(ctx context.Context, s *session, c *grpc.ClientConn, t Target) error {
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	switch t.Kind {
	case plugins.KindSource: // a collection that never gets its first sample
		stream, err := wire.NewSourceClient(c).Enroll(short)
		if err != nil {
			return err
		}
		_ = stream.Send(&wire.EnrollRequest{Frame: &wire.EnrollRequest_Start{Start: &wire.EnrollStart{Label: "check"}}})
		for err == nil {
			_, err = stream.Recv()
		}
	default:
		_, _ = wire.NewControlClient(c).Describe(short, &wire.DescribeRequest{})
	}
	if took := time.Since(start); took > time.Second {
		return fmt.Errorf("the call took %v", took)
	}
	select {
	case <-s.ended:
		return errors.New("the program ended with the call")
	case <-time.After(100 * time.Millisecond):
	}
	return healthy(ctx, c)
}

func sideBySide(ctx context.Context, _ *session, c *grpc.ClientConn, _ Target) error {
	var all sync.WaitGroup
	errs := make(chan error, 32)
	for range cap(errs) {
		all.Go(func() {
			_, err := wire.NewControlClient(c).Describe(ctx, &wire.DescribeRequest{})
			errs <- err
		})
	}
	all.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func errorCodes(ctx context.Context, _ *session, c *grpc.ClientConn, t Target) error {
	h, err := glue.Attach(ctx, c, glue.Info{Kind: t.Kind, Name: t.Name})
	if err != nil {
		return err
	}
	defer h.Close()
	strange := core.Config{Values: map[string]string{"no_such_setting_here": "1"}}
	switch t.Kind {
	case plugins.KindSource:
		err = h.Source().Configure(ctx, strange)
	case plugins.KindSensor:
		err = h.Sensor().Configure(ctx, strange)
	case plugins.KindBackend:
		err = h.Backend().Configure(ctx, strange)
	case plugins.KindKDF:
		err = h.KDF().Validate(core.NewParams("no-such-kdf"), core.Limits{})
	}
	if code := core.CodeOf(err); code != core.Invalid && code != core.Unsupported {
		return fmt.Errorf("an unknown setting or parameter answers %v (%v), want invalid", code, err)
	}
	return nil
}

func lifeLine(ctx context.Context, t Target) error {
	s, err := open(ctx, t)
	if err != nil {
		return err
	}
	defer s.close()
	_ = s.stdin.Close()
	return s.waitExit(time.Second)
}

func shutdown(ctx context.Context, t Target) error {
	s, err := open(ctx, t)
	if err != nil {
		return err
	}
	defer s.close()
	c, err := s.dial(s.cert)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.Invoke(ctx, "/plugin.GRPCController/Shutdown", &wire.Empty{}, &wire.Empty{})
	return s.waitExit(time.Second)
}

func quiet(ctx context.Context, s *session, c *grpc.ClientConn, t Target) error {
	if err := describe(ctx, s, c, t); err != nil {
		return err
	}
	_ = s.waitExit(250 * time.Millisecond) // what talks on a timer gets its time
	_ = s.stdin.Close()
	if err := s.waitExit(time.Second); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stdout.Len() > 0 {
		line, _ := s.stdout.ReadString('\n')
		return fmt.Errorf("standard output goes on with %.60q", line)
	}
	return nil
}

func sealedImage(ctx context.Context, t Target) (err error) {
	sup, e, err := supervised(t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sup.Close()) }()
	var v any
	switch t.Kind {
	case plugins.KindSource:
		v, err = sup.Source(ctx, e)
	case plugins.KindSensor:
		v, err = sup.Sensor(ctx, e)
	case plugins.KindKDF:
		v, err = sup.KDF(ctx, e)
	case plugins.KindBackend:
		v, err = sup.Backend(ctx, e)
	default:
		return core.Errorf(core.Usage, "check", "a plugin is a source, sensor, kdf or backend, not %.16q", t.Kind)
	}
	if err != nil {
		return err
	}
	return sup.Warm(ctx, v)
}
