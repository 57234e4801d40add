package sm_test

import (
	"testing"

	"github.com/keposs/keposs/core/sm"
)

// req: K-16-05, G-7.10-04, K-6.1-03, K-6.2-01, K-8.1-01, K-16-00
func TestKnownAnswers(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range sm.KATs() {
		if seen[k.Name] {
			t.Errorf("two tests are named %s", k.Name)
		}
		seen[k.Name] = true
		t.Run(k.Name, func(t *testing.T) {
			if err := k.Run(); err != nil {
				t.Error(err)
			}
		})
	}
	if len(seen) != 12 {
		t.Errorf("%d tests, K-16-05 lists 11 and the channel needs the key exchange", len(seen))
	}
}

// What a start adds to the known answers passes on this machine, under names
// of its own.
// req: G-7.9-03, G-7.10-05, G-7.10-09
func TestSelfTests(t *testing.T) {
	names := map[string]bool{}
	for _, k := range sm.SelfTests() {
		if names[k.Name] {
			t.Errorf("two tests are named %s", k.Name)
		}
		names[k.Name] = true
		if err := k.Run(); err != nil {
			t.Error(err)
		}
	}
	for _, k := range sm.KATs() {
		delete(names, k.Name)
	}
	if len(names) != 4 {
		t.Errorf("beside the known answers: %v", names)
	}
}
