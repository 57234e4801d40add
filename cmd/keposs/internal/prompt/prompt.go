// Package prompt answers the prompts of PPD sources on behalf of a person: at
// the terminal, from an inherited descriptor, from sensor-like sample files, or
// made up for a demonstration (K-15.4-02a, G-7.4-07).
//
// Samples are kept in secret buffers from the byte they are read. Whoever
// receives a sample owns it; each prompter says what it keeps and when it is
// wiped.
package prompt

import (
	"context"
	"slices"

	"github.com/keposs/keposs/core"
)

// MaxSample bounds one sample in bytes, whatever it is.
const MaxSample = 1 << 20

// Model is what samples typed by a person carry.
const Model = "keyboard"

// A Mux sends each prompt to the first prompter that serves one of its kinds.
type Mux []Route

// A Route is one entry of a Mux. With no Kinds it takes every prompt.
type Route struct {
	Kinds []core.SampleKind
	To    core.Prompter
}

var _ core.Prompter = Mux(nil)

// Ask implements core.Prompter. The prompt passed on asks only for the kinds
// the route serves.
func (m Mux) Ask(ctx context.Context, q core.Prompt) (core.Sample, error) {
	for _, r := range m {
		if len(r.Kinds) == 0 {
			return r.To.Ask(ctx, q)
		}
		var kinds []core.SampleKind
		for _, k := range q.Kinds {
			if slices.Contains(r.Kinds, k) {
				kinds = append(kinds, k)
			}
		}
		if kinds != nil {
			q.Kinds = kinds
			return r.To.Ask(ctx, q)
		}
	}
	return core.Sample{}, core.Errorf(core.Unsupported, "prompt", "%s: nothing here answers %v; give a file with --sample or a descriptor with --ppd-fd", q.Label, q.Kinds)
}
