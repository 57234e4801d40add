package cli

import (
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/core/mstcc/trail"
)

func auditCommands(e *Env) []*cobra.Command {
	return []*cobra.Command{group("audit", "Show and verify what the terminal's agent served",
		"  keposs audit show\n  keposs audit verify", auditShowCommand(e), auditVerifyCommand(e))}
}

// trailOf is the folder of the terminal's log.
func (e *Env) trailOf() (string, error) {
	l, err := e.Layout()
	return filepath.Join(l.Terminal, "audit"), err
}

func auditShowCommand(e *Env) *cobra.Command {
	var p auditPage
	c := &cobra.Command{
		Use:   "show",
		Short: "Show events of the terminal's audit log",
		Long: `Show events of the terminal's audit log: provisioning, zeroisation and, at level 2,
what keposs agent served. It tells which service was asked for by which process and
how it ended; it names no user and holds no secret.`,
		Example: "  keposs audit show\n  keposs audit show --from 1000 --most 50 --json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := p.check("audit show"); err != nil {
				return err
			}
			dir, err := e.trailOf()
			if err != nil {
				return err
			}
			events, err := trail.Read(dir, p.from, p.most)
			if err != nil {
				return err
			}
			return reportEvents(e, events)
		},
	}
	p.register(c)
	return c
}

func auditVerifyCommand(e *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Verify the terminal's whole audit log; exit status 1 when something is wrong",
		Long: `Verify the terminal's audit log: every link of the SM3 chain, and the head kept
beside it. Note the head it prints elsewhere: whoever owns the account can replace
log and head together, and is found out by a head of before.`,
		Example: "  keposs audit verify\n  keposs audit verify --json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			dir, err := e.trailOf()
			if err != nil {
				return err
			}
			r, err := trail.Verify(dir)
			if err != nil {
				return err
			}
			return e.Verdict(r.OK, r, func(w io.Writer) { printChain(w, r.OK, r.Events, r.Head, r.Faults) })
		},
	}
}
