package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/client"
)

// cleared is what `keposs tries clear --json` prints.
type cleared struct {
	UserID string   `json:"user_id"`
	Tries  []string `json:"dropped"`
}

func triesCommands(e *Env) []*cobra.Command {
	return []*cobra.Command{group("tries", "Tries that somebody else made with this terminal's key", "  keposs tries clear", triesClearCommand(e))}
}

func triesClearCommand(e *Env) *cobra.Command {
	var s session
	c := &cobra.Command{
		Use:   "clear",
		Short: "Drop the foreign tries that `keposs status` shows; asks for the factors",
		Long: `Drop the foreign tries that ` + "`keposs status`" + ` shows: the factors open the key, and a
new OPRF key replaces the old one at SS-CC, which starts a new count. Somebody holds
this terminal's device key if there are any: ` + "`keposs revoke`" + ` shuts them out.
Under a policy with a single way to open, clearing is such a revoke, and every factor
is entered anew.

In plain mode, and when the tries are used up, only the administrator clears them.`,
		Example: "  keposs tries clear\n  keposs tries clear --ppd-fd 3 3<answers",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return s.with(c.Context(), e, func(cl *client.Client) error {
				u, err := cl.User()
				if err != nil {
					return err
				}
				gone, err := cl.ClearTries(c.Context(), s.factors...)
				if err != nil {
					return err
				}
				out := cleared{UserID: u.ID.String(), Tries: []string{}}
				for _, h := range gone {
					out.Tries = append(out.Tries, fmt.Sprintf("try %d by device %s", h.Seq, h.Device))
				}
				return e.Report(out, func(w io.Writer) {
					if len(out.Tries) == 0 {
						fmt.Fprintln(w, "no foreign tries; nothing was asked or changed")
					}
					for _, t := range out.Tries {
						fmt.Fprintf(w, "dropped  %s\n", t)
					}
				})
			})
		},
	}
	s.register(c)
	return c
}
