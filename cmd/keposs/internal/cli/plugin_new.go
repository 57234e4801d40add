package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/cmd/keposs/internal/scaffold"
)

// made is what `keposs plugin new --json` prints.
type made struct {
	Dir   string   `json:"dir"`
	Files []string `json:"files"`
}

func pluginNewCommand(e *Env) *cobra.Command {
	p := scaffold.Plan{Lang: "go"}
	c := &cobra.Command{
		Use:   "new KIND NAME",
		Short: "Write the folder a new plugin begins with",
		Long: `Write a folder NAME that holds a working plugin: a program that passes its
conformance test, a README, a Makefile and a file for CI. KIND is ppd (a source),
sensor, kdf or escrow (a storage backend).

With --replace the Go module is built against keposs's sources in a folder, and
what they use is fetched already; else make deps fetches the published one.
In Python make deps installs what a plugin imports, from Debian.`,
		Example: `  keposs plugin new ppd rhythm
  keposs plugin new sensor my-camera --lang python
  keposs plugin new kdf memhard --replace ../keposs`,
		Args: exactly(2, "KIND and NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			p.Kind, p.Name = args[0], args[1]
			files, err := scaffold.Write(p.Name, p)
			if err != nil {
				return err
			}
			return e.Report(made{p.Name, files}, func(w io.Writer) {
				for _, f := range files {
					fmt.Fprintf(w, "%s/%s\n", p.Name, f)
				}
				fmt.Fprintf(w, "next: cd %s && make deps test   (%s/README.md tells more)\n", p.Name, p.Name)
			})
		},
	}
	c.Flags().StringVar(&p.Lang, "lang", p.Lang, "go or python")
	c.Flags().StringVar(&p.Replace, "replace", "", "`folder` of keposs's sources to build against")
	_ = c.MarkFlagDirname("replace")
	return c
}
