package ppdcmd

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/ppd/lab/guess"
)

// curves are the options PIN and gesture studies share.
type curves struct {
	data, lists   []string
	total         uint64
	asJSON, asCSV bool
}

func (o *curves) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&o.data, "data", nil, "data set, repeatable: value,count lines, an order of one value a line, or JSON of unlock patterns")
	f.StringArrayVar(&o.lists, "blocklist", nil, "values another policy refuses, one a line, repeatable")
	f.Uint64Var(&o.total, "total", 0, "choices counted in all, when the data hold only the most frequent")
	f.BoolVar(&o.asJSON, "json", false, "print one JSON object")
	f.BoolVar(&o.asCSV, "csv", false, "print the curves as CSV")
}

// setting is what differs between PINs and gestures.
type setting struct {
	op      string
	uniform *guess.Distribution            // the best a person could do under the rules
	given   *guess.Distribution            // shown when no data are
	space   uint64                         // all values, for --total
	rules   func(v string) (string, error) // the source's own
	fits    func(v guess.Value) bool       // whether a value is of the form studied
}

// run studies every data set.
func (o *curves) run(w io.Writer, s setting) error {
	if o.asJSON && o.asCSV {
		return core.Errorf(core.Usage, s.op, "give --json or --csv, not both")
	}
	var lists []guess.Blocklist
	for _, path := range o.lists {
		values, _, err := guess.Load(path)
		if err != nil {
			return err
		}
		l := guess.Blocklist{Name: filepath.Base(path), Values: map[string]bool{}}
		for _, v := range values {
			l.Values[v.Text] = true
		}
		lists = append(lists, l)
	}
	var out []guess.Study
	if len(o.data) == 0 {
		out = append(out, guess.StudyOf(s.given))
	}
	for _, path := range o.data {
		values, counted, err := guess.Load(path)
		if err != nil {
			return err
		}
		all := len(values)
		values = slices.DeleteFunc(values, func(v guess.Value) bool { return !s.fits(v) })
		if len(values) == 0 {
			return core.Errorf(core.Invalid, s.op, "%s: none of %d values is of the form studied", path, all)
		}
		var st guess.Study
		if counted {
			var head *guess.Head
			if o.total > 0 {
				head = &guess.Head{Total: o.total, Space: s.space}
			}
			st, err = guess.Counts(filepath.Base(path), values, head, s.rules, lists)
		} else {
			st, err = guess.Order(filepath.Base(path), values, s.rules, lists)
		}
		if err != nil {
			return err
		}
		if n := all - len(values); n > 0 {
			st.Warnings = append(st.Warnings, fmt.Sprintf("%d of %d values are of another form and were left out", n, all))
		}
		out = append(out, st)
	}
	out = append(out, guess.StudyOf(s.uniform))
	switch {
	case o.asJSON:
		e := json.NewEncoder(w)
		e.SetIndent("", " ")
		e.SetEscapeHTML(false)
		return e.Encode(map[string]any{"schema": "keposs-lab-ppd-1", "studies": out})
	case o.asCSV:
		return writeCSV(w, out)
	default:
		return writeStudies(w, out)
	}
}

func writeCSV(w io.Writer, studies []guess.Study) error {
	c := csv.NewWriter(w)
	_ = c.Write([]string{"data", "evidence", "policy", "guesses", "success"}) // c.Error tells below
	for _, s := range studies {
		for _, v := range s.Curves {
			for _, p := range v.Points {
				_ = c.Write([]string{s.Data, s.Evidence, v.Policy, strconv.FormatUint(p.Guesses, 10), strconv.FormatFloat(p.Success, 'g', 8, 64)})
			}
		}
		for _, r := range s.Ranked { // no success is known of an order
			_ = c.Write([]string{s.Data, s.Evidence, r.Policy + ", refused of the first", strconv.Itoa(r.First), strconv.Itoa(r.Refused)})
		}
	}
	c.Flush()
	if err := c.Error(); err != nil {
		return core.Errorf(core.Exhausted, "lab ppd", "%w", err)
	}
	return nil
}

func writeStudies(w io.Writer, studies []guess.Study) error {
	for _, s := range studies {
		fmt.Fprintf(w, "%s (%s)\n", s.Data, s.Evidence)
		for _, m := range s.Warnings {
			fmt.Fprintf(w, "  warning: %s\n", m)
		}
		tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
		if len(s.Curves) > 0 {
			fmt.Fprint(tw, "  policy\tvalues")
			for _, n := range guess.StudyTries {
				fmt.Fprintf(tw, "\t%d tries", n)
			}
			fmt.Fprint(tw, "\tguesses for half\tG̃ 0.5, bits\n")
		}
		for _, c := range s.Curves {
			fmt.Fprintf(tw, "  %s\t%d", c.Policy, c.Values)
			for _, p := range c.Online {
				fmt.Fprintf(tw, "\t%.3g %%", 100*p.Success)
			}
			for _, f := range c.Work {
				if f.Alpha == 0.5 {
					fmt.Fprintf(tw, "\t%d\t%.2f", f.Guesses, f.Entropy)
				}
			}
			fmt.Fprintln(tw)
		}
		if len(s.Ranked) > 0 {
			fmt.Fprint(tw, "  policy\tof the first\trefused\n")
		}
		for _, r := range s.Ranked {
			fmt.Fprintf(tw, "  %s\t%d\t%d\n", r.Policy, r.First, r.Refused)
		}
		if err := tw.Flush(); err != nil {
			return core.Errorf(core.Exhausted, "lab ppd", "%w", err)
		}
		if len(s.Refused) > 0 {
			what := "choices of the file"
			if s.OrderOnly {
				what = "values of the file"
			}
			fmt.Fprintf(w, "  the rules refuse %.1f %% of the %s:\n", 100*s.Share, what)
			reasons := make([]string, 0, len(s.Refused))
			for why := range s.Refused {
				reasons = append(reasons, why)
			}
			slices.SortFunc(reasons, func(a, b string) int { return int(int64(s.Refused[b]) - int64(s.Refused[a])) })
			for _, why := range reasons {
				fmt.Fprintf(w, "    %9d  %s\n", s.Refused[why], why)
			}
		}
		fmt.Fprintf(w, "  source: %s\n\n", s.Source)
	}
	return nil
}
