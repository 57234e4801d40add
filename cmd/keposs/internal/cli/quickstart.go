package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/cmd/keposs/internal/prompt"
	"github.com/keposs/keposs/cmd/keposs/internal/quickstart"
	"github.com/keposs/keposs/core"
)

func quickstartCommands(e *Env) []*cobra.Command {
	var interactive bool
	var policy, escrow string
	var sensor sensorFlag
	c := &cobra.Command{
		Use:   "quickstart",
		Short: "Run the whole system on this machine and show it at work",
		Long: `Run the whole system on this machine: SS-CC as a process with its database in
another, an app and a terminal provisioned, a user whose PIN, gesture,
fingerprint and face make one master key, a signature made and verified, a file encrypted and decrypted, wrong PINs up to the lock, the
administrator's unlock, and a search of every file for plaintext.

Everything is real but the person: without --interactive a PIN, a gesture, a
finger and a face are drawn; with it PIN and gesture are asked for. Without --dir the folder is temporary and removed.`,
		Example: `  keposs quickstart
  keposs quickstart --interactive
  keposs quickstart --policy '2 of (pin, gesture, face)'
  keposs quickstart --escrow plain
  keposs quickstart --policy face --sensor npy-face
  keposs quickstart --dir demo --json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			mode, err := escrowMode("quickstart", escrow)
			if err != nil {
				return err
			}
			o := quickstart.Options{Dir: e.dir, Progress: e.Stdout, Policy: policy, Mode: mode}
			if e.json {
				o.Progress = e.Stderr
			}
			if interactive {
				o.Prompter = prompt.NewTerminal()
			}
			pinned, err := e.pinned()
			if err != nil {
				return err
			}
			o.Pinned = pinned.Dir
			if len(sensor.names) > 0 {
				o.Sensor = func(p core.Prompter) (core.Prompter, func() error, error) { return sensor.over(c.Context(), pinned, p) }
			}
			res, err := quickstart.Run(c.Context(), o)
			return errors.Join(err, e.Report(res, func(w io.Writer) {
				if err != nil {
					return
				}
				fmt.Fprintf(w, "\nEverything held, in %.1f s.\n", res.Seconds)
				if res.Out != nil {
					fmt.Fprintf(w, "Kept in %s. With OpenSSL 3:\n  openssl pkeyutl -verify -pubin -inkey %s -in %s -rawin -digest sm3 \\\n    -sigfile %s -pkeyopt distid:1234567812345678\n",
						res.Dir, res.Out.Key, res.Out.Message, res.Out.Signature)
				}
			}))
		},
	}
	c.Flags().StringVar(&policy, "policy", "", "`text` of the factor policy (default "+quickstart.Everything+"; "+client.DefaultPolicy+" with --interactive)")
	registerEscrow(c.Flags(), &escrow)
	sensor.register(c)
	c.Flags().BoolVar(&interactive, "interactive", false, "ask for the PIN and the gesture at the terminal")
	return []*cobra.Command{c}
}
