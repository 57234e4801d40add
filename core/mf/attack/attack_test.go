package attack

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
)

func report(t *testing.T) *Report {
	t.Helper()
	r, err := Run(context.Background(), time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Attack 12: for any, k of, all, nested and a stolen device, a test costs one
// slow call per candidate; for the planted designs it does not.
func TestAttack12SlowCallCounter(t *testing.T) {
	r := report(t)
	ours, broken := 0, map[string]int{}
	for _, c := range r.Cases {
		if c.Design == DesignMF {
			ours++
			if c.SlowCalls < c.Candidates {
				t.Errorf("%s by %s: %d slow calls for %d candidates", c.Policy, c.Attacker, c.SlowCalls, c.Candidates)
			}
			if c.Found != (c.Attacker == "S+D") {
				t.Errorf("%s by %s: found %v", c.Policy, c.Attacker, c.Found)
			}
			continue
		}
		if !c.Found || c.SlowCalls >= c.Candidates {
			t.Errorf("planted %s under %s: found %v with %d slow calls for %d candidates; want a cheap break", c.Design, c.Policy, c.Found, c.SlowCalls, c.Candidates)
		}
		broken[c.Design]++
	}
	if ours < 4 || broken[DesignShamir] < 2 || broken[DesignPerFactor] < 2 {
		t.Errorf("%d cases of ours, broken %v", ours, broken)
	}
}

// Attack 26: the strength the policy engine prints is what the search costs.
func TestAttack26StrengthEqualsBruteForce(t *testing.T) {
	for _, c := range report(t).Cases {
		if c.Design != DesignMF || c.Attacker != "S+D" || c.Candidates == size([]string{"pin"})+size([]string{"gesture"}) {
			continue // the joined tables are two searches, not the best one
		}
		tree, err := policy.Parse(c.Policy)
		if err != nil {
			t.Fatal(err)
		}
		in := policy.Input{Tree: tree, Mode: protocol.ModePlain, Limit: 5, Anchor: true, KDF: core.NewParams("counted")}
		for _, l := range tree.Labels() {
			m := policy.MillibitsOf(1 / float64(spaces[l]))
			in.Factors = append(in.Factors, policy.Factor{Label: l, Kind: core.KindKnowledge, Strength: core.Strength{PerTry: m, Offline: m, Evidence: "counted: test"}})
		}
		e, err := policy.Explain(in)
		if err != nil {
			t.Fatal(err)
		}
		w := e.Weakest[2]
		if w.Attacker != policy.AttackerSD {
			t.Fatalf("weakest[2] is %s", w.Attacker)
		}
		// Each factor is rounded down to a thousandth of a bit.
		if got := math.Exp2(w.SlowCallsBits); got > float64(c.SlowCalls)*1.0001 || got < float64(c.SlowCalls)*0.997 {
			t.Errorf("%s: estimated %.1f slow calls, the search took %d", c.Policy, got, c.SlowCalls)
		}
		best := 0.0
		for _, s := range e.Sets {
			best = max(best, s.RandomTry)
		}
		if math.Abs(best*float64(c.Candidates)-1) > 0.003 {
			t.Errorf("%s: a random try is said to pass with %.3g, brute force says 1/%d", c.Policy, best, c.Candidates)
		}
	}
	// Planted: adding bits of sets that multiply would be noticed.
	if math.Abs(math.Exp2(math.Log2(60)+math.Log2(48))-float64(60+48)) < 1 {
		t.Error("this test could not tell a sum from a product")
	}
}

func TestRunStopsAtBudget(t *testing.T) {
	if _, err := Run(context.Background(), time.Microsecond, nil); !errors.Is(err, core.Timeout) {
		t.Errorf("a microsecond: %v, want timeout", err)
	}
}
