package client

import (
	"context"
	"os"
	"time"
)

// AgentOptions tell ServeAgent what it serves.
type AgentOptions struct {
	Dir    string // the terminal's folder, as Provision left it
	Pinned string // plugins the operator vouched for; "" = none
	Socket string // "" = AgentSocket(Dir)

	Ready   func(AgentReady)           // called once it listens
	Reload  <-chan os.Signal           // each is a ReloadPlugins; nil = none
	Log     func(text string)          // what the operator may want to know; no secret
	Plugins func(PluginEvent)          // what happens to plugin processes
	Events  func(verb string, _ Event) // each step of a flow; nil = none

	patience time.Duration // with the app's platform, of tests; 0 = agentPlatform
}

// AgentReady tells where an agent serves.
type AgentReady struct {
	Socket string `json:"socket"`
	PID    int    `json:"pid"`
	State  State  `json:"state"`
	Level  uint32 `json:"level"`
}

// AgentView is what an agent tells of itself to programs of its user.
type AgentView struct {
	AgentReady
	Hardened bool   `json:"hardened"` // no core files, memory closed to the user's other processes (P-02)
	Locked   bool   `json:"locked"`   // its memory stays off swap devices
	Sandbox  string `json:"sandbox"`  // how source plugins are shut off
	Events   uint64 `json:"events"`   // of the audit log
	Head     string `json:"head"`     // the log's newest, in hex: note it outside
}

// LookAtAgent asks the agent at socket; NotFound when none listens.
func LookAtAgent(ctx context.Context, socket string) (AgentView, error) {
	return ask[AgentView](ctx, &remote{socket: socket}, "agent", nil)
}
