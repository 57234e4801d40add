// Package ppdcmd is `keposs lab ppd`: measuring biometric sources on data.
package ppdcmd

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/ppd/face"
	"github.com/keposs/keposs/ppd/lab"
)

// FaceCommand is `lab ppd face`.
func FaceCommand() *cobra.Command {
	var data, labels, profile, html, plugin string
	var o lab.FaceOptions
	var bits int
	var asJSON, protection bool
	c := &cobra.Command{
		Use:   "face",
		Short: "Measure the face source on embeddings",
		Long: `Enrols every identity that has enough captures, recovers with one, two and
three captures fused, and holds every record against every other identity's
rows. Prints FTE, FNMR, FMR, bits, sizes and times beside what a plain cosine
matcher reaches on the same vectors. Deterministic for a seed count.

Labels are a CSV with the columns row, id, capture and, optionally, role:
identities of role "impostor" are used for false matches only. Without --data
a synthetic set is measured, which says nothing about real faces.

--protection asks instead what stored records tell: unlinkability, renewability,
wrong keys, hill climbing and timing, and, with every rotation known, rebuilding
the face from up to 32 records, linking records and opening them with other
people's rows, on this source and on planted weak variants, ranked, the weakest
first; with --plugin on a foreign executable (what it answers only), which nobody
vouches for and which runs unpinned.`,
		Example: `  keposs lab ppd face --data lfw.npy --labels lfw.csv --profile lfw.npz
  keposs lab ppd face --data lfw.npy --labels lfw.csv --seeds 3 --json
  keposs lab ppd face --data lfw.npy --labels lfw.csv --profile lfw.npz --protection
  keposs lab ppd face --html report.html`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			set, err := faceSet(data, labels)
			if err != nil {
				return err
			}
			if profile != "" {
				if o.Profile, err = face.LoadProfile(profile); err != nil {
					return err
				}
			}
			switch bits {
			case 29:
				o.Code = face.Code29
			case 36:
				o.Code = face.Code36
			default:
				return core.Errorf(core.Usage, "lab ppd face", "--bits %d, want 29 or 36", bits)
			}
			if plugin != "" && !protection {
				return core.Errorf(core.Usage, "lab ppd face", "--plugin goes with --protection: rates need a source whose words are known")
			}
			if protection {
				return protectFaces(cmd, set, o, profile, plugin, asJSON)
			}
			o.Progress = progress(cmd.ErrOrStderr())
			res, err := lab.Faces(cmd.Context(), set, o)
			if err != nil {
				return err
			}
			if html != "" {
				if err := lab.WriteFaceReport(html, res); err != nil {
					return err
				}
			}
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(res)
			}
			printFaces(cmd.OutOrStdout(), res)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&data, "data", "", "embeddings, .npy, one capture a row")
	f.StringVar(&labels, "labels", "", "labels, .csv with row, id, capture[, role]")
	f.StringVar(&profile, "profile", "", "profile, .npz with mu and W (none = identity)")
	f.IntVar(&o.Enrol, "enrol", 5, "captures at enrolment, 3 to 5")
	f.IntVar(&o.Seeds, "seeds", 10, "rotation seeds")
	f.IntVar(&bits, "bits", 29, "message bits of the code, 29 or 36")
	f.StringVar(&html, "html", "", "write a self-contained report here")
	f.BoolVar(&protection, "protection", false, "run the template-protection suite and its planted weak variants instead")
	f.StringVar(&plugin, "plugin", "", "with --protection: ask this executable instead of the built-in source")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	c.AddCommand(calibrateCommand())
	return c
}

func faceSet(data, labels string) (*lab.FaceSet, error) {
	if (data == "") != (labels == "") {
		return nil, core.Errorf(core.Usage, "lab ppd face", "give --data and --labels together")
	}
	if data == "" {
		return lab.SyntheticFaces(60, 9, 300, 1), nil
	}
	return lab.LoadFaces(data, labels)
}

// progress prints a line a second at most.
func progress(w io.Writer) func(done, total int, what string) {
	var last time.Time
	return func(done, total int, what string) {
		if now := time.Now(); done == total || now.Sub(last) >= time.Second {
			last = now
			_, _ = fmt.Fprintf(w, "%s: %d of %d\n", what, done, total)
		}
	}
}

func printFaces(w io.Writer, r *lab.FaceResult) {
	p := func(format string, a ...any) { _, _ = fmt.Fprintf(w, format+"\n", a...) }
	p("data      %s", r.Data)
	p("people    %d measured, %d with too few captures, %d impostors only; %d dimensions; profile %s", r.People, r.TooFew, r.Impostors, r.Dim, r.Profile)
	p("enrolment %d captures; norm gate %.3g (%s)", r.Enrol, r.NormGate, r.GateFrom)
	p("FTE       %.2f %%   captures refused for quality %.2f %%", 100*r.FTE, 100*r.FTA)
	for n, name := range []string{"1 capture ", "2 captures", "3 captures"} {
		i, b := r.Intervals[n], r.BalancedCI[n]
		p("FNMR      %s %6.2f %% [%.2f, %.2f]   balanced %6.2f %% [%.2f, %.2f]   (%d of %d)", name, 100*i.Value, 100*i.Low, 100*i.High, 100*b.Value, 100*b.Low, 100*b.High, i.Errors, i.Trials)
	}
	p("asked again because the pictures of one attempt disagree: %d of 2, %d of 3 captures", r.AskedAgain[1], r.AskedAgain[2])
	p("sessions  of others with 1 / 2 / 3 captures fused: %d / %d / %d false accepts in %d / %d / %d trials", r.Sessions.FalseAccepts[0], r.Sessions.FalseAccepts[1], r.Sessions.FalseAccepts[2],
		r.Sessions.Trials[0], r.Sessions.Trials[1], r.Sessions.Trials[2])
	p("FMR       %d false accepts in %d trials: 2^%.2f; at the 95 %% upper bound one try is worth %.1f bits, one decoding offline %.1f (%d words found)", r.FalseAccepts, r.ImpostorTrials, r.FMRLog2, -math.Log2(r.PerTry), r.OfflineBits, r.OfflineAccepts)
	if v := r.FMRInterval; v.Errors > 0 {
		p("          were other people measured, %.3g to %.3g false accepts of as many trials (95 %%, people resampled)", v.Low*float64(v.Trials), v.High*float64(v.Trials))
	}
	for _, w := range r.Pairs {
		p("          %s opened the record of %s %d times", w.Sample, w.Record, w.Accepts)
	}
	p("plain cosine matcher, one capture: FNMR %s at FMR 1e-5, %s at 1e-6", percent(r.Ceiling.At1e5), percent(r.Ceiling.At1e6))
	p("helper    %d bytes; enrol %.2f ms, decode %.3f ms, answer %.1f ms (constant)", r.HelperBytes, r.Ms.Enrol, r.Ms.Decode, r.Ms.Answer)
}

func percent(v *float64) string {
	if v == nil {
		return "(too few trials)"
	}
	return fmt.Sprintf("%.2f %%", 100**v)
}
