package cli

import (
	"github.com/spf13/cobra"

	"github.com/keposs/keposs/cmd/keposs/internal/lab/policycmd"
	"github.com/keposs/keposs/cmd/keposs/internal/lab/ppdcmd"
)

// labCommands is the laboratory: every figure in the documents is printed by one
// of these.
func labCommands(*Env) []*cobra.Command {
	return []*cobra.Command{
		group("lab", "Measure: attack costs, error rates, speeds", "  keposs lab policy --attack\n  keposs lab ppd face --data faces.npy --labels faces.csv",
			policycmd.Command(),
			group("ppd", "Measure PPD sources on data", "  keposs lab ppd face --data faces.npy --labels faces.csv",
				ppdcmd.FaceCommand(),
				ppdcmd.FingerprintCommand(),
			),
		),
		group("policy", "Read factor policies", "  keposs policy explain 'pin & gesture'",
			policycmd.ExplainCommand(),
		),
	}
}
