package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/cmd/keposs/internal/server"
	"github.com/keposs/keposs/escrow/transfer"
)

// The database as a whole: moved to another backend, written to a file, put
// back. None of these commands opens a record.

// progress tells on standard error how far a transfer is, at most once a second
// and whenever the phase changes.
func (e *Env) progress() func(transfer.Progress) {
	var told time.Time
	phase := ""
	return func(p transfer.Progress) {
		if p.Phase == phase && time.Since(told) < time.Second {
			return
		}
		phase, told = p.Phase, time.Now()
		if p.Copied > 0 {
			fmt.Fprintf(e.Stderr, "%-8s %d records, %d written\n", p.Phase, p.Records, p.Copied)
		} else {
			fmt.Fprintf(e.Stderr, "%-8s %d records\n", p.Phase, p.Records)
		}
	}
}

func ssccMigrate(e *Env) *cobra.Command {
	var o server.MigrateOptions
	var settings string
	c := &cobra.Command{
		Use:   "migrate",
		Short: "Move the database to another backend, while SS-CC serves or stands still",
		Long: `Move the database to another backend: records, versions and tombstones are copied,
read again on both sides and compared, and config.toml names the new backend at the
end. An SS-CC that serves goes on serving: calls wait for a moment at the switch and
none fails. A backend that several SS-CC share is moved with all of them stopped.

Interrupted at any point, SS-CC is kept where config.toml says; the same command goes
on where it stopped. The old database stays where it was and is refused by serve from
then on: its counters are old.`,
		Example: `  keposs ss-cc migrate --to postgres --config postgres.toml
  keposs ss-cc migrate --from postgres --to badger --json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			const op = "ss-cc migrate"
			f, err := e.serverFolder()
			if err != nil {
				return err
			}
			if o.To.Settings, err = e.backendSettings(op, settings); err != nil {
				return err
			}
			o.Progress = e.progress()
			r, err := f.Migrate(c.Context(), o)
			if err != nil {
				return advise(err, "SS-CC is kept where config.toml says; run the same command again to go on")
			}
			return e.Report(r, func(w io.Writer) {
				fmt.Fprintf(w, "moved    %s to %s: %d records, %d tombstones, %d written by this run, %.1f s\n", r.From, r.To, r.Records, r.Tombstones, r.Copied, r.Seconds)
				if r.Live {
					fmt.Fprintf(w, "switch   calls waited %.1f ms\n", r.HeldMS)
				} else {
					fmt.Fprintf(w, "digest   %s, of both\n", r.Digest)
				}
			})
		},
	}
	f := c.Flags()
	f.StringVar(&o.From, "from", "", "the backend it is kept in now; refused when it is another one")
	f.StringVar(&o.To.Name, "to", "", "`backend` to move to (required)")
	f.StringVar(&settings, "config", "", "TOML `file` of the new backend's settings")
	_ = c.MarkFlagRequired("to")
	return c
}

func ssccSnapshot(e *Env) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "snapshot",
		Short: "Write the whole database to one file, while SS-CC is stopped",
		Long: `Write the whole database, as sealed as it is, to one file that restore puts into any
backend. Keep the digest it prints away from the file: verify shows that the file is
that one. docs/snapshot.md is the format.`,
		Example: "  keposs ss-cc snapshot --out keposs.snapshot",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			f, err := e.serverFolder()
			if err != nil {
				return err
			}
			r, err := f.Snapshot(c.Context(), out, e.progress())
			if err != nil {
				return err
			}
			return e.reportSnapshot(r)
		},
	}
	c.Flags().StringVarP(&out, "out", "o", "", "`file` to write (required)")
	_ = c.MarkFlagRequired("out")
	return c
}

func (e *Env) reportSnapshot(r transfer.SnapshotReport) error {
	return e.Report(r, func(w io.Writer) {
		fmt.Fprintf(w, "records  %d, and %d tombstones\n", r.Records, r.Tombstones)
		if r.Digest != "" {
			fmt.Fprintf(w, "made     %s, %d bytes\ndigest   %s\n", when(r.Created), r.Bytes, r.Digest)
		}
		fmt.Fprintf(w, "store    %s\n", r.Store)
	})
}

func ssccRestore(e *Env) *cobra.Command {
	var in string
	c := &cobra.Command{
		Use:   "restore",
		Short: "Put a snapshot into the empty database of this realm, while SS-CC is stopped",
		Long: `Put a snapshot into the empty database of this realm. The folder with config.toml,
tls and realm.json is the realm's own, from its backup. Every user in the snapshot is
frozen until the administrator unlocks them, because tries may have been answered
since: a restore gives none back. Interrupted, run it again.`,
		Example: "  keposs ss-cc restore --in keposs.snapshot",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			f, err := e.serverFolder()
			if err != nil {
				return err
			}
			r, err := f.Restore(c.Context(), in, e.progress())
			if err != nil {
				return err
			}
			return e.reportSnapshot(r)
		},
	}
	c.Flags().StringVarP(&in, "in", "i", "", "`file` that snapshot wrote (required)")
	_ = c.MarkFlagRequired("in")
	return c
}

func ssccVerify(e *Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Check a snapshot, or read every record of the database, while SS-CC is stopped",
		Long: `With FILE, check that a snapshot is whole and as it was written. Without, read every
record of the database; its store digest equals that of a snapshot when nothing was
written since. What the records say is sealed: admin audit verify checks their log.`,
		Example: "  keposs ss-cc verify keposs.snapshot\n  keposs ss-cc verify --json",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("ss-cc verify", "%d arguments, want at most one FILE", len(args))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				r, err := server.VerifySnapshot(args[0])
				if err != nil {
					return err
				}
				return e.reportSnapshot(r)
			}
			f, err := e.serverFolder()
			if err != nil {
				return err
			}
			r, err := f.VerifyStore(c.Context(), e.progress())
			if err != nil {
				return err
			}
			return e.reportSnapshot(r)
		},
	}
	return c
}
