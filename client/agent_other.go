//go:build !linux

package client

import (
	"context"

	"github.com/keposs/keposs/core"
)

// ServeAgent needs what only Linux has: the peer's credentials on a socket and
// plugins that run from sealed memory.
func ServeAgent(context.Context, AgentOptions) error {
	return core.Errorf(core.Unsupported, "client: agent", "keposs agent runs on Linux only")
}
