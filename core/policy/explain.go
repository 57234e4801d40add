package policy

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
)

// A Verdict says whether a level's rules hold, with the arithmetic in words.
type Verdict struct {
	OK  bool     `json:"ok"`
	Why []string `json:"why"`
}

// FactorStrength is one factor as credited.
type FactorStrength struct {
	Label     string  `json:"label"`
	Source    string  `json:"source"`
	Kind      string  `json:"kind"`
	PerTry    float64 `json:"per_try_bits"`
	BestGuess float64 `json:"best_guess_bits"` // 0 = not measured
	Offline   float64 `json:"offline_bits"`
	Evidence  string  `json:"evidence"`
	Note      string  `json:"note,omitempty"` // why less was credited than claimed
}

// An Explanation is what a policy is worth, per set and attacker.
type Explanation struct {
	Policy  string           `json:"policy"`
	Mode    string           `json:"mode"`
	KDF     string           `json:"kdf"`
	Anchor  bool             `json:"anchor"`
	Limit   int              `json:"limit"`
	Factors []FactorStrength `json:"factors"`
	Sets    []SetStrength    `json:"sets"`
	Weakest []Work           `json:"weakest"` // per attacker, the easiest set's
	Level1  Verdict          `json:"level1"`
	Level2  Verdict          `json:"level2"`
	Assumed string           `json:"assumed"`
}

// Explain computes strengths and verdicts. Errors have code Usage.
func Explain(in Input) (*Explanation, error) {
	const op = "policy: explain"
	if in.Tree == nil || in.Mode != protocol.ModePlain && in.Mode != protocol.ModeHardened {
		return nil, core.Errorf(core.Usage, op, "want a tree and a mode, plain or hardened")
	}
	if in.Limit < 1 || in.Limit > protocol.MaxHeld {
		return nil, core.Errorf(core.Usage, op, "limit %d, want 1 to %d tries", in.Limit, protocol.MaxHeld)
	}
	if in.SlowCall <= 0 {
		in.SlowCall = 250 * time.Millisecond
	}
	if in.Decode <= 0 {
		in.Decode = time.Microsecond
	}
	if in.Cores < 1 {
		in.Cores = 1
	}
	e := &Explanation{Policy: in.Tree.String(), Mode: in.Mode.String(), KDF: in.KDF.String(), Anchor: in.Anchor, Limit: in.Limit}
	e.Assumed = fmt.Sprintf("the attacker has %d core(s); a slow call takes %v and a decoder draw %v on one; factors are independent", in.Cores, in.SlowCall, in.Decode)
	for _, l := range in.Tree.Labels() {
		f := in.factor(l)
		if f.Kind == core.KindUnknown {
			return nil, core.Errorf(core.Usage, op, "no strength given for factor %s", l)
		}
		src := f.Source
		if src == "" {
			src = SourceOf(l)
		}
		st, note := Credit(f.Kind, f.Strength)
		e.Factors = append(e.Factors, FactorStrength{Label: l, Source: src, Kind: f.Kind.String(), PerTry: bitsOf(st.PerTry),
			BestGuess: bitsOf(st.BestGuess), Offline: bitsOf(st.Offline), Evidence: f.Strength.Evidence, Note: note})
	}
	for _, s := range in.Tree.MinimalSets() {
		e.Sets = append(e.Sets, in.set(s))
	}
	for i := range e.Sets[0].Attackers {
		w := e.Sets[0].Attackers[i]
		for _, s := range e.Sets[1:] {
			if easier(s.Attackers[i], w) {
				w = s.Attackers[i]
			}
		}
		e.Weakest = append(e.Weakest, w)
	}
	e.Level1 = in.level1(e)
	e.Level2 = in.level2(e) // reads Level1
	return e, nil
}

// easier orders two attacks of one attacker.
func easier(a, b Work) bool {
	if (a.How == "offline") != (b.How == "offline") {
		return a.How == "offline"
	}
	if a.How == "offline" {
		return a.Seconds < b.Seconds
	}
	if a.How == "online" {
		return a.BestWithinLimit > b.BestWithinLimit
	}
	return a.SlowCallsBits < b.SlowCallsBits
}

// level1 has no bound on a try; it wants the structure to be sound.
func (in Input) level1(e *Explanation) Verdict {
	v := Verdict{OK: true}
	if in.Anchor {
		v.Why = append(v.Why, "the anchor enters every set, so SS-CC alone tests nothing (clause 5.1)")
	} else {
		v.no("without an anchor SS-CC's operator searches the factors offline (clause 5.1): for study only")
	}
	for _, f := range e.Factors {
		if f.Note != "" {
			v.Why = append(v.Why, fmt.Sprintf("%s: %s", f.Label, f.Note))
		}
		if f.Kind == core.KindBiometric.String() && !in.Anchor {
			v.no(f.Label + ": a biometric needs the anchor")
		}
	}
	return v
}

func (v *Verdict) no(why string) {
	v.OK = false
	v.Why = append(v.Why, why)
}

// level2 applies G-7.4-04 to every set, and G-7.4-05 in hardened mode.
func (in Input) level2(e *Explanation) Verdict {
	v := Verdict{OK: e.Level1.OK}
	if !v.OK {
		v.Why = append(v.Why, "level 1 does not hold")
	}
	worst := 0.0
	for _, s := range e.Sets {
		name := strings.Join(s.Factors, " & ")
		if !s.Knowledge {
			v.no(name + ": no knowledge factor; biometrics alone can be searched offline once the anchor is known")
		}
		sum := in.sum(s.Factors)
		if p := s.RandomTry; p < MaxRandomTry {
			v.Why = append(v.Why, fmt.Sprintf("%s: a random try passes with %s = %.2g, less than 1/1 000 000", name, sum, p))
		} else {
			v.no(fmt.Sprintf("%s: a random try passes with %s = %.2g, not less than 1/1 000 000; a longer PIN (7 digits) or one more factor would do", name, sum, p))
		}
		worst = max(worst, s.RandomTry)
	}
	if in.Mode != protocol.ModeHardened {
		v.Why = append(v.Why, "no claim for the tries of one minute: in plain mode whoever has the terminal's disk and device key searches offline")
		return v
	}
	p := float64(in.Limit) * worst
	words := fmt.Sprintf("the tries of one minute: SS-CC answers at most %d, so %d x %.2g = %.2g", in.Limit, in.Limit, worst, p)
	if p < MaxPerMinute {
		v.Why = append(v.Why, words+", less than 1/100 000")
	} else {
		v.no(words + ", not less than 1/100 000")
	}
	return v
}

// sum writes the arithmetic of a set: "2^-(19.93 + 20.00)".
func (in Input) sum(labels []string) string {
	parts := make([]string, len(labels))
	for i, l := range labels {
		f := in.factor(l)
		st, _ := Credit(f.Kind, f.Strength)
		parts[i] = fmt.Sprintf("%.2f", bitsOf(st.PerTry))
	}
	if len(parts) == 1 {
		return "2^-" + parts[0]
	}
	return "2^-(" + strings.Join(parts, " + ") + ")"
}

// Text renders the explanation for a person.
func (e *Explanation) Text() string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("policy  %s", e.Policy)
	say("mode    %s, %d tries per unlock; kdf %s", e.Mode, e.Limit, e.KDF)
	for _, f := range e.Factors {
		best := "best guess not measured"
		if f.BestGuess > 0 {
			best = fmt.Sprintf("best guess 2^-%.2f", f.BestGuess)
		}
		say("factor  %s (%s, %s): random try 2^-%.2f, %s, offline 2^%.1f; %s", f.Label, f.Source, f.Kind, f.PerTry, best, f.Offline, f.Evidence)
		if f.Note != "" {
			say("        %s", f.Note)
		}
	}
	for i, s := range e.Sets {
		note := ""
		if !s.BestGuessKnown {
			note = " (some factor has no measured distribution: taken as uniform)"
		}
		say("way %-3d %s: random try %.2g, best guess %.2g%s", i+1, strings.Join(s.Factors, " & "), s.RandomTry, s.BestGuess, note)
		for _, w := range s.Attackers {
			say("        %-8s %s", w.Attacker, w.Words)
		}
	}
	for _, l := range []struct {
		name string
		v    Verdict
	}{{"level 1", e.Level1}, {"level 2", e.Level2}} {
		verdict := "holds"
		if !l.v.OK {
			verdict = "does not hold"
		}
		say("%s %s", l.name, verdict)
		for _, w := range l.v.Why {
			say("        %s", w)
		}
	}
	say("assumed %s", e.Assumed)
	return b.String()
}

// MillibitsOf returns −1000·log2(p) rounded down, for a chance 0 < p ≤ 1.
func MillibitsOf(p float64) core.Millibits {
	if !(p > 0 && p <= 1) {
		return 0
	}
	return core.Millibits(math.Floor(-1000 * math.Log2(p)))
}
