package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
)

func adminRotate(e *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "rotate",
		Short: "Seal every stored record under new keys, while SS-CC serves",
		Long: `Draw new record keys, seal every stored record under them while terminals are
served, then destroy the old ones. Other replicas follow by themselves. Interrupted by
anything, SS-CC serves on; the same command goes on where it stopped.`,
		Example: "  keposs admin rotate\n  keposs admin rotate --json",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return e.withAdmin(c.Context(), "admin rotate", func(ctx context.Context, a *administrator) error {
				var told time.Time
				n, err := a.Rotate(ctx, func(records int) {
					if time.Since(told) >= time.Second {
						told = time.Now()
						fmt.Fprintf(e.Stderr, "rotate   %d records\n", records)
					}
				})
				if err != nil {
					return advise(err, "SS-CC serves on under both keys; run the same command again to end it")
				}
				d, err := a.Describe(ctx)
				if err != nil {
					return err
				}
				out := struct {
					Records    int    `json:"records"`
					Generation uint16 `json:"key_generation"`
					Old        int    `json:"old_generations"`
				}{n, d.KeyGen, d.KeyGens - 1}
				return e.Report(out, func(w io.Writer) {
					fmt.Fprintf(w, "rotated  %d records under key generation %d; older ones left: %d\n", out.Records, out.Generation, out.Old)
				})
			})
		},
	}
}
