package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/core/sscc"
)

func adminAudit(e *Env) *cobra.Command {
	return group("audit", "Show and verify the audit log", "  keposs admin audit show\n  keposs admin audit verify",
		adminAuditShow(e), adminAuditVerify(e))
}

func adminAuditShow(e *Env) *cobra.Command {
	var from uint64
	var most int
	c := &cobra.Command{
		Use:   "show",
		Short: "Show events of the audit log; ids are digests",
		Long: `Show events of the audit log. Users, devices and apps stand in it as keyed digests:
who reads the log learns that something was done to somebody, not to whom.`,
		Example: `  keposs admin audit show
  keposs admin audit show --from 1000 --most 50 --json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			const op = "admin audit show"
			if most < 1 || most > 1000 {
				return usagef(op, "--most %d, want 1 to 1000", most)
			}
			return e.withAdmin(c.Context(), op, func(ctx context.Context, a *administrator) error {
				events, err := a.AuditPage(ctx, from, most)
				if err != nil {
					return err
				}
				out := struct {
					Events []sscc.AuditEvent `json:"events"`
				}{events}
				if out.Events == nil {
					out.Events = []sscc.AuditEvent{}
				}
				return e.Report(out, func(w io.Writer) { printEvents(w, out.Events) })
			})
		},
	}
	c.Flags().Uint64Var(&from, "from", 0, "`number` of the first event")
	c.Flags().IntVar(&most, "most", 100, "`count` of events, up to 1000")
	return c
}

// printEvents writes one JSON line for each event: what a log tool reads.
func printEvents(w io.Writer, events []sscc.AuditEvent) {
	for _, v := range events {
		b, err := json.Marshal(v)
		if err != nil {
			continue
		}
		fmt.Fprintf(w, "%s\n", b)
	}
}

func adminAuditVerify(e *Env) *cobra.Command {
	return &cobra.Command{
		Use:     "verify",
		Short:   "Verify the whole audit log: chain, signatures, and the head kept outside the database; exit status 1 when something is wrong",
		Example: "  keposs admin audit verify\n  keposs admin audit verify --json",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return e.withAdmin(c.Context(), "admin audit verify", func(ctx context.Context, a *administrator) error {
				r, err := a.VerifyAudit(ctx)
				if err != nil {
					return err
				}
				return e.Verdict(r.OK, r, func(w io.Writer) {
					fmt.Fprintf(w, "%s: %d events, head %s\n", pickText(r.OK, "intact", "NOT intact"), r.Events, r.Head)
					for _, f := range r.Faults {
						fmt.Fprintf(w, "fault: %s\n", f)
					}
				})
			})
		},
	}
}
