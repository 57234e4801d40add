package policy_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
)

func millibits(n float64) core.Millibits { return policy.MillibitsOf(1 / n) }

func pinOf(digits int) policy.Factor {
	return policy.Factor{Label: "pin", Kind: core.KindKnowledge, Strength: core.Strength{
		PerTry: millibits(math.Pow(10, float64(digits))), BestGuess: 6000, Offline: millibits(math.Pow(10, float64(digits))),
		Evidence: "counted: 10^n"}}
}

var (
	face = policy.Factor{Label: "face", Kind: core.KindBiometric, Strength: core.Strength{
		PerTry: 15600, Offline: 20000, Evidence: "measured on LFW"}}
	gesture33 = policy.Factor{Label: "gesture", Kind: core.KindKnowledge, Strength: core.Strength{
		PerTry: millibits(389112), Offline: millibits(389112), Evidence: "counted: all patterns of a phone"}}
)

func explain(t *testing.T, text string, mode protocol.Mode, fs ...policy.Factor) *policy.Explanation {
	t.Helper()
	tree, err := policy.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	e, err := policy.Explain(policy.Input{Tree: tree, Factors: fs, Mode: mode, Limit: 5, Anchor: true,
		KDF: core.NewParams("pbkdf2sm3", core.Param{Key: "i", N: 600000}), SlowCall: 19 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// req: G-7.4-04, G-7.4-05, G-7.4-06, K-3-02
func TestLevel2Boundaries(t *testing.T) {
	h, p := protocol.ModeHardened, protocol.ModePlain
	for _, c := range []struct {
		name, text string
		mode       protocol.Mode
		fs         []policy.Factor
		ok         bool
		say        string
	}{
		{"6 digits are exactly 10^-6: refused", "pin", h, []policy.Factor{pinOf(6)}, false, "not less than 1/1 000 000"},
		{"7 digits pass", "pin", h, []policy.Factor{pinOf(7)}, true, "less than 1/1 000 000"},
		{"3x3 gesture alone", "gesture", h, []policy.Factor{gesture33}, false, "not less than"},
		{"6 digits and a gesture", "pin & gesture", h, []policy.Factor{pinOf(6), gesture33}, true, "2^-(18.57 + 19.93)"},
		{"a face alone lacks knowledge", "face", h, []policy.Factor{face}, false, "no knowledge factor"},
		{"one weak way spoils the policy", "pin | face", h, []policy.Factor{pinOf(8), face}, false, "no knowledge factor"},
		{"plain makes no claim per minute", "pin", p, []policy.Factor{pinOf(7)}, true, "no claim for the tries of one minute"},
		{"per minute in hardened mode", "pin", h, []policy.Factor{pinOf(7)}, true, "less than 1/100 000"},
		{"a claim without evidence is worth nothing", "pin", h, []policy.Factor{{Label: "pin", Kind: core.KindKnowledge,
			Strength: core.Strength{PerTry: 99000}}}, false, "not less than"},
		{"a counted biometric is worth nothing", "pin & face", h, []policy.Factor{pinOf(6), {Label: "face", Kind: core.KindBiometric,
			Strength: core.Strength{PerTry: 99000, Evidence: "counted: code dimension"}}}, false, "not less than"},
	} {
		e := explain(t, c.text, c.mode, c.fs...)
		if e.Level2.OK != c.ok || !strings.Contains(strings.Join(e.Level2.Why, "\n"), c.say) {
			t.Errorf("%s: level 2 %v because %v; want %v with %q", c.name, e.Level2.OK, e.Level2.Why, c.ok, c.say)
		}
	}
}

// Bits multiply for one random try and add up as stages for who knows the anchor.
func TestStagesAdd(t *testing.T) {
	e := explain(t, "pin & face", protocol.ModeHardened, pinOf(6), face)
	s := e.Sets[0]
	if math.Abs(s.RandomTryBits-(19.931+15.6)) > 1e-9 {
		t.Errorf("random try %.3f bits", s.RandomTryBits)
	}
	want := map[policy.Attacker]string{policy.AttackerS: "nothing", policy.AttackerD: "online", policy.AttackerSD: "offline"}
	for _, w := range s.Attackers {
		if w.How != want[w.Attacker] {
			t.Errorf("%s: %s, want %s", w.Attacker, w.How, want[w.Attacker])
		}
		switch w.Attacker {
		case policy.AttackerSD:
			seconds := 1e6*0.019 + math.Exp2(20)*1e-6
			if math.Abs(w.Seconds/seconds-1) > 0.01 {
				t.Errorf("S+D: %.0f s, want the sum of both stages %.0f s", w.Seconds, seconds)
			}
		case policy.AttackerD:
			if math.Abs(w.RandomWithinLimit/5e-6-1) > 0.01 {
				t.Errorf("D+online: chance %.3g; the face falls offline, so 5 x 10^-6", w.RandomWithinLimit)
			}
			if math.Abs(w.BestWithinLimit/(5.0/64)-1) > 0.01 {
				t.Errorf("D+online best guesses: %.3g, want 5/64", w.BestWithinLimit)
			}
		}
	}
	if w := explain(t, "pin & face", protocol.ModePlain, pinOf(6), face).Weakest[1]; w.How != "offline" {
		t.Errorf("plain mode: the thief works %s, want offline", w.How)
	}
	if w := explain(t, "face", protocol.ModeHardened, face).Weakest[1]; w.How != "offline" {
		t.Errorf("a biometric alone in hardened mode: %s, want offline", w.How)
	}
}

func TestExplainJSONAndText(t *testing.T) {
	e := explain(t, "2 of (pin, gesture, face)", protocol.ModePlain, pinOf(6), gesture33, face)
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var back policy.Explanation
	if err := json.Unmarshal(b, &back); err != nil || len(back.Sets) != 3 || len(back.Weakest) != 3 {
		t.Errorf("JSON: %v, %d sets", err, len(back.Sets))
	}
	for _, want := range []string{"2 of (face, gesture, pin)", "way 3", "D+online", "level 2 holds", "best guess not measured"} {
		if !strings.Contains(e.Text(), want) {
			t.Errorf("text lacks %q:\n%s", want, e.Text())
		}
	}
}

func TestExplainRefuses(t *testing.T) {
	tree, _ := policy.Parse("pin")
	for name, in := range map[string]policy.Input{
		"no tree":     {Mode: protocol.ModePlain, Limit: 5},
		"no mode":     {Tree: tree, Limit: 5},
		"no limit":    {Tree: tree, Mode: protocol.ModePlain},
		"no strength": {Tree: tree, Mode: protocol.ModePlain, Limit: 5},
	} {
		if _, err := policy.Explain(in); core.CodeOf(err) != core.Usage {
			t.Errorf("%s: %v, want usage", name, err)
		}
	}
}
