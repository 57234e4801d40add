package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/core/secret"
)

// maxTicket bounds a ticket file; a certificate authority in it has a few KiB.
const maxTicket = 64 << 10

// provisioned is what `keposs provision --json` prints.
type provisioned struct {
	App      string `json:"app"`
	Device   string `json:"device"`
	Realm    string `json:"realm"`
	Endpoint string `json:"endpoint"`
}

func provisionCommands(e *Env) []*cobra.Command {
	return []*cobra.Command{{
		Use:   "provision FILE",
		Short: "Bind this terminal to an app with the administrator's ticket",
		Long: `Bind this terminal to an app with the administrator's ticket: makes the device
key, enrols it at SS-CC and pins SS-CC's identity. The ticket works once; it holds
a secret, so delete it afterwards.

If the command is interrupted, run it again with the same ticket.`,
		Example: `  keposs provision bank.ticket
  keposs provision - <bank.ticket`,
		Args: exactly(1, "one FILE: the ticket made by `keposs admin ticket`"),
		RunE: func(c *cobra.Command, args []string) error {
			ticket, err := e.readInput("provision", args[0], maxTicket)
			if err != nil {
				return err
			}
			defer secret.Zero(ticket)
			l, err := e.Layout()
			if err != nil {
				return err
			}
			b, err := client.Provision(c.Context(), l.Terminal, ticket)
			if err != nil {
				return err
			}
			out := provisioned{b.App.String(), b.Device.String(), b.Realm.String(), b.Endpoint}
			return e.Report(out, func(w io.Writer) {
				fmt.Fprintf(w, "app      %s\ndevice   %s\nSS-CC    %s\nnext     `keposs init`; the ticket is spent: delete it\n", out.App, out.Device, out.Endpoint)
			})
		},
	}}
}
