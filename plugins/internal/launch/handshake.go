// Package launch starts plugin processes: go-plugin negotiates, this package
// owns the process. An executable is copied into a sealed memory file while
// its SM3 is taken and the descriptor is executed, so that what was measured
// is what runs; standard input is a pipe whose end tells the plugin that its
// host is gone; the environment is built from nothing; a start that fails says
// why.
package launch

import (
	"context"
	"time"

	plugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

// Version of the plugin protocol, as go-plugin negotiates it.
const Version = 1

// Timeout bounds one start, from fork to the first answer.
const Timeout = 5 * time.Second

// EnvPlugin names the environment variable that tells a program holding
// several plugins which to be: "kind:name".
const EnvPlugin = "KEPOSS_PLUGIN"

// Service is the name under which go-plugin knows the one plugin of a process.
const Service = "keposs"

// Handshake is the mark by which a plugin knows that a keposs host started it.
// It is not a secret and protects nothing.
var Handshake = plugin.HandshakeConfig{
	ProtocolVersion:  Version,
	MagicCookieKey:   "KEPOSS_PLUGIN_COOKIE",
	MagicCookieValue: "6b65706f73732d706c7567696e2d3031",
}

// Served is go-plugin's view of a plugin: Register adds its services on the
// plugin's side, on the host's side the connection itself is taken.
type Served struct {
	plugin.NetRPCUnsupportedPlugin
	Register func(s *grpc.Server) error
}

// GRPCServer registers the services.
func (p *Served) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error { return p.Register(s) }

// GRPCClient returns the connection.
func (p *Served) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return c, nil
}

var _ plugin.GRPCPlugin = (*Served)(nil)
