package memory_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sscc/sscctest"
	"github.com/keposs/keposs/escrow/escrowtest"
	"github.com/keposs/keposs/internal/testenv"
)

// SS-CC keeps its counter invariants over this engine.
// req: K-7.2-D3, TK-10
func TestInvariants(t *testing.T) {
	sscctest.Run(t, func(t *testing.T) core.Backend {
		if os.Getenv("KEPOSS_TEST_LYING") != "" {
			return lying{placed(t, volatile)}
		}
		return placed(t, logged)
	})
}

// lying is an engine whose compare-and-set says yes whatever was compared.
type lying struct{ core.Backend }

func (l lying) CommitMany(ctx context.Context, ms []core.Mutation) ([]core.Result, error) {
	r, err := l.Backend.CommitMany(ctx, ms)
	for i := range r {
		if core.CodeOf(r[i].Err) == core.Conflict {
			r[i] = core.Result{Version: ms[i].Expect + 1}
		}
	}
	return r, err
}

// The invariants fail over an engine that lies: they measure something.
func TestInvariantsCatchALyingEngine(t *testing.T) {
	c := exec.Command(os.Args[0], "-test.run=^TestInvariants$/^I1")
	c.Env = append(os.Environ(), "KEPOSS_TEST_LYING=1")
	out, err := c.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "want exactly 5") {
		t.Fatalf("a lying compare-and-set was not caught:\n%s", out)
	}
}

// Twenty races of 64 clients with 20 guesses each: exactly five answers in each.
func TestRaces(t *testing.T) {
	testenv.NeedLevel(t, 1)
	sscctest.Races(t, 20, func(t *testing.T) core.Backend { return placed(t, logged) })
}

// placed is a configured backend of its own place.
func placed(t *testing.T, h escrowtest.Harness) core.Backend {
	t.Helper()
	place, err := h.Place()
	if err != nil {
		t.Fatal(err)
	}
	if place.Remove != nil {
		t.Cleanup(place.Remove)
	}
	b, err := h.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	if err := b.Configure(context.Background(), place.Config); err != nil {
		t.Fatal(err)
	}
	return b
}
