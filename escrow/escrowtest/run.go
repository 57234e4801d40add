package escrowtest

import (
	"errors"
	"testing"

	"github.com/keposs/keposs/internal/testenv"
)

// Run tests h: every case up to KEPOSS_TEST_LEVEL.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for _, mode := range modes(h) {
		t.Run(mode.name, func(t *testing.T) { runMode(t, mode.harness) })
	}
}

func runMode(t *testing.T, h Harness) {
	r := NewRig(h, testenv.Level())
	defer r.Close()
	for _, c := range Cases() {
		t.Run(c.Group+"/"+c.Name, func(t *testing.T) {
			testenv.NeedLevel(t, c.Level)
			err := RunCase(t.Context(), r, c)
			var skip Skip
			switch {
			case errors.As(err, &skip):
				t.Skip(skip)
			case err != nil:
				t.Fatalf("%v\nrule: %s\nadvice: %s", err, c.Rule, c.Advice)
			}
		})
	}
}

type mode struct {
	name    string
	harness Harness
}

// modes returns h itself, through the plugin glue, and as a plugin process.
func modes(h Harness) []mode { return []mode{{"bare", h}} }
