package policy

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
)

// Bounds of GM/T 0028 for authentication at level 2, as probabilities.
const (
	MaxRandomTry = 1e-6 // one random try succeeds with less (7.4.4, G-7.4-04)
	MaxPerMinute = 1e-5 // the tries of one minute succeed with less (G-7.4-05)
	anchorBits   = 128  // what the anchor is credited with; it has 256
)

// An Attacker is a row of the threat model.
type Attacker string

// The attackers a strength is given for.
const (
	AttackerS  Attacker = "S"        // SS-CC with everything it has; no terminal
	AttackerD  Attacker = "D+online" // the terminal's disk and device key, talking to SS-CC
	AttackerSD Attacker = "S+D"      // both
)

// A Factor is one factor's strength as its source declares it.
type Factor struct {
	Label    string
	Source   string // "" = SourceOf(Label)
	Kind     core.FactorKind
	Strength core.Strength
}

// Input is what a strength depends on.
type Input struct {
	Tree    *Tree
	Factors []Factor // one per label
	KDF     core.Params
	Mode    protocol.Mode
	Limit   int  // tries SS-CC answers per administrator unlock, 1 to 10
	Anchor  bool // false only for study
	// SlowCall is the attacker's time for one slow KDF call on one core, and
	// Decode that for one decoder draw of a biometric search. Cores is how many
	// the attacker has. Zero values: 250 ms, 1 µs, 1.
	SlowCall time.Duration
	Decode   time.Duration
	Cores    int
}

// Credit returns the part of a claimed strength its evidence carries: a
// knowledge or possession factor's figures must be "counted" or "measured", a
// biometric's "measured". What has no such evidence is credited with nothing,
// and why says so.
func Credit(kind core.FactorKind, s core.Strength) (credited core.Strength, why string) {
	counted := strings.HasPrefix(s.Evidence, "counted")
	measured := strings.HasPrefix(s.Evidence, "measured")
	if measured || counted && kind != core.KindBiometric {
		if s.BestGuess > s.PerTry {
			// A best guess is never worse than a random one.
			s.BestGuess = s.PerTry
		}
		return s, ""
	}
	why = "no evidence that was counted or measured, so nothing is credited"
	if kind == core.KindBiometric && counted {
		why = "a biometric's strength must be measured on real samples; a count proves nothing, so nothing is credited"
	}
	return core.Strength{Evidence: s.Evidence}, why
}

// bitsOf turns millibits into bits.
func bitsOf(m core.Millibits) float64 { return float64(m) / 1000 }

// chance is 2^-bits.
func chance(bits float64) float64 { return math.Exp2(-bits) }

// Work is what an attack on one set costs.
type Work struct {
	Attacker Attacker `json:"attacker"`
	// How is "nothing", "online" (counted tries) or "offline" (uncounted).
	How string `json:"how"`
	// SlowCallsBits is log2 of the slow KDF calls that certainly find it;
	// DecoderBits log2 of the decoder draws, spent before them, as a stage of
	// their own. 0 = none.
	SlowCallsBits float64 `json:"slow_calls_bits"`
	DecoderBits   float64 `json:"decoder_bits"`
	// Seconds is the whole search on the cores given; +Inf is left out as -1.
	Seconds float64 `json:"seconds"`
	// Online: chance to succeed within the limit, by random tries and by the
	// best guesses; BestGuessKnown is false when a factor has no measurement.
	RandomWithinLimit float64 `json:"random_within_limit"`
	BestWithinLimit   float64 `json:"best_within_limit"`
	Words             string  `json:"words"`
}

// SetStrength is one minimal set.
type SetStrength struct {
	Factors        []string `json:"factors"`
	Knowledge      bool     `json:"knowledge"`
	RandomTryBits  float64  `json:"random_try_bits"`
	RandomTry      float64  `json:"random_try"`
	BestGuessBits  float64  `json:"best_guess_bits"`
	BestGuess      float64  `json:"best_guess"`
	BestGuessKnown bool     `json:"best_guess_known"`
	Attackers      []Work   `json:"attackers"`
}

// set computes one set's figures.
func (in Input) set(labels []string) SetStrength {
	s := SetStrength{Factors: labels, BestGuessKnown: true}
	var know, best, decode float64 // bits of guessable factors, of their best guess, decoder draws (log2 of the sum)
	var bioTry float64
	decode = math.Inf(-1)
	for _, l := range labels {
		f := in.factor(l)
		st, _ := Credit(f.Kind, f.Strength)
		s.RandomTryBits += bitsOf(st.PerTry)
		guess := bitsOf(st.BestGuess)
		if st.BestGuess == 0 {
			s.BestGuessKnown = s.BestGuessKnown && f.Kind != core.KindKnowledge
			guess = bitsOf(st.PerTry)
		}
		s.BestGuessBits += guess
		if f.Kind == core.KindBiometric {
			bioTry += bitsOf(st.PerTry)
			decode = logSum(decode, bitsOf(st.Offline))
			continue
		}
		s.Knowledge = s.Knowledge || f.Kind == core.KindKnowledge
		know += bitsOf(st.PerTry)
		best += guess
	}
	s.RandomTry, s.BestGuess = chance(s.RandomTryBits), chance(s.BestGuessBits)
	if math.IsInf(decode, -1) {
		decode = 0
	}
	s.Attackers = []Work{in.workS(s, know), in.workD(s, know, best, decode), in.offline(AttackerSD, know, decode)}
	return s
}

// logSum is log2(2^a + 2^b).
func logSum(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if math.IsInf(b, -1) {
		return a
	}
	return a + math.Log2(1+math.Exp2(b-a))
}

func (in Input) factor(label string) Factor {
	i := slices.IndexFunc(in.Factors, func(f Factor) bool { return f.Label == label })
	if i < 0 {
		return Factor{Label: label}
	}
	return in.Factors[i]
}

// workS: the anchor is in every set and SS-CC never sees it.
func (in Input) workS(s SetStrength, know float64) Work {
	if !in.Anchor {
		w := in.offline(AttackerS, know, 0)
		w.Words = "without an anchor SS-CC's operator searches the factors offline: " + w.Words
		return w
	}
	return Work{Attacker: AttackerS, How: "nothing", SlowCallsBits: anchorBits + s.RandomTryBits, Seconds: -1,
		Words: fmt.Sprintf("nothing can be tested: every set needs the anchor (%d bits and more), which SS-CC never sees; the factors' %.1f bits come on top", anchorBits, s.RandomTryBits)}
}

// workD: with the device key the policy can be read uncounted; that alone is
// the whole offline search in plain mode and none in hardened mode.
func (in Input) workD(s SetStrength, know, best, decode float64) Work {
	if in.Mode != protocol.ModeHardened {
		w := in.offline(AttackerD, know, decode)
		w.Words = "plain mode: one uncounted policy call, then offline: " + w.Words
		return w
	}
	limit := float64(in.Limit)
	w := Work{Attacker: AttackerD, How: "online", DecoderBits: decode, Seconds: -1,
		RandomWithinLimit: min(1, limit*chance(s.RandomTryBits)), BestWithinLimit: min(1, limit*chance(s.BestGuessBits))}
	if decode == 0 {
		w.Words = fmt.Sprintf("hardened mode: %d counted tries, then an administrator must unlock: %s", in.Limit, odds(w))
		return w
	}
	// The anchor unmasks the helper, so a biometric falls offline first and
	// only the other factors stand behind the count.
	if know == 0 {
		w.How, w.Seconds = "offline", in.seconds(0, decode)
		w.RandomWithinLimit, w.BestWithinLimit = 1, 1
		w.Words = fmt.Sprintf("the biometric helper is searched offline in about 2^%.1f decoder draws (%s), then one try opens: hardened mode does not stop this set; a knowledge factor would", decode, duration(w.Seconds))
		return w
	}
	w.RandomWithinLimit, w.BestWithinLimit = min(1, limit*chance(know)), min(1, limit*chance(best))
	w.Words = fmt.Sprintf("hardened mode: after 2^%.1f decoder draws for the biometric (%s), %d counted tries on the rest: %s",
		decode, duration(in.seconds(0, decode)), in.Limit, odds(w))
	return w
}

func odds(w Work) string {
	return fmt.Sprintf("success %.2g by random tries, %.2g by best guesses", w.RandomWithinLimit, w.BestWithinLimit)
}

// offline is the uncounted search: stages add, guessable factors multiply.
func (in Input) offline(a Attacker, know, decode float64) Work {
	w := Work{Attacker: a, How: "offline", SlowCallsBits: know, DecoderBits: decode, Seconds: in.seconds(know, decode),
		RandomWithinLimit: 1, BestWithinLimit: 1}
	switch {
	case decode == 0:
		w.Words = fmt.Sprintf("2^%.1f candidates, one slow call each: %s", know, duration(w.Seconds))
	case know == 0:
		w.Words = fmt.Sprintf("the biometric alone: 2^%.1f decoder draws, %s", decode, duration(w.Seconds))
	default:
		w.Words = fmt.Sprintf("2^%.1f decoder draws, then 2^%.1f candidates, one slow call each (the bits do not add up): %s", decode, know, duration(w.Seconds))
	}
	return w
}

// seconds is the time of a whole search.
func (in Input) seconds(know, decode float64) float64 {
	s := math.Exp2(know) * in.SlowCall.Seconds()
	if decode > 0 {
		s += math.Exp2(decode) * in.Decode.Seconds()
	}
	return min(s/float64(in.Cores), 1e300) // finite, so that JSON can say it
}

// duration says a span in the unit a person thinks in.
func duration(s float64) string {
	for _, u := range []struct {
		name string
		s    float64
	}{{"years", 365.25 * 86400}, {"days", 86400}, {"hours", 3600}, {"minutes", 60}} {
		if s >= 2*u.s {
			if v := s / u.s; v >= 1e6 {
				return fmt.Sprintf("%.1e %s", v, u.name)
			}
			return fmt.Sprintf("%.1f %s", s/u.s, u.name)
		}
	}
	return fmt.Sprintf("%.2g seconds", s)
}
