package kdfcmd

import (
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/kdf/lab/challenge"
)

// ExportCommand is `lab export`.
func ExportCommand() *cobra.Command {
	var out, answers string
	var costs []string
	var asJSON bool
	c := &cobra.Command{
		Use:   "export",
		Short: "Write sealed test records and a public challenge set for outside crackers",
		Long: `Draws random PINs of 4 and 6 digits for each KDF cost and writes a folder:

  challenges.txt   one line each: $keposs$v=1$NAME$PARAMS$SALT$KEY
  crypt.txt        the same PINs as crypt(3) texts, for the KDFs that have one
  challenge.json   all of it, and sealed KEPOSS-MF/1 records with everything but
                   the PIN: stored policy and bundle, device secret, public keys

Nobody keeps the PINs, unless --answers names a file for them. The string form
is described in docs/kdf-study.md.`,
		Example: `  keposs lab export --out challenge
  keposs lab export --out toy --kdf 'pbkdf2sm3$i=1024' --answers answers.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			const op = "lab export"
			if out == "" {
				return core.Errorf(core.Usage, op, "want --out FOLDER")
			}
			list := challenge.Defaults()
			if len(costs) > 0 {
				list = nil
			}
			for _, s := range costs {
				p, err := core.ParseParams(s)
				if err != nil {
					return err
				}
				list = append(list, p)
			}
			set, known, err := challenge.Make(cmd.Context(), list, rand.Reader)
			if err != nil {
				return err
			}
			if err := os.MkdirAll(out, 0o755); err != nil {
				return core.Errorf(core.Usage, op, "%w", err)
			}
			if err := writeSet(out, set); err != nil {
				return err
			}
			if answers != "" {
				f, err := os.OpenFile(answers, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
				if err != nil {
					return core.Errorf(core.Usage, op, "%w", err)
				}
				err = writeJSON(f, known)
				if e := f.Close(); err == nil && e != nil {
					err = core.Errorf(core.Exhausted, op, "%w", e)
				}
				if err != nil {
					return err
				}
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), map[string]any{"folder": out, "challenges": len(set.Items), "records": len(set.Records), "answers": answers})
			}
			kept := "nobody keeps the PINs"
			if answers != "" {
				kept = "the PINs are in " + answers
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "wrote %d challenges and %d sealed records to %s; %s\n", len(set.Items), len(set.Records), out, kept)
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&out, "out", "", "folder to write")
	f.StringArrayVar(&costs, "kdf", nil, "KDF and cost, name$key=n, repeatable (default: from worthless through toy to the floors)")
	f.StringVar(&answers, "answers", "", "file for the PINs; must not exist")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func writeSet(out string, set *challenge.Set) error {
	if err := create(filepath.Join(out, "challenge.json"), func(w io.Writer) error { return writeJSON(w, set) }); err != nil {
		return err
	}
	lines := func(pick func(challenge.Item) string) func(io.Writer) error {
		return func(w io.Writer) error {
			for _, i := range set.Items {
				if s := pick(i); s != "" {
					if _, err := fmt.Fprintln(w, s); err != nil {
						return core.Errorf(core.Exhausted, "lab export", "%w", err)
					}
				}
			}
			return nil
		}
	}
	if err := create(filepath.Join(out, "challenges.txt"), lines(func(i challenge.Item) string { return i.Text })); err != nil {
		return err
	}
	return create(filepath.Join(out, "crypt.txt"), lines(func(i challenge.Item) string { return i.Crypt }))
}
