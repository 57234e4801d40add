package ppdcmd

import (
	"encoding/json"
	"fmt"
	"io"
	"sort"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/ppd/face"
	"github.com/keposs/keposs/ppd/fingerprint"
	"github.com/keposs/keposs/ppd/lab"
)

// protectFingers runs the template-protection suite on the built-in source or,
// with plugin, on an executable that takes the same records.
func protectFingers(cmd *cobra.Command, set *lab.FingerSet, o lab.FingerOptions, plugin string, given, asJSON bool) error {
	samples := lab.FingerProtection(set)
	if !given {
		samples.Plausible = nil // what is common to real fingers is not to synthetic ones
	}
	open := func() (core.Source, error) {
		return fingerprint.New(&fingerprint.Options{Profile: fingerprint.Profile{K: o.K, Fingers: 1}, Captures: o.Enrol, Work: min(o.Work, fingerprint.DefaultWork)})
	}
	if plugin == "" {
		rs, err := protect(cmd, samples, open)
		return tellProtection(cmd, rs, err, asJSON)
	}
	rs, err := protectPlugin(cmd, samples, plugin, nil)
	return tellProtection(cmd, rs, err, asJSON)
}

// protectFaces is the same for faces; on the built-in source it adds the attacks
// on stored faces by one who knows the rotations.
func protectFaces(cmd *cobra.Command, set *lab.FaceSet, o lab.FaceOptions, profile, plugin string, asJSON bool) error {
	if o.Profile == nil {
		o.Profile = face.Identity(set.Dim)
	}
	if o.Profile.Dim != set.Dim {
		return core.Errorf(core.Invalid, "lab ppd face", "the profile is for %d values, the data has %d", o.Profile.Dim, set.Dim)
	}
	samples := lab.FaceProtection(set, o.Profile)
	if plugin != "" {
		values := map[string]string{}
		if profile != "" {
			values["profile"] = profile
		}
		rs, err := protectPlugin(cmd, samples, plugin, values)
		return tellProtection(cmd, rs, err, asJSON)
	}
	rs, err := protect(cmd, samples, func() (core.Source, error) {
		return face.New(&face.Options{Profile: o.Profile, Code: o.Code})
	})
	if err != nil {
		return err
	}
	more, err := lab.AttackFaces(cmd.Context(), set, o.Profile, progress(cmd.ErrOrStderr()))
	rs = append(rs, more...)
	sort.SliceStable(rs, func(i, j int) bool { return rs[i].Broken > rs[j].Broken })
	return tellProtection(cmd, rs, err, asJSON)
}

// protectPlugin asks a foreign executable. What its helper means is unknown: it
// is judged by its bytes and by what it answers. values configure it; nil = its
// defaults.
func protectPlugin(cmd *cobra.Command, samples lab.ProtectionSet, plugin string, values map[string]string) ([]lab.ProtectionResult, error) {
	samples.Link, samples.Plausible, samples.Multiplicity = nil, nil, nil
	host := plugins.NewSupervisor(plugins.Options{Unpinned: true})
	defer func() { _ = host.Close() }()
	return protect(cmd, samples, func() (core.Source, error) {
		s, err := host.Source(cmd.Context(), plugins.File(plugin, plugins.KindSource, ""))
		if err != nil || len(values) == 0 {
			return s, err
		}
		return s, s.Configure(cmd.Context(), core.Config{Values: values})
	})
}

// protect runs the suite with planted variants.
func protect(cmd *cobra.Command, set lab.ProtectionSet, open func() (core.Source, error)) ([]lab.ProtectionResult, error) {
	return lab.Protect(cmd.Context(), set, lab.ProtectionOptions{Open: open, Control: true, Progress: progress(cmd.ErrOrStderr())})
}

func tellProtection(cmd *cobra.Command, rs []lab.ProtectionResult, err error, asJSON bool) error {
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
