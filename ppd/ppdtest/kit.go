package ppdtest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/internal/testenv"
)

// A Person answers prompts as one made-up human would. Two persons made from
// different seeds have different traits; each call is a new take of the same
// trait, exact for what is known, noisy for what is measured.
type Person interface{ core.Prompter }

// A Transport says how a case gets at a source: bare, through glue, from a
// plugin process. Open returns a fresh source and what ends it.
type Transport struct {
	Name string
	Open func(ctx context.Context) (core.Source, func() error, error)
}

// Harness describes the source under test.
type Harness struct {
	// New makes a fresh, unconfigured source. Used when Transport is not set.
	New func() core.Source
	// Transport replaces New.
	Transport *Transport
	// Person makes the person of a seed.
	Person func(seed uint64) Person
	// Poor makes a sample the source must refuse and ask again for; nil when
	// there is none.
	Poor func(core.Prompt) core.Sample
	// Params are enrolment parameters used throughout.
	Params map[string]string
	// Takes is how many recoveries of one enrolment must give its secret, out
	// of TakesOf; both 0 = every one of 3.
	Takes, TakesOf int
}

// A Case is one rule of the contract.
type Case struct {
	Name   string // stable, CamelCase
	Rule   string // the sentence of core.Source's contract it checks
	Advice string // what a plugin author does when it fails
	Group  string // describe, enrol, recover, privacy, robustness
	Level  int    // 0 fast, 1 in CI, 2 long
	Run    func(ctx context.Context, h Harness) error
}

// Timeout bounds one case.
const Timeout = 60 * time.Second

// Run runs every case of the present level as a subtest.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for _, c := range Cases() {
		t.Run(c.Group+"/"+c.Name, func(t *testing.T) {
			testenv.NeedLevel(t, c.Level)
			ctx, cancel := context.WithTimeout(context.Background(), Timeout)
			defer cancel()
			if err := c.Run(ctx, h); err != nil {
				t.Errorf("%v\nrule: %s\nwhat to do: %s", err, c.Rule, c.Advice)
			}
		})
	}
}

// Find returns the case of a name.
func Find(name string) (Case, bool) {
	for _, c := range Cases() {
		if c.Name == name {
			return c, true
		}
	}
	return Case{}, false
}

// open gives the case its source.
func (h Harness) open(ctx context.Context) (core.Source, func() error, error) {
	if h.Transport != nil {
		return h.Transport.Open(ctx)
	}
	return h.New(), func() error { return nil }, nil
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
