package model_test

import (
	"testing"

	"github.com/keposs/keposs/docs/model"
	"github.com/keposs/keposs/internal/testenv"
)

// Every state of every scenario keeps every invariant. Without crashes at
// level 0, with one for each request from level 1 on.
// req: K-7.2-D3, K-15.4-L2b
func TestInvariantsHold(t *testing.T) {
	states, steps, crashes := 0, 0, uint8(min(testenv.Level(), 1))
	for _, sc := range model.Scenarios(crashes) {
		r := model.Explore(sc, model.NoBug)
		t.Logf("%-48s %9d states %10d steps", r.Scenario, r.States, r.Steps)
		if r.Fault != "" {
			t.Errorf("%s: %s", sc.Name, r.Fault)
		}
		states, steps = states+r.States, steps+r.Steps
	}
	t.Logf("%d states, %d steps", states, steps)
	if crashes > 0 && states < 1_000_000 {
		t.Errorf("%d states, want a million", states)
	}
}

// Each planted bug breaks an invariant somewhere.
func TestPlantedBugsAreFound(t *testing.T) {
	for bug, name := range model.Bugs() {
		found := ""
		for _, sc := range model.Scenarios(0) {
			if r := model.Explore(sc, bug); r.Fault != "" {
				found = r.Fault
				break
			}
		}
		if found == "" {
			t.Errorf("not found: %s", name)
		}
		t.Logf("%-50s %s", name, found)
	}
}
