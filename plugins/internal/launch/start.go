package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	hclog "github.com/hashicorp/go-hclog"
	plugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// Spec says what to start.
type Spec struct {
	Image   *Image
	Kind    string
	Name    string
	Args    []string // after argv[0]
	Env     []string // "key=value", beyond the allowed ones
	Dir     string   // working directory; "" = the host's
	Logger  hclog.Logger
	Timeout time.Duration // 0 = Timeout
	Dial    []grpc.DialOption

	// Confined shuts the process off from network, files and other processes,
	// as far as the kernel has the means (Confinement). Read names what it may
	// read beside the system's programs.
	Confined bool
	Read     []string
}

// A Process is a running plugin that answered its first call over mutual TLS.
type Process struct {
	Conn   *grpc.ClientConn
	client *plugin.Client
	proc   *process
	dir    string
}

// PID is the process id.
func (p *Process) PID() int { return p.proc.pid }

// Done is closed when the process was reaped.
func (p *Process) Done() <-chan struct{} { return p.proc.done }

// Exit tells how the process ended; nil before that and for status 0.
func (p *Process) Exit() error {
	select {
	case <-p.proc.done:
		return p.proc.state
	default:
		return nil
	}
}

// Stderr is the last 4 KiB the process wrote to standard error.
func (p *Process) Stderr() string { return p.proc.stderr.String() }

// quit is how long a plugin has to end by itself.
const quit = time.Second

// Close ends the process, by its choice within a second or by force, reaps it
// and removes its socket.
func (p *Process) Close() {
	_ = p.proc.stdin.Close() // the life line, as if the host had died
	force := time.AfterFunc(quit, func() { _ = p.proc.Kill(context.Background()) })
	defer force.Stop()
	p.client.Kill()
	<-p.proc.done
	_ = os.RemoveAll(p.dir)
}

// maxSocketBase leaves room for the three names that follow it: a unix socket's
// path has at most 103 bytes on some systems, 107 on Linux.
const maxSocketBase = 40

// socketBase is the folder for sockets: temp, or /tmp where temp is too long.
func socketBase(temp string) string {
	if len(temp) > maxSocketBase {
		if st, err := os.Stat("/tmp"); err == nil && st.IsDir() {
			return "/tmp"
		}
	}
	return temp
}

// Start starts the plugin and waits until it answers. ctx ends the attempt.
// Errors: *StartError, or the context's.
func Start(ctx context.Context, s Spec) (*Process, error) {
	if s.Timeout == 0 {
		s.Timeout = Timeout
	}
	if s.Logger == nil {
		s.Logger = hclog.NewNullLogger()
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.Timeout, errTimeout)
	defer cancel()
	dir, err := os.MkdirTemp(socketBase(os.TempDir()), "keposs-") // 0700
	if err != nil {
		return nil, fmt.Errorf("plugin %s: start: %w", s.Name, err)
	}
	p := &Process{dir: dir}
	made := make(chan *process, 1)
	p.client = plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  Handshake,
		Plugins:          plugin.PluginSet{Service: &Served{}},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		AutoMTLS:         true,
		SkipHostEnv:      true,
		StartTimeout:     s.Timeout,
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: dir},
		GRPCDialOptions:  append([]grpc.DialOption{grpc.WithIdleTimeout(0)}, s.Dial...),
		Logger:           s.Logger.Named(s.Name),
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, _ string) (runner.Runner, error) {
			proc, err := newProcess(s, cmd, dir)
			if err == nil {
				made <- proc
			}
			return proc, err
		},
	})
	connected := make(chan outcome, 1)
	go func() { connected <- outcome{p.connect(ctx)} }()
	var failed error
	select {
	case o := <-connected:
		failed = o.err
	case <-ctx.Done():
		failed = context.Cause(ctx)
		for pending := true; pending; {
			select {
			case p.proc = <-made:
				_ = p.proc.Kill(context.Background())
			case <-connected:
				pending = false
			}
		}
	}
	select {
	case p.proc = <-made:
	default:
	}
	if failed == nil {
		return p, nil
	}
	return nil, p.abandon(s, failed)
}

// outcome is what connect ended with.
type outcome struct{ err error }

var errTimeout = errors.New("timeout")

// connect negotiates, then proves mutual TLS with one call: go-plugin's own
// success says only that a handshake line was read.
func (p *Process) connect(ctx context.Context) error {
	c, err := p.client.Client()
	if err != nil {
		return err
	}
	raw, err := c.Dispense(Service)
	if err != nil {
		return err
	}
	p.Conn = raw.(*grpc.ClientConn)
	r, err := grpc_health_v1.NewHealthClient(p.Conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: plugin.GRPCServiceName})
	if err == nil && r.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		err = fmt.Errorf("health is %s", r.Status)
	}
	if err != nil {
		return &StartError{Reason: NoAnswer, Detail: err.Error()}
	}
	return nil
}

// abandon ends what was started and finds out why it failed.
func (p *Process) abandon(s Spec, failed error) error {
	defer os.RemoveAll(p.dir)
	e := &StartError{Plugin: s.Name}
	exited := false
	if p.proc != nil {
		select { // a process that is about to end gets the time to say why
		case <-p.proc.done:
			exited = p.proc.ended()
		case <-time.After(exitGrace(failed)):
		}
		_ = p.proc.Kill(context.Background())
		p.client.Kill()
		if p.proc.pid != 0 {
			<-p.proc.done
		}
		e.Stderr = p.proc.stderr.String()
	}
	var known *StartError
	switch {
	case errors.Is(failed, errTimeout):
		e.Reason, e.Detail = TimedOut, fmt.Sprintf("no answer within %s", s.Timeout)
	case errors.Is(failed, context.Canceled), errors.Is(failed, context.DeadlineExceeded):
		return contextError(s.Name, failed)
	case errors.As(failed, &known):
		e.Reason, e.Detail = known.Reason, known.Detail
		if known.Reason == NoAnswer && exited {
			e.Reason = ExitedEarly
		}
	case p.proc == nil:
		return fmt.Errorf("plugin %s: start: %w", s.Name, failed)
	default:
		e.Reason, e.Detail = classify(failed.Error(), p.proc.stdout.String(), exited)
	}
	if e.Reason == ExitedEarly && exited {
		e.Detail = "exit status 0"
		if p.proc.state != nil {
			e.Detail = p.proc.state.Error()
		}
	}
	return e
}

// exitGrace is how long to wait for an exit status after a failure.
func exitGrace(failed error) time.Duration {
	if errors.Is(failed, errTimeout) || errors.Is(failed, context.Canceled) || errors.Is(failed, context.DeadlineExceeded) {
		return 0
	}
	return 300 * time.Millisecond
}

// classify reads go-plugin's reason by what the plugin printed.
func classify(text, stdout string, exited bool) (Reason, string) {
	line, _, whole := strings.Cut(stdout, "\n")
	line = lastLine(line)
	parts := strings.Split(line, "|")
	switch {
	case strings.Contains(text, "timeout"):
		return TimedOut, ""
	case stdout == "" && exited:
		return ExitedEarly, ""
	case strings.Contains(text, "incompatible"):
		return BadVersion, fmt.Sprintf("the plugin says %q, want 1|%d", strings.Join(parts[:min(2, len(parts))], "|"), Version)
	case strings.Contains(text, "unsupported plugin protocol"):
		return BadVersion, "the plugin does not speak gRPC"
	case stdout == "":
		return BadHandshake, "standard output was closed without a line"
	case !whole:
		return BadHandshake, fmt.Sprintf("an unfinished line %.60q", line)
	default:
		return BadHandshake, fmt.Sprintf("the first line was %.60q", line)
	}
}
