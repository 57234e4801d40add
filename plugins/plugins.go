// Package plugins runs PPD sources, sensors, KDFs and storage backends as
// processes of their own and lets a program be one.
//
// A plugin's main is one call: ServeSource, ServeSensor, ServeKDF or
// ServeBackend. A program that holds several plugins, as keposs does, calls
// MainIfPlugin first thing in main and re-executes itself through Builtin
// entries. A host makes one Supervisor and gets the contracts of core from it;
// the implementation behind them is a process that is started at first use,
// started again after a crash and ended with the supervisor.
//
// The protocol is docs/plugin-protocol.md; any language with gRPC will do.
package plugins

import (
	"errors"
	"io"
	"os"
	"strings"
	"time"

	hclog "github.com/hashicorp/go-hclog"
	plugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins/internal/glue"
	"github.com/keposs/keposs/plugins/internal/launch"
)

// Kinds of plugin.
const (
	KindSource  = glue.KindSource
	KindSensor  = glue.KindSensor
	KindKDF     = glue.KindKDF
	KindBackend = glue.KindBackend
)

// ProtocolVersion is the version of the plugin protocol this build speaks.
const ProtocolVersion = launch.Version

// A StartError tells why a plugin did not start: its Reason, a detail and the
// end of its standard error. errors.As finds it.
type StartError = launch.StartError

// Reasons of a StartError.
const (
	NotExecutable = launch.NotExecutable
	Digest        = launch.Digest
	ExitedEarly   = launch.ExitedEarly
	BadHandshake  = launch.BadHandshake
	BadVersion    = launch.BadVersion
	TimedOut      = launch.TimedOut
	NoAnswer      = launch.NoAnswer
)

// ProcessLimit says how a plugin is kept from flooding this machine with
// processes; "" where control groups cannot be made: then its process group is
// ended with it and nothing bounds it meanwhile.
func ProcessLimit() string { return launch.Limit() }

// ServeSource serves s until the host ends this process; it does not return.
// Called by something else than a keposs host it says so and exits with 1.
func ServeSource(s core.Source) { serve(s) }

// ServeSensor serves s; see ServeSource.
func ServeSensor(s core.Sensor) { serve(s) }

// ServeKDF serves k; see ServeSource.
func ServeKDF(k core.KDF) { serve(k) }

// ServeBackend serves b and closes it at the end; see ServeSource.
func ServeBackend(b core.Backend) { serve(b) }

// A Registry finds the plugins built into a program by name. A nil function
// has none of its kind.
type Registry struct {
	Source  func(name string) (core.Source, error)
	Sensor  func(name string) (core.Sensor, error)
	KDF     func(name string) (core.KDF, error)
	Backend func(name string) (core.Backend, error)
}

func (r Registry) find(kind, name string) (any, error) {
	switch {
	case kind == KindSource && r.Source != nil:
		return r.Source(name)
	case kind == KindSensor && r.Sensor != nil:
		return r.Sensor(name)
	case kind == KindKDF && r.KDF != nil:
		return r.KDF(name)
	case kind == KindBackend && r.Backend != nil:
		return r.Backend(name)
	}
	return nil, core.Errorf(core.NotFound, "plugins", "no %.16s of this program is called %.32q", kind, name)
}

// MainIfPlugin makes this process the plugin it was started as, if it was
// started as one, and then never returns. It is called before anything else in
// main, before flags are read and files are opened.
func MainIfPlugin(r Registry) {
	which, ok := os.LookupEnv(launch.EnvPlugin)
	if !ok || os.Getenv(launch.Handshake.MagicCookieKey) != launch.Handshake.MagicCookieValue {
		return
	}
	kind, name, _ := strings.Cut(which, ":")
	impl, err := r.find(kind, name)
	if err != nil {
		_, _ = io.WriteString(os.Stderr, err.Error()+"\n")
		os.Exit(1)
	}
	serve(impl)
}

// closeGrace bounds the ending of a plugin whose host is gone.
const closeGrace = 500 * time.Millisecond

func serve(impl any) {
	harden()
	var end func() error
	p := &launch.Served{Register: func(s *grpc.Server) error {
		var err error
		end, err = glue.Register(s, impl)
		return err
	}}
	logger := hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: os.Stderr, JSONFormat: true})
	if os.Getenv(launch.Handshake.MagicCookieKey) == launch.Handshake.MagicCookieValue {
		go lifeLine(func() error {
			if c, ok := impl.(io.Closer); ok {
				return c.Close()
			}
			return nil
		})
	}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: launch.Handshake,
		Plugins:         plugin.PluginSet{launch.Service: p},
		Logger:          logger,
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(opts, glue.ServerOptions()...)...)
		},
	})
	if end == nil {
		os.Exit(1) // it never served; go-plugin has said why
	}
	if err := end(); err != nil {
		logger.Error("close", "error", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// lifeLine ends the process when its host is gone: standard input is a pipe
// the host never writes to, and its end comes also when the host is killed.
func lifeLine(end func() error) {
	_, err := io.Copy(io.Discard, os.Stdin)
	status := 0
	if err != nil && !errors.Is(err, os.ErrClosed) {
		status = 1
	}
	late := time.AfterFunc(closeGrace, func() { os.Exit(1) })
	if end() != nil {
		status = 1
	}
	late.Stop()
	os.Exit(status)
}

// SelfDigest measures the running program's image anew: its SM3.
func SelfDigest() (sum [32]byte, err error) { return launch.SelfDigest() }
