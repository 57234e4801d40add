package cli

import (
	"github.com/spf13/cobra"

	"github.com/keposs/keposs/cmd/keposs/internal/prompt"
	"github.com/keposs/keposs/core"
)

// ppdFlag is where a command's PPD comes from: the terminal, an inherited
// descriptor, sample files for factors a sensor would take, or a pinned sensor.
type ppdFlag struct {
	fd      int
	samples []string
	sensor  sensorFlag
}

func (p *ppdFlag) register(c *cobra.Command) {
	c.Flags().IntVar(&p.fd, "ppd-fd", -1, "read PINs, gestures and other PPD from the inherited descriptor `N` (docs/ppd-fd.md)")
	c.Flags().StringArrayVar(&p.samples, "sample", nil, "take a factor's sample from a file, as `label=FILE`; may be repeated")
	p.sensor.register(c)
}

// given tells that no person at a terminal or sensor gave the PPD: results are
// not approved.
func (p *ppdFlag) given() bool { return p.fd >= 0 || len(p.samples) > 0 || len(p.sensor.names) > 0 }

// prompter returns who answers. The second result wipes what it holds.
func (p *ppdFlag) prompter(e *Env) (core.Prompter, func(), error) {
	var routes prompt.Mux
	wipe := func() {}
	if len(p.samples) > 0 {
		files, err := prompt.NewSamples(p.samples)
		if err != nil {
			return nil, wipe, err
		}
		routes = append(routes, prompt.Route{Kinds: prompt.FileKinds(), To: files})
	}
	if p.fd >= 0 {
		answers, err := prompt.OpenFD(p.fd)
		if err != nil {
			return nil, wipe, err
		}
		wipe = answers.Wipe
		return append(routes, prompt.Route{To: answers}), wipe, nil
	}
	return append(routes, prompt.Route{To: prompt.NewTerminal()}), wipe, nil
}
