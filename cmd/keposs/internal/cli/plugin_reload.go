package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins"
)

// reloadResult is what `keposs plugin reload --json` prints.
type reloadResult struct {
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	Before  string `json:"before"`
	Version string `json:"version"`
	PID     int    `json:"pid"`
	Trust   string `json:"trust"`
}

func pluginReloadCommand(e *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Have the running SS-CC take over the storage plugin that is pinned now",
		Long: `Have the SS-CC that runs from the data folder take over the version of its
storage plugin that is pinned now, without a restart: calls wait while the old
process closes the records and the new one opens them, with the settings pinned
with it. What does not start or refuses its settings changes nothing and is told.
The same signal (SIGHUP) takes over log level and certificate.

Sources, KDFs and sensors need no reload at a command: each starts what is pinned.
A program that keeps a client.Client open calls its ReloadPlugins. Only plugins in
the trust state local are changed so; built-in ones change with the program.`,
		Example: `  keposs plugin pin ./my-store --config path=/srv/keposs/records
  keposs plugin reload`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			const op = "plugin reload"
			f, err := e.serverFolder()
			if err != nil {
				return err
			}
			before, after, err := f.Reload(c.Context(), op)
			if err != nil {
				return err
			}
			if after.Refused != "" {
				return advise(core.Errorf(core.State, op, "SS-CC goes on as before: %s", after.Refused), "`keposs plugin doctor` tells what is wrong with the plugin; then pin it again")
			}
			out := reloadResult{plugins.KindBackend, after.Backend, before.Plugin.Version, after.Plugin.Version, after.Plugin.PID, after.Plugin.Trust}
			return e.Report(out, func(w io.Writer) {
				if out.Trust != string(plugins.TrustLocal) {
					fmt.Fprintf(w, "backend %s is built in and changes with the program; log level and certificate were read again\n", out.Name)
					return
				}
				fmt.Fprintf(w, "backend %s %s serves, before %s (process %d)\n", out.Name, out.Version, out.Before, out.PID)
			})
		},
	}
}
