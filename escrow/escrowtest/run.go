package escrowtest

import (
	"errors"
	"testing"

	"github.com/keposs/keposs/internal/testenv"
)

// Run tests h: every case up to KEPOSS_TEST_LEVEL.
func Run(t *testing.T, h Harness) {
	t.Helper()
	run(t, h, func(Case) bool { return true })
}

// RunGroup tests h with the cases of one group.
func RunGroup(t *testing.T, h Harness, group string) {
	t.Helper()
	run(t, h, func(c Case) bool { return c.Group == group })
}

func run(t *testing.T, h Harness, which func(Case) bool) {
	r := NewRig(h, testenv.Level())
	defer r.Close()
	for _, c := range Cases() {
		if !which(c) {
			continue
		}
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
