package cli

import (
	"github.com/spf13/cobra"

	"github.com/keposs/keposs/cmd/keposs/internal/lab/escrowcmd"
	"github.com/keposs/keposs/cmd/keposs/internal/lab/faultscmd"
	"github.com/keposs/keposs/cmd/keposs/internal/lab/kdfcmd"
	"github.com/keposs/keposs/cmd/keposs/internal/lab/policycmd"
	"github.com/keposs/keposs/cmd/keposs/internal/lab/ppdcmd"
	"github.com/keposs/keposs/cmd/keposs/internal/lab/thief"
)

// labCommands is the laboratory: every figure in the documents is printed by one
// of these.
func labCommands(e *Env) []*cobra.Command {
	return []*cobra.Command{
		group("lab", "Measure: attack costs, error rates, speeds", "  keposs lab kdf\n  keposs lab policy --attack\n  keposs lab ppd face --data faces.npy --labels faces.csv",
			kdfcmd.Command(readVersion().Version),
			kdfcmd.CompareCommand(),
			kdfcmd.ExportCommand(),
			policycmd.Command(),
			thief.Command(),
			escrowcmd.Command(),
			faultscmd.Command(),
			group("ppd", "Measure PPD sources on data", "  keposs lab ppd face --data faces.npy --labels faces.csv",
				ppdcmd.FaceCommand(),
				ppdcmd.GestureCommand(),
				ppdcmd.PINCommand(),
				ppdcmd.FingerprintCommand(),
			),
		),
		group("kdf", "Choose the cost of the key derivation", "  keposs kdf calibrate\n  keposs kdf list",
			kdfcmd.CalibrateCommand(),
			kdfcmd.ListCommand(),
		),
		group("policy", "Read factor policies", "  keposs policy explain 'pin & gesture'",
			policycmd.ExplainCommand(), policyShowCommand(e),
		),
	}
}
