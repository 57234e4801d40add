package kdfcmd

import (
	"github.com/spf13/cobra"

	"github.com/keposs/keposs/kdf/lab"
)

// CompareCommand is `lab compare`.
func CompareCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "compare A.json B.json",
		Short: "Compare two results of lab kdf, with confidence intervals",
		Long: `Sets two results side by side: ratios of implementations, and for each cell
both have the change of the defender's CPU time and of the attacker's rate, with
95 % bootstrap intervals over the raw samples. A difference is told only where
the interval excludes none; results of different machines or builds are marked.`,
		Example: `  keposs lab compare before/result.json after/result.json`,
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := readResult(args[0])
			if err != nil {
				return err
			}
			b, err := readResult(args[1])
			if err != nil {
				return err
			}
			r := lab.Compare(a, b)
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), r)
			}
			return lab.WriteComparison(cmd.OutOrStdout(), r)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}
