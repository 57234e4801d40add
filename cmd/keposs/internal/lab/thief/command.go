package thief

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// Command is `lab thief`.
func Command() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "thief",
		Short: "Attack a stolen terminal: who finds a 4-digit PIN in plain and in hardened mode",
		Long: `Make SS-CC and two users in a temporary folder, one plain and one hardened, both
with nothing but a 4-digit PIN, then attack them for real:

  thief            has the terminal's folder and device key
  thief+database   and a copy of SS-CC's sealed database
  thief+operator   and the administrator's password
  operator         database and password, but no terminal

The KDF's cost is lowered so that the show ends within a minute; what the real
cost would take is told from the rate measured.`,
		Example: `  keposs lab thief
  keposs lab thief --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := cmd.OutOrStdout()
			var o Options
			if !asJSON {
				fmt.Fprintf(out, "%-9s %-15s %-7s %8s %8s %8s  %s\n", "mode", "attacker", "found", "answers", "guesses", "seconds", "ended")
				o.Progress = func(c Case) {
					fmt.Fprintf(out, "%-9s %-15s %-7v %8d %8d %8.2f  %s\n", c.Mode, c.Attacker, c.Found, c.OnlineAnswers, c.Guesses, c.Seconds, c.Ended)
				}
			}
			res, err := Run(cmd.Context(), o)
			if err != nil {
				return err
			}
			if asJSON {
				e := json.NewEncoder(out)
				e.SetIndent("", "  ")
				return e.Encode(res)
			}
			res.words(out)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// words tells what the table means.
func (r *Result) words(w io.Writer) {
	fmt.Fprintf(w, `
Plain: the thief asked SS-CC once for the policy, which nobody counts, and searched
offline: %.0f guesses a second on %d core(s) at %d iterations. At the real cost of
%d it is %.1f guesses a second with this code: a 4-digit PIN in %s at most,
a 6-digit one in %s (%.1f core-hours; vector code takes a fraction, see
`+"`keposs lab kdf`"+`). SS-CC notices nothing.
Hardened: each guess costs a counted answer; after %d SS-CC locks until the
administrator unlocks. A sealed database adds nothing.
Thief and operator together search offline in either mode: nothing stops both.
The operator alone has nothing to compare a guess with: the anchor is missing.
`, r.GuessesPerSec, r.Workers, r.Iterations, r.Real.Iterations, r.Real.GuessesPerSec, span(r.Real.SecondsFour), span(r.Real.SecondsSix), r.Real.CoreHoursSix, r.Limit)
}

// span is a time for a person.
func span(seconds float64) string {
	switch {
	case seconds < 120:
		return fmt.Sprintf("%.0f seconds", seconds)
	case seconds < 7200:
		return fmt.Sprintf("%.0f minutes", seconds/60)
	default:
		return fmt.Sprintf("%.1f hours", seconds/3600)
	}
}
