package ppdcmd

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/ppd/face"
	"github.com/keposs/keposs/ppd/lab"
)

// calibrateCommand is `lab ppd face calibrate`.
func calibrateCommand() *cobra.Command {
	var data, labels, out, model string
	c := &cobra.Command{
		Use:   "calibrate",
		Short: "Make a profile from embeddings of one camera and model",
		Long: `Computes the mean, a partial whitening (eigenvalue^-1/4 of the covariance) and
the norm gate from people who will not be enrolled, and writes an .npz the face
source reads. Use the deployment's own camera: a foreign mean costs accuracy.`,
		Example: `  keposs lab ppd face calibrate --data crowd.npy --labels crowd.csv --out camera.npz --model mobilefacenet-1`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if data == "" || labels == "" || out == "" {
				return core.Errorf(core.Usage, "lab ppd face calibrate", "want --data, --labels and --out")
			}
			set, err := lab.LoadFaces(data, labels)
			if err != nil {
				return err
			}
			p, err := lab.Calibrate(set, model)
			if err != nil {
				return err
			}
			f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if err != nil {
				return core.Errorf(core.Invalid, "lab ppd face calibrate", "%w", err)
			}
			if err := face.WriteProfile(f, p); err != nil {
				_ = f.Close()
				return err
			}
			if err := f.Close(); err != nil {
				return core.Errorf(core.Exhausted, "lab ppd face calibrate", "%w", err)
			}
			h := p.Hash()
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "wrote %s: model %q, %d dimensions, norm gate %.3g, profile sm3:%x\n", out, p.Model, p.Dim, p.NormP10, h[:8])
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&data, "data", "", "embeddings, .npy")
	f.StringVar(&labels, "labels", "", "labels, .csv")
	f.StringVar(&out, "out", "", "profile to write, .npz; must not exist")
	f.StringVar(&model, "model", "", "tag of the embedding model, at most 64 bytes")
	return c
}
