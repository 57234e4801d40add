package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"
)

func adminAudit(e *Env) *cobra.Command {
	return group("audit", "Show and verify the audit log", "  keposs admin audit show\n  keposs admin audit verify",
		adminAuditShow(e), adminAuditVerify(e))
}

func adminAuditShow(e *Env) *cobra.Command {
	var p auditPage
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
			if err := p.check(op); err != nil {
				return err
			}
			return e.withAdmin(c.Context(), op, func(ctx context.Context, a *administrator) error {
				events, err := a.AuditPage(ctx, p.from, p.most)
				if err != nil {
					return err
				}
				return reportEvents(e, events)
			})
		},
	}
	p.register(c)
	return c
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
				return e.Verdict(r.OK, r, func(w io.Writer) { printChain(w, r.OK, r.Events, r.Head, r.Faults) })
			})
		},
	}
}
