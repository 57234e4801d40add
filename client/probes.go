package client

import (
	"context"

	"github.com/keposs/keposs/core/mstcc/probes"
)

// ProbeHost is the app's own view of its platform.
type ProbeHost = probes.Host

// ProbeVerdict is what a ProbeHost says of a probe.
type ProbeVerdict = probes.Verdict

// Verdicts a ProbeHost gives.
const (
	ProbeOK      = probes.OK
	ProbeBad     = probes.Bad
	ProbeUnknown = probes.Unknown
)

// probes looks at this machine for the module. P-09 is what the
// image's tests said.
func (c *Client) probes(from Options) func(ctx context.Context, level uint32, quick bool) []probes.Finding {
	o := probes.Options{Dirs: []string{c.folder.dir, c.folder.keys(), c.folder.state()}, Host: from.Host, Clock: &c.clock}
	if signedImage() {
		// Only a self-test asks for P-09, and the image's own tests have just
		// passed in it: a failed one stops everything before the probes.
		o.Image = func() error { return nil }
	}
	return func(ctx context.Context, level uint32, quick bool) []probes.Finding {
		p := o
		p.Level, p.Quick = level, quick
		if from.ask != nil {
			p.Host = from.ask(ctx, probes.IDs(quick))
		}
		return probes.Run(ctx, probes.System(), p)
	}
}
