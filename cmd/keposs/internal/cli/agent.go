package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/core"
)

// agentFlag names the agent a command speaks to.
type agentFlag struct{ socket string }

func (f *agentFlag) register(c *cobra.Command) {
	c.Flags().StringVar(&f.socket, "agent", "", "`socket` of the keposs agent that serves the terminal (default: the one in the data folder, if it runs)")
}

// at is the socket a command uses; "" = none: the module runs inside the command.
func (f *agentFlag) at(ctx context.Context, l Layout) (string, error) {
	if f.socket != "" {
		return f.socket, nil
	}
	socket := client.AgentSocket(l.Terminal)
	if st, err := os.Lstat(socket); err != nil || st.Mode()&os.ModeSocket == 0 {
		return "", nil
	}
	c, err := client.Open(ctx, client.Options{Agent: socket})
	switch {
	case err == nil:
		return socket, c.Close()
	case core.CodeOf(err) == core.NotFound: // of an agent that was killed
		return "", nil
	}
	return "", err
}

func agentCommands(e *Env) []*cobra.Command {
	var o client.AgentOptions
	c := &cobra.Command{
		Use:   "agent",
		Short: "Run the module as a process of its own and serve this user's programs (level 2)",
		Long: `Run MST-CC as a process of its own, which security level 2 demands, and serve the
programs of this user over a Unix socket of mode 0600: every command here, and apps
that open client.Options.Agent. What is initialised through it is level 2, and such
a terminal opens nowhere else.

Peers are known by the kernel's word; another user's are refused. What is served is
written to the terminal's audit log before an answer leaves (keposs audit show); an
agent that cannot write it serves nobody. PPD is asked for by the program that wants
the service, at the person's screen.

SIGTERM or SIGINT ends it: no call is begun, those under way have thirty seconds.
SIGHUP takes over plugins that were pinned anew. With --json the first line on
standard output tells where it listens.`,
		Example: `  keposs agent
  keposs agent --socket /run/user/1000/keposs/agent.sock --json
  keposs agent status`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := e.Layout()
			if err != nil {
				return err
			}
			pinned, err := e.pinned()
			if err != nil {
				return err
			}
			if err := alone(); err != nil {
				return err
			}
			hup := make(chan os.Signal, 1)
			signal.Notify(hup, syscall.SIGHUP)
			defer signal.Stop(hup)
			o.Dir, o.Pinned, o.Reload = l.Terminal, pinned.Dir, hup
			o.Log = func(text string) { e.Note("%s", text) }
			o.Ready = func(r client.AgentReady) { e.reportAgent(r) }
			return client.ServeAgent(c.Context(), o)
		},
	}
	c.Flags().StringVar(&o.Socket, "socket", "", "`path` of the socket, in a folder of mode 0700 (default agent.sock in the terminal's folder)")
	c.AddCommand(agentStatusCommand(e))
	return []*cobra.Command{c}
}

// reportAgent prints the one line others wait for.
func (e *Env) reportAgent(r client.AgentReady) {
	if e.json {
		fmt.Fprintf(e.Stdout, `{"socket":%q,"pid":%d,"state":%q,"level":%d}`+"\n", r.Socket, r.PID, r.State, r.Level)
		return
	}
	fmt.Fprintf(e.Stdout, "serving on %s (process %d, state %s)\n", r.Socket, r.PID, r.State)
}

func agentStatusCommand(e *Env) *cobra.Command {
	var f agentFlag
	c := &cobra.Command{
		Use:     "status",
		Short:   "Show whether an agent serves this terminal, and how its parts are shut off",
		Example: "  keposs agent status\n  keposs agent status --json",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := e.Layout()
			if err != nil {
				return err
			}
			socket := f.socket
			if socket == "" {
				socket = client.AgentSocket(l.Terminal)
			}
			v, err := client.LookAtAgent(c.Context(), socket)
			if err != nil {
				return err
			}
			return e.Report(v, func(w io.Writer) {
				fmt.Fprintf(w, "agent    process %d on %s\n", v.PID, v.Socket)
				fmt.Fprintf(w, "state    %s\n", v.State)
				fmt.Fprintf(w, "level    %s\n", pickText(v.Level > 0, fmt.Sprint(v.Level), "no user is initialised yet"))
				fmt.Fprintf(w, "memory   core files and foreign readers %s; locked against swapping: %s\n", pickText(v.Hardened, "shut out", "NOT shut out"), pickText(v.Locked, "yes", "no"))
				fmt.Fprintf(w, "plugins  %s\n", pickText(v.Sandbox != "", v.Sandbox, "not shut off: this kernel has no means"))
				fmt.Fprintf(w, "audit    %d events, head %s\n", v.Events, v.Head)
			})
		},
	}
	f.register(c)
	return c
}
