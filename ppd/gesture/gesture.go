// Package gesture turns a pattern drawn over a grid of dots into a factor
// secret (T/EMCG 001.3-2019 clause 7.1 step 2; GM/T 0028 clause 7.4).
//
// The grid is 3×3 (default) or 4×4, dots are numbered from 1 row by row. The
// rules are those of phones: no dot twice, no line over a dot not yet used.
// A gesture has at least 4 dots on 3×3 and 6 on 4×4 unless told otherwise. At
// enrolment it is drawn twice, and simple shapes are refused by computation.
//
// Secret, format 1: the dots as decimal numbers joined by "-" in ASCII,
// "1-2-5-8", whatever way they were typed or drawn. The grid is not part of
// it: key-schedule.md binds the source, the format and the label.
//
// Helper, format 1, 3 bytes, public: rules version (1), side of the grid,
// minimum of dots. It holds nothing of the gesture.
package gesture

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/ppd/internal/ask"
)

// Format is the version of the secret's derivation.
const Format = 1

// Sizes.
const (
	HelperSize   = 3
	LeastDots    = 4 // below it nothing is accepted on any grid
	rulesVersion = 1
	maxRefusals  = 16 // prompts answered badly before a collection gives up
)

// Rules are the public parameters of one gesture.
type Rules struct {
	Grid int // side, 3 or 4
	Min  int // least number of dots
}

// DefaultMin is the least number of dots unless told otherwise.
func DefaultMin(grid int) int {
	if grid == 4 {
		return 6
	}
	return 4
}

func (r Rules) check(op string) error {
	if r.Grid != 3 && r.Grid != 4 {
		return core.Errorf(core.Invalid, op, "grid of side %d, want 3 or 4", r.Grid)
	}
	if r.Min < LeastDots || r.Min > r.Grid*r.Grid {
		return core.Errorf(core.Invalid, op, "at least %d dots: want %d to %d", r.Min, LeastDots, r.Grid*r.Grid)
	}
	return nil
}

// Marshal returns the helper.
func (r Rules) Marshal() []byte { return []byte{rulesVersion, byte(r.Grid), byte(r.Min)} }

// ParseRules reads a helper and nothing else.
func ParseRules(b []byte) (Rules, error) {
	const op = "gesture: helper"
	if len(b) != HelperSize {
		return Rules{}, core.Errorf(core.Invalid, op, "%d bytes, want %d", len(b), HelperSize)
	}
	if b[0] != rulesVersion {
		return Rules{}, core.Errorf(core.Unsupported, op, "rules version %d, want %d", b[0], rulesVersion)
	}
	r := Rules{Grid: int(b[1]), Min: int(b[2])}
	if err := r.check(op); err != nil {
		return Rules{}, err
	}
	return r, nil
}

// settings are rules before the default minimum is filled in.
type settings struct{ grid, min int }

func (s settings) rules() Rules {
	r := Rules{s.grid, s.min}
	if r.Grid == 0 {
		r.Grid = 3
	}
	if r.Min == 0 {
		r.Min = DefaultMin(r.Grid)
	}
	return r
}

// A Source asks for gestures. The zero value works with the defaults; it is
// safe for concurrent use.
type Source struct {
	mu  sync.RWMutex
	set settings
}

var _ core.Source = (*Source)(nil)

// New returns a source with the default rules.
func New() *Source { return &Source{} }

func (s *Source) current() settings {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.set
}

func fields(r Rules) []core.ConfigField {
	return []core.ConfigField{
		{Name: "grid", Type: "int", Default: strconv.Itoa(r.Grid), Help: "Side of the dot grid, 3 or 4; level 2 wants 4 when the gesture stands alone."},
		{Name: "min", Type: "int", Default: strconv.Itoa(r.Min), Help: "Least number of dots; 4 on the 3×3 grid and 6 on the 4×4 grid unless given."},
	}
}

// Describe implements core.Source.
func (s *Source) Describe(context.Context) (core.SourceInfo, error) {
	r := s.current().rules()
	return core.SourceInfo{
		Name: "gesture", Version: "1.0.0", Kind: core.KindKnowledge,
		Format: Format, Formats: []uint32{Format},
		Samples:         []core.SampleKind{core.SamplePattern},
		EnrollCaptures:  core.Range{Min: 2, Max: 2},
		RecoverCaptures: core.Range{Min: 1, Max: 1},
		Strength:        strengthOf(r),
		HelperSize:      HelperSize,
		Schema:          fields(settings{}.rules()),
		Params:          fields(r),
	}, nil
}

// Configure sets the default rules: grid, min.
func (s *Source) Configure(_ context.Context, c core.Config) error {
	const op = "gesture: configure"
	for name := range c.Secrets {
		return core.Errorf(core.Invalid, op, "unknown secret setting %q: a gesture source has none", name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	set, err := override(op, s.set, c.Values)
	if err == nil {
		s.set = set
	}
	return err
}

// override applies settings by name. A grid given without a minimum brings its
// own default minimum.
func override(op string, s settings, values map[string]string) (settings, error) {
	if _, ok := values["grid"]; ok {
		s.min = 0
	}
	for name, v := range values {
		n, err := strconv.Atoi(v)
		switch {
		case name != "grid" && name != "min":
			return settings{}, core.Errorf(core.Invalid, op, "unknown setting %q, want grid or min", name)
		case err != nil || n < 1:
			return settings{}, core.Errorf(core.Invalid, op, "%s=%q: want a plain number", name, v)
		case name == "grid":
			s.grid = n
		default:
			s.min = n
		}
	}
	if err := s.rules().check(op); err != nil {
		return settings{}, err
	}
	return s, nil
}

func (r Rules) prompt(label string) core.Prompt {
	return core.Prompt{
		Kinds: []core.SampleKind{core.SamplePattern}, Label: label, Index: 1, Total: 1, Grid: r.Grid,
		Text:   fmt.Sprintf("gesture over %d dots or more of the %d×%d grid", r.Min, r.Grid, r.Grid),
		MinLen: r.Min, MaxLen: maxText,
	}
}

// read turns a sample into the canonical secret, or a refusal for the person.
// The sample is wiped.
func (r Rules) read(s core.Sample, enrol bool) (out *secret.Buffer, refusal string) {
	defer s.Data.Wipe()
	p, err := ParseDots(r.Grid, s.Data.Bytes())
	if err != nil {
		var e *core.Error
		if errors.As(err, &e) {
			return nil, e.Msg
		}
		return nil, "type the dots as 1-2-5-8"
	}
	defer p.Wipe()
	if len(p) < r.Min {
		return nil, fmt.Sprintf("at least %d dots are wanted", r.Min)
	}
	if enrol && simple(r.Grid, p) {
		return nil, "a simple shape, easy to guess and to see; choose another"
	}
	return secret.Own(p.Text()), ""
}

// form is how a gesture of these rules is entered.
func (r Rules) form(label string) ask.Form {
	return ask.Form{
		What: "gesture", Prompt: r.prompt(label), Limit: maxText, Tries: maxRefusals,
		New:    func(a core.Sample) (*secret.Buffer, string) { return r.read(a, true) },
		Read:   func(a core.Sample) (*secret.Buffer, string) { return r.read(a, false) },
		Differ: "the two gestures differ; draw it twice",
	}
}

// Enroll asks for a new gesture and for the same again. A simple one, or two
// that differ, is asked for again with the reason; the caller owns the secret.
func (s *Source) Enroll(ctx context.Context, req core.EnrollRequest, p core.Prompter) (core.Enrollment, error) {
	const op = "gesture: enroll"
	set, err := override(op, s.current(), req.Params)
	if err != nil {
		return core.Enrollment{}, err
	}
	if err := ask.Serves(op, req.Format, Format); err != nil {
		return core.Enrollment{}, err
	}
	r := set.rules()
	dots, err := r.form(req.Label).Twice(ctx, op, p)
	if err != nil {
		return core.Enrollment{}, err
	}
	return core.Enrollment{Secret: dots, Helper: r.Marshal(), Format: Format, Strength: strengthOf(r), Quality: core.Quality{Score: 100}}, nil
}

// Capture asks for the gesture once. Only what cannot be a gesture of this
// form is asked for again: whether it is the right one nothing here knows.
func (s *Source) Capture(ctx context.Context, req core.CaptureRequest, p core.Prompter) (core.Capture, error) {
	const op = "gesture: capture"
	if err := ask.Serves(op, req.Format, Format); err != nil {
		return nil, err
	}
	r, err := ParseRules(req.Params)
	if err != nil {
		return nil, err
	}
	dots, err := r.form(req.Label).Enter(ctx, op, p)
	if err != nil {
		return nil, err
	}
	return ask.Hold("gesture", r, ParseRules, dots), nil
}
