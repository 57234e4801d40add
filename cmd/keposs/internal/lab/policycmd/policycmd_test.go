package policycmd

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf/attack"
	"github.com/keposs/keposs/core/policy"
)

func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	c := Command()
	var out bytes.Buffer
	c.SetOut(&out)
	c.SetErr(&out)
	c.SilenceUsage, c.SilenceErrors = true, true
	c.SetArgs(args)
	return out.String(), func() error { err := c.ExecuteContext(t.Context()); return err }()
}

func TestAttackJSON(t *testing.T) {
	c := Command()
	var out bytes.Buffer
	c.SetOut(&out)
	c.SetArgs([]string{"--attack", "--json"})
	if err := c.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	var r attack.Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	var raw struct {
		Cases []map[string]json.RawMessage `json:"cases"`
	}
	if err := json.Unmarshal(out.Bytes(), &raw); err != nil {
		t.Fatal(err)
	}
	for _, c := range raw.Cases {
		for _, field := range []string{"policy", "design", "candidates", "slow_calls", "fast_ops", "found"} {
			if _, ok := c[field]; !ok {
				t.Errorf("a case has no %s: %v", field, c)
			}
		}
	}
	if attack.DesignMF != "keposs-mf/1" || attack.DesignShamir != "shamir-then-kdf" || attack.DesignPerFactor != "kdf-per-factor" {
		t.Error("a design changed its name")
	}
	designs := map[string]int{}
	for _, c := range r.Cases {
		designs[c.Design]++
		if cheap := c.SlowCalls < c.Candidates; cheap == (c.Design == attack.DesignMF) {
			t.Errorf("%s %s: %d slow calls for %d candidates", c.Design, c.Policy, c.SlowCalls, c.Candidates)
		}
	}
	if designs[attack.DesignMF] < 4 || len(designs) != 3 {
		t.Errorf("cases by design: %v", designs)
	}
}

func TestExplain(t *testing.T) {
	c := Command()
	var out bytes.Buffer
	c.SetOut(&out)
	c.SetArgs([]string{"pin & (fingerprint | face)", "--kdf", "pbkdf2sm3$i=600000", "--json"})
	if err := c.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	var e policy.Explanation
	if err := json.Unmarshal(out.Bytes(), &e); err != nil {
		t.Fatal(err)
	}
	if len(e.Sets) != 2 || e.Policy != "pin & (face | fingerprint)" || e.Factors[2].PerTry == 0 {
		t.Errorf("explanation %+v", e)
	}
	out.Reset()
	c = Command()
	c.SetOut(&out)
	c.SetArgs([]string{"badge & pin", "--factor", "badge=possession:128", "--escrow", "plain"})
	if err := c.ExecuteContext(t.Context()); err != nil || !strings.Contains(out.String(), "plain mode: one uncounted policy call") {
		t.Errorf("%v:\n%s", err, out.String())
	}
}

func TestUsageErrors(t *testing.T) {
	for _, args := range [][]string{{}, {"pin", "--attack"}, {"retina"}, {"pin", "--escrow", "soft"}, {"pin", "--limit", "0"},
		{"pin", "--factor", "pin"}, {"pin", "--factor", "pin=magic:3"}, {"pin", "--factor", "pin=knowledge:x"}} {
		if _, err := run(t, args...); core.CodeOf(err) != core.Usage {
			t.Errorf("%v: %v, want usage", args, err)
		}
	}
}
