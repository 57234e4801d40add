// Package pin turns a PIN a person knows into a factor secret (T/EMCG
// 001.3-2019 clause 7.1 step 2; GM/T 0028 clause 7.4).
//
// A PIN has digits only, or with the alphanumeric option ASCII letters and
// digits, at least one of each. Its length is bounded, 6 to 16 unless told
// otherwise. At enrolment it is typed twice and weak ones are refused by
// computation: sequences, repeats, repeated blocks, dates, shapes on the phone
// pad. No list of PINs is shipped.
//
// Secret, format 1: the ASCII bytes as typed, nothing added, no case folding,
// no Unicode normalisation; any byte outside the alphabet is refused, so that
// one PIN has one encoding whatever the keyboard.
//
// Helper, format 1, 4 bytes, public: rules version (1), alphabet (1 digits,
// 2 mixed), shortest, longest length. It holds nothing of the PIN. Strength is
// that of the length actually chosen, hence it tells the length to who reads
// the policy; a search starts with the short ones anyway.
package pin

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/ppd/internal/ask"
)

// Format is the version of the secret's derivation.
const Format = 1

// Bounds on the length, in characters.
const (
	MinLength     = 4
	MaxLength     = 32
	DefaultMin    = 6
	DefaultMax    = 16
	HelperSize    = 4
	rulesVersion  = 1
	maxRefusals   = 16 // prompts answered badly before a collection gives up
	longestAnswer = 256
)

// Alphabet says which characters a PIN may have. The zero value is refused.
type Alphabet uint8

// Alphabets; the numbers stand in helpers.
const (
	Digits Alphabet = 1
	Mixed  Alphabet = 2 // ASCII letters and digits, at least one of each
)

// Rules are the public parameters of one PIN.
type Rules struct {
	Alphabet Alphabet
	Min, Max int
}

func (r Rules) check(op string) error {
	if r.Alphabet != Digits && r.Alphabet != Mixed {
		return core.Errorf(core.Invalid, op, "unknown alphabet %d", r.Alphabet)
	}
	if r.Min < MinLength || r.Max > MaxLength || r.Min > r.Max {
		return core.Errorf(core.Invalid, op, "length %d to %d: want %d ≤ min ≤ max ≤ %d", r.Min, r.Max, MinLength, MaxLength)
	}
	return nil
}

// Marshal returns the helper.
func (r Rules) Marshal() []byte {
	return []byte{rulesVersion, byte(r.Alphabet), byte(r.Min), byte(r.Max)}
}

// ParseRules reads a helper and nothing else.
func ParseRules(b []byte) (Rules, error) {
	const op = "pin: helper"
	if len(b) != HelperSize {
		return Rules{}, core.Errorf(core.Invalid, op, "%d bytes, want %d", len(b), HelperSize)
	}
	if b[0] != rulesVersion {
		return Rules{}, core.Errorf(core.Unsupported, op, "rules version %d, want %d", b[0], rulesVersion)
	}
	r := Rules{Alphabet(b[1]), int(b[2]), int(b[3])}
	if err := r.check(op); err != nil {
		return Rules{}, err
	}
	return r, nil
}

// A Source asks for PINs. The zero value works with the defaults; it is safe
// for concurrent use.
type Source struct {
	mu    sync.RWMutex
	rules Rules // zero = defaults
}

var _ core.Source = (*Source)(nil)

// New returns a source with the default rules.
func New() *Source { return &Source{} }

func (s *Source) current() Rules {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.rules == (Rules{}) {
		return Rules{Digits, DefaultMin, DefaultMax}
	}
	return s.rules
}

func fields(r Rules) []core.ConfigField {
	return []core.ConfigField{
		{Name: "alphanumeric", Type: "bool", Default: strconv.FormatBool(r.Alphabet == Mixed), Help: "Letters and digits, at least one of each, instead of digits only."},
		{Name: "max", Type: "int", Default: strconv.Itoa(r.Max), Help: fmt.Sprintf("Longest PIN, at most %d characters.", MaxLength)},
		{Name: "min", Type: "int", Default: strconv.Itoa(r.Min), Help: fmt.Sprintf("Shortest PIN, at least %d characters; level 2 wants 7 digits or 6 mixed.", MinLength)},
	}
}

// Describe implements core.Source. The strength told is that of the shortest
// PIN the rules allow.
func (s *Source) Describe(context.Context) (core.SourceInfo, error) {
	r := s.current()
	return core.SourceInfo{
		Name: "pin", Version: "1.0.0", Kind: core.KindKnowledge,
		Format: Format, Formats: []uint32{Format},
		Samples:         []core.SampleKind{core.SamplePIN},
		EnrollCaptures:  core.Range{Min: 2, Max: 2},
		RecoverCaptures: core.Range{Min: 1, Max: 1},
		Strength:        strengthOf(r.Alphabet, r.Min),
		HelperSize:      HelperSize,
		Schema:          fields(Rules{Digits, DefaultMin, DefaultMax}),
		Params:          fields(r),
	}, nil
}

// Configure sets the default rules: alphanumeric, min, max.
func (s *Source) Configure(_ context.Context, c core.Config) error {
	const op = "pin: configure"
	for name := range c.Secrets {
		return core.Errorf(core.Invalid, op, "unknown secret setting %q: a PIN source has none", name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rules
	if r == (Rules{}) {
		r = Rules{Digits, DefaultMin, DefaultMax}
	}
	r, err := override(op, r, c.Values)
	if err == nil {
		s.rules = r
	}
	return err
}

// override applies settings by name on top of r.
func override(op string, r Rules, values map[string]string) (Rules, error) {
	for name, v := range values {
		var err error
		switch name {
		case "alphanumeric":
			var on bool
			on, err = strconv.ParseBool(v)
			r.Alphabet = Digits
			if on {
				r.Alphabet = Mixed
			}
		case "min":
			r.Min, err = strconv.Atoi(v)
		case "max":
			r.Max, err = strconv.Atoi(v)
		default:
			return Rules{}, core.Errorf(core.Invalid, op, "unknown setting %q, want alphanumeric, min or max", name)
		}
		if err != nil {
			return Rules{}, core.Errorf(core.Invalid, op, "%s=%q: want a plain number or true or false", name, v)
		}
	}
	if err := r.check(op); err != nil {
		return Rules{}, err
	}
	return r, nil
}

// prompt describes one entry.
func (r Rules) prompt(label string) core.Prompt {
	what := fmt.Sprintf("PIN of %d to %d digits", r.Min, r.Max)
	if r.Alphabet == Mixed {
		what = fmt.Sprintf("PIN of %d to %d letters and digits", r.Min, r.Max)
	}
	return core.Prompt{Kinds: []core.SampleKind{core.SamplePIN}, Label: label, Text: what, MinLen: r.Min, MaxLen: r.Max, Index: 1, Total: 1}
}

// form tells what is wrong with the characters or the length, "" if nothing.
func (r Rules) form(p []byte) string {
	letters, digits := 0, 0
	for _, c := range p {
		switch {
		case isDigit(c):
			digits++
		case isLetter(c):
			letters++
		}
	}
	switch {
	case r.Alphabet == Digits && digits != len(p):
		return "digits 0 to 9 only"
	case r.Alphabet == Mixed && digits+letters != len(p):
		return "letters a to z, A to Z and digits 0 to 9 only"
	case len(p) < r.Min || len(p) > r.Max:
		return fmt.Sprintf("%d to %d characters are wanted", r.Min, r.Max)
	case r.Alphabet == Mixed && (digits == 0 || letters == 0):
		return "at least one letter and one digit are wanted"
	}
	return ""
}

// refusal words a weakness for the person who typed it.
func (r Rules) refusal(w weakness) string {
	if r.Alphabet == Mixed {
		return "characters too easy to guess (" + string(w) + "); choose others"
	}
	switch w {
	case weakOrder:
		return "digits in order; choose others"
	case weakSame:
		return "digits all or nearly all the same; choose others"
	default:
		return "digits form " + string(w) + "; choose others"
	}
}

// entry is how a PIN of these rules is typed.
func (r Rules) entry(label string) ask.Form {
	read := func(a core.Sample) (*secret.Buffer, string) {
		if refusal := r.form(a.Data.Bytes()); refusal != "" {
			a.Data.Wipe()
			return nil, refusal
		}
		return a.Data, ""
	}
	return ask.Form{
		What: "PIN", Prompt: r.prompt(label), Limit: longestAnswer, Tries: maxRefusals, Read: read,
		New: func(a core.Sample) (*secret.Buffer, string) {
			out, refusal := read(a)
			if refusal != "" {
				return nil, refusal
			}
			if w := weak(out.Bytes(), r.Alphabet); w != "" {
				out.Wipe()
				return nil, r.refusal(w)
			}
			return out, ""
		},
		Differ: "the two entries differ; type it twice",
	}
}

// Enroll asks for a new PIN and for the same again. A weak one, or two that
// differ, is asked for again with the reason; the caller owns the secret.
func (s *Source) Enroll(ctx context.Context, req core.EnrollRequest, p core.Prompter) (core.Enrollment, error) {
	const op = "pin: enroll"
	r, err := override(op, s.current(), req.Params)
	if err != nil {
		return core.Enrollment{}, err
	}
	if err := ask.Serves(op, req.Format, Format); err != nil {
		return core.Enrollment{}, err
	}
	pin, err := r.entry(req.Label).Twice(ctx, op, p)
	if err != nil {
		return core.Enrollment{}, err
	}
	return core.Enrollment{
		Secret:   pin,
		Helper:   r.Marshal(),
		Format:   Format,
		Strength: strengthOf(r.Alphabet, pin.Len()),
		Quality:  core.Quality{Score: 100},
	}, nil
}

// Capture asks for the PIN once. Only what cannot be a PIN of this form is
// asked for again: whether it is the right one nothing here knows.
func (s *Source) Capture(ctx context.Context, req core.CaptureRequest, p core.Prompter) (core.Capture, error) {
	const op = "pin: capture"
	if err := ask.Serves(op, req.Format, Format); err != nil {
		return nil, err
	}
	r, err := ParseRules(req.Params)
	if err != nil {
		return nil, err
	}
	pin, err := r.entry(req.Label).Enter(ctx, op, p)
	if err != nil {
		return nil, err
	}
	return ask.Hold("pin", r, ParseRules, pin), nil
}
