package ppdcmd

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/ppd/lab"
)

// FingerprintCommand is `lab ppd fingerprint`.
func FingerprintCommand() *cobra.Command {
	var data, html, plugin string
	var o lab.FingerOptions
	var asJSON, protection bool
	c := &cobra.Command{
		Use:   "fingerprint",
		Short: "Measure the fingerprint source on minutiae records",
		Long: `Enrols every finger with its first impressions, recovers with the later ones,
and holds every record against the first and the later impressions of every
other finger. Acceptance after j attempts is the mean over all j-subsets of a
finger's later impressions. Rates come from draw counts and are checked in the
same run against the real decoder; impostors with any chance are all decoded.
Bits are decoder draws, one draw being one point held against one base.
Deterministic for a seed count, times apart.

--data holds ISO/IEC 19794-2:2005 or ANSI INCITS 378 records named
<finger>_<impression>.fmr; <person>_<finger> groups the fingers of a person for
the intervals. Without --data a synthetic set is measured, which says nothing
about real fingers.

--protection asks instead what stored records tell: unlinkability, record
multiplicity, wrong keys, hill climbing and timing, on this source and on
planted weak variants of it, ranked, the weakest first;
with --plugin on a foreign executable, which nobody vouches for and which runs
unpinned.`,
		Example: `  keposs lab ppd fingerprint --data fvc2002_db1b
  keposs lab ppd fingerprint --data fvc2002_db1b --seeds 1 --profile 9 --work 25 --json
  keposs lab ppd fingerprint --data fvc2002_db1b --protection
  keposs lab ppd fingerprint --html report.html`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			set, err := fingerSet(data)
			if err != nil {
				return err
			}
			if o.K < 8 || o.K > 10 {
				return core.Errorf(core.Usage, "lab ppd fingerprint", "--profile %d, want 8, 9 or 10", o.K)
			}
			if plugin != "" && !protection {
				return core.Errorf(core.Usage, "lab ppd fingerprint", "--plugin goes with --protection: draw counts need a source whose features are known")
			}
			if protection {
				return protectFingers(cmd, set, o, plugin, data != "", asJSON)
			}
			o.Progress = progress(cmd.ErrOrStderr())
			res, err := lab.Fingers(cmd.Context(), set, o)
			if err != nil {
				return err
			}
			if html != "" {
				if err := lab.WriteFingerReport(html, res); err != nil {
					return err
				}
			}
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(res)
			}
			printFingers(cmd.OutOrStdout(), res)
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&data, "data", "", "folder of <finger>_<impression>.fmr")
	f.IntVar(&o.Enrol, "enrol", 3, "captures at enrolment, 2 to 5")
	f.IntVar(&o.Seeds, "seeds", 3, "seeds of keys, grid offsets and searches")
	f.IntVar(&o.K, "profile", 9, "features that open: 8, 9 or 10")
	f.IntVar(&o.Work, "work", 25, "draws of one search, as a power of two, 18 to 25")
	f.StringVar(&html, "html", "", "write a self-contained report here")
	f.BoolVar(&protection, "protection", false, "run the template-protection suite and its planted weak variants instead")
	f.StringVar(&plugin, "plugin", "", "with --protection: ask this executable instead of the built-in source")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func fingerSet(data string) (*lab.FingerSet, error) {
	if data == "" {
		return lab.SyntheticFingers(12, 8, 1)
	}
	return lab.LoadFingers(data)
}

func printFingers(w io.Writer, r *lab.FingerResult) {
	p := func(format string, a ...any) { _, _ = fmt.Fprintf(w, format+"\n", a...) }
	p("data      %s: %d fingers of %d persons; %d enrolment captures, %d seeds, k = %d, 2^%d draws", r.Data, r.Fingers, r.Persons, r.Enrol, r.Seeds, r.Profile, r.Work)
	p("FTE       %.2f %% [%.2f, %.2f]", 100*r.FTE, 100*r.Intervals.FTE[0], 100*r.Intervals.FTE[1])
	for j, v := range r.AcceptAfter {
		p("accepted  after %d attempts %6.2f %% [%.2f, %.2f]", j+1, 100*v, 100*r.Intervals.AcceptAfter[j][0], 100*r.Intervals.AcceptAfter[j][1])
	}
	for _, b := range []string{"30", "35", "40"} {
		p("accepted  at %s bits in one attempt %6.2f %% [%.2f, %.2f]", b, 100*r.AcceptAtBits[b], 100*r.Intervals.AcceptAtBits[b][0], 100*r.Intervals.AcceptAtBits[b][1])
	}
	p("FMR       %d false accepts in %d trials; per try at most %.2g; offline %.1f bits (%s)", r.FalseAccepts, r.ImpostorTrials, r.PerTry, r.OfflineBits, r.BitsFrom)
	c := r.Check
	p("check     genuine: %.1f of %d predicted, %d accepted by the real decoder (%+.1f deviations); impostors: %.2g of %d predicted, %d accepted", c.GenuinePredicted, c.GenuineTrials, c.GenuineAccepted, c.Deviations, c.ImpostorPredicted, c.ImpostorTrials, c.ImpostorAccepted)
	p("helper    %d bytes; enrol %.0f ms, align %.1f ms, decode %.1f ms median and %.1f ms 90 %%, refusal %.0f ms, answer %.0f ms (constant, %+.1f %% for a refusal)", r.HelperBytes, r.Ms.Enrol, r.Ms.Align, r.Ms.DecodeP50, r.Ms.DecodeP90, r.Ms.Refuse, r.Ms.Answer, 100*r.Ms.Spread)
}
