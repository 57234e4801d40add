package ppdcmd

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/ppd/gesture"
	"github.com/keposs/keposs/ppd/lab/guess"
)

// allPatterns is the number of patterns of DefaultMin dots or more that the
// lines of a grid allow, weak ones among them, by side; ppd/gesture counts them.
var allPatterns = map[int]uint64{3: 389_112, 4: 4_350_069_651_464}

// GestureCommand is `lab ppd gesture`.
func GestureCommand() *cobra.Command {
	var o curves
	var grid int
	c := &cobra.Command{
		Use:   "gesture",
		Short: "Guessing curves of gesture policies from what people draw",
		Long: `As ` + "`keposs lab ppd pin`" + `, for patterns over a grid. Data are value,count lines
with values such as 1-2-5-8, an order of such values, or the JSON collections of
unlock patterns use. Published collections mostly name the most frequent
patterns only: --total says how many were collected in all, and the rest is then
taken even, which makes success beyond the head a lower bound.`,
		Example: `  keposs lab ppd gesture
  keposs lab ppd gesture --data self-reported-patterns.json --total 440
  keposs lab ppd gesture --grid 4 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			const op = "lab ppd gesture"
			if allPatterns[grid] == 0 {
				return core.Errorf(core.Usage, op, "--grid %d, want 3 or 4", grid)
			}
			least := gesture.DefaultMin(grid)
			src := gesture.New()
			params := map[string]string{"grid": strconv.Itoa(grid)}
			uniform := guess.OfUniform(fmt.Sprintf("%dx%d gestures, uniform", grid, grid),
				fmt.Sprintf("counted: all of %d dots or more the rules of ppd/gesture let through", least), gesture.Allowed(grid, least))
			given := guess.PatternPoints()
			if grid == 4 {
				given = uniform // nothing was published that can be used as points
			}
			return o.run(cmd.OutOrStdout(), setting{
				op: op, space: allPatterns[grid], uniform: uniform, given: given,
				rules: func(v string) (string, error) {
					return guess.Refusal(cmd.Context(), src, params, core.SamplePattern, v)
				},
				fits: func(v guess.Value) bool {
					p, err := gesture.ParseDots(grid, []byte(v.Text))
					return err == nil && len(p) >= least
				},
			})
		},
	}
	o.flags(c)
	c.Flags().IntVar(&grid, "grid", 3, "side of the grid, 3 or 4")
	return c
}
