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
	var random string
	var bytes int
	c := &cobra.Command{
		Use:   "selftest",
		Short: "Run the module's self-tests; exit status 1 when one fails",
		Long: `Run the module's self-tests on demand and tell each one's outcome: the known
answers of every algorithm, a fresh key pair, the entropy source, the image.

With --random or --bytes it runs the statistics of GM/T 0005 over a file or over
the module's own generator instead (docs/self-tests.md).`,
		Example: `  keposs selftest
  keposs selftest --json
  keposs selftest --bytes 1250000`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if random != "" || c.Flags().Changed("bytes") {
				return e.statistics(random, bytes)
			}
			return s.with(c.Context(), e, func(cl *client.Client) error {
				tests, err := cl.SelfTest(c.Context())
				if len(tests) == 0 {
					return err // not run at all
				}
				out := selfTested{OK: err == nil, Tests: tests}
				return e.Verdict(out.OK, out, out.print)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&random, "random", "", "statistics over the bytes of `file`")
	f.IntVar(&bytes, "bytes", 0, "statistics over so many bytes of the module's generator")
	c.MarkFlagsMutuallyExclusive("random", "bytes")
	return []*cobra.Command{c}
}

func (o selfTested) print(w io.Writer) {
	for _, t := range o.Tests {
		word := "ok"
		if t.Note != "" {
			word = t.Note
		}
		if !t.OK {
			word = "FAILED: " + t.Err
		}
		fmt.Fprintf(w, "%-36s %s\n", t.Name, word)
	}
	if o.OK {
		fmt.Fprintf(w, "all %d self-tests passed\n", len(o.Tests))
	} else {
		fmt.Fprintln(w, "the module serves nothing until this is settled")
	}
}
