package ppdcmd

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/ppd/lab/guess"
	"github.com/keposs/keposs/ppd/pin"
)

// maxStudied bounds the length whose space is counted.
const maxStudied = 12

// PINCommand is `lab ppd pin`.
func PINCommand() *cobra.Command {
	var o curves
	var length int
	c := &cobra.Command{
		Use:   "pin",
		Short: "Guessing curves of PIN policies from what people choose",
		Long: `How many accounts fall to so many tries: as chosen, under the rules of the
PIN source (asked as a person would ask it, so never other rules than those in
force), and under each given blocklist; beside the best anyone could do, uniform
choice. Without --data the points of a leak this project counted are shown.

A file with counts gives success and work factors. A file that is an order only
gives neither, and the output says so.`,
		Example: `  keposs lab ppd pin
  keposs lab ppd pin --length 4 --data rockyou-4-digit-counts.csv --blocklist ios-blocklist-4.txt
  keposs lab ppd pin --length 6 --data dd-6-digit-first2000.txt --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			const op = "lab ppd pin"
			if length < pin.MinLength || length > maxStudied {
				return core.Errorf(core.Usage, op, "--length %d, want %d to %d", length, pin.MinLength, maxStudied)
			}
			src, n := pin.New(), strconv.Itoa(length)
			params := map[string]string{"min": n, "max": n}
			space := uint64(1)
			for range length {
				space *= 10
			}
			return o.run(cmd.OutOrStdout(), setting{
				op: op, space: space, given: guess.PINPoints(),
				uniform: guess.OfUniform(n+"-digit PINs, uniform", "counted: all the rules of ppd/pin let through", uint64(pin.Allowed(pin.Digits, length))),
				rules: func(v string) (string, error) {
					return guess.Refusal(cmd.Context(), src, params, core.SamplePIN, v)
				},
				fits: func(v guess.Value) bool { return isPIN(v.Text, length) },
			})
		},
	}
	o.flags(c)
	c.Flags().IntVar(&length, "length", 4, fmt.Sprintf("digits, %d to %d; values of another length are left out", pin.MinLength, maxStudied))
	return c
}

func isPIN(s string, n int) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(s) == n
}
