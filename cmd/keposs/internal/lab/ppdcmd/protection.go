package ppdcmd

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/ppd/fingerprint"
	"github.com/keposs/keposs/ppd/lab"
)

// protectFingers runs the template-protection suite on the built-in source or,
// with plugin, on an executable that takes the same records. What a foreign
// helper means is unknown: it is judged by its bytes and by what it answers.
func protectFingers(cmd *cobra.Command, set *lab.FingerSet, o lab.FingerOptions, plugin string, given, asJSON bool) error {
	samples := lab.FingerProtection(set)
	if !given {
		samples.Plausible = nil // what is common to real fingers is not to synthetic ones
	}
	open := func() (core.Source, error) {
		return fingerprint.New(&fingerprint.Options{Profile: fingerprint.Profile{K: o.K, Fingers: 1}, Captures: o.Enrol, Work: min(o.Work, fingerprint.DefaultWork)})
	}
	if plugin != "" {
		samples.Link, samples.Plausible, samples.Multiplicity = nil, nil, nil
		host := plugins.NewSupervisor(plugins.Options{Unpinned: true})
		defer func() { _ = host.Close() }()
		open = func() (core.Source, error) {
			return host.Source(cmd.Context(), plugins.File(plugin, plugins.KindSource, ""))
		}
	}
	return protect(cmd, samples, open, asJSON)
}

// protect runs the suite with planted variants and prints what it found.
func protect(cmd *cobra.Command, set lab.ProtectionSet, open func() (core.Source, error), asJSON bool) error {
	rs, err := lab.Protect(cmd.Context(), set, lab.ProtectionOptions{Open: open, Control: true, Progress: progress(cmd.ErrOrStderr())})
	if err != nil {
		return err
	}
	if asJSON {
		e := json.NewEncoder(cmd.OutOrStdout())
		e.SetIndent("", "  ")
		return e.Encode(rs)
	}
	printProtection(cmd.OutOrStdout(), rs)
	return nil
}

func printProtection(w io.Writer, rs []lab.ProtectionResult) {
	for i, r := range rs {
		_, _ = fmt.Fprintf(w, "%d. %s: %d of %d findings broken (%s: %d people, %d records each, %d enrolments refused)\n", i+1, r.Source, r.Broken, len(r.Findings), r.Data, r.People, r.Records, r.Refused)
		for _, f := range r.Findings {
			mark := "ok    "
			if f.Broken {
				mark = "BROKEN"
			}
			_, _ = fmt.Fprintf(w, "   %s %-15s %8.3f, limit %.3f: %s\n", mark, f.Name, f.Value, f.Limit, f.Detail)
		}
	}
}
