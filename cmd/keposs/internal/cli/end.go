package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/core/sscc"
)

// The ends of life of both components (clause 17.7).

func zeroiseCommand(e *Env) *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "zeroise",
		Short: "Destroy every secret of this terminal; asks for no factor and no server",
		Long: `Destroy every secret and record of this terminal, also of one that cannot be
opened any more. It asks for no factor and not for SS-CC: whoever can run it can
end this terminal's part of the key, and nothing else. A recovery sheet still
brings the user to another terminal; without one the key is lost. The
administrator removes the record at SS-CC.`,
		Example: `  keposs zeroise --yes
  keposs zeroise --yes --json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if !yes {
				return usagef("zeroise", "this destroys the terminal's secrets for ever: add --yes")
			}
			l, err := e.Layout()
			if err != nil {
				return err
			}
			if err := client.Zeroise(c.Context(), l.Terminal); err != nil {
				return err
			}
			return e.reportDone(done{Done: "zeroise"}, "zeroised: every secret and record of this terminal is destroyed")
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "destroy without asking")
	return c
}

func ssccDecommission(e *Env) *cobra.Command {
	var p passwordFlag
	c := &cobra.Command{
		Use:   "decommission REALM",
		Short: "End this SS-CC for ever: every record becomes unreadable; while it is stopped",
		Long: `End this SS-CC for ever, while it is stopped. The keys that open its records are
destroyed, so no sealed key it holds can be opened by anybody. Destroy backups of
the database too: an older copy opens with the password of its day. REALM is the
realm id that ss-cc status shows: it is asked for so that the wrong server is not
ended. There is no way back.`,
		Example: `  keposs ss-cc decommission 00112233445566778899aabbccddeeff
  keposs ss-cc decommission REALM --password-fd 3 3<password-file`,
		Args: exactly(1, "the REALM id"),
		RunE: func(c *cobra.Command, args []string) error {
			const op = "ss-cc decommission"
			realm, err := idArg(op, "realm", args[0])
			if err != nil {
				return err
			}
			err = e.offline(c.Context(), op, &p, false, func(ctx context.Context, s *sscc.Server, tok sscc.Token) error {
				return s.Decommission(ctx, tok, realm)
			})
			if err != nil {
				return err
			}
			return e.reportDone(done{Done: "decommission"}, "decommissioned: no record of this SS-CC can be opened again")
		},
	}
	p.register(c)
	return c
}
