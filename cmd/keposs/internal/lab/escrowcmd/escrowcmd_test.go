package escrowcmd

import (
	"os"
	"testing"

	"github.com/keposs/keposs/internal/testenv"
)

// TestMain lets the test binary be the terminals' process.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "lab" {
		c := Command()
		c.SetArgs([]string{"--drive"})
		if c.Execute() != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Every try of every round is answered and measured.
func TestRun(t *testing.T) {
	testenv.NeedLevel(t, 1)
	r, err := Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, us := range map[string]float64{"evaluate": r.Us.Evaluate, "evaluate_dleq": r.Us.Proof, "scalar_mult": r.Us.ScalarMult, "echo": r.Us.Echo} {
		if us <= 0 {
			t.Errorf("%s: %f µs", name, us)
		}
	}
}
