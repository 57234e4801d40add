package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/core/mstcc"
)

// selfTested is what `keposs selftest --json` prints.
type selfTested struct {
	OK    bool               `json:"ok"`
	Tests []mstcc.TestResult `json:"tests"`
}

func selftestCommands(e *Env) []*cobra.Command {
	var s session
	c := &cobra.Command{
		Use:   "selftest",
		Short: "Run the module's self-tests; exit status 1 when one fails",
		Example: `  keposs selftest
  keposs selftest --json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return s.with(c.Context(), e, func(cl *client.Client) error {
				tests, err := cl.SelfTest(c.Context())
				if len(tests) == 0 {
					return err // not run at all
				}
				out := selfTested{OK: err == nil, Tests: tests}
				if rerr := e.Report(out, out.print); rerr != nil {
					return rerr
				}
				if err != nil {
					return errNo
				}
				return nil
			})
		},
	}
	return []*cobra.Command{c}
}

func (o selfTested) print(w io.Writer) {
	for _, t := range o.Tests {
		word := "ok"
		if !t.OK {
			word = "FAILED: " + t.Err
		}
		fmt.Fprintf(w, "%-24s %s\n", t.Name, word)
	}
	if o.OK {
		fmt.Fprintf(w, "all %d self-tests passed\n", len(o.Tests))
	} else {
		fmt.Fprintln(w, "the module serves nothing until this is settled")
	}
}
