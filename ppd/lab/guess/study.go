package guess

import (
	"fmt"

	"github.com/keposs/keposs/core"
)

// Tries and shares every study tells.
var (
	StudyTries  = []uint64{1, 3, 5, 10, 30, 100}
	StudyAlphas = []float64{0.1, 0.5, 0.9}
)

// A Curve is one distribution's figures under one policy.
type Curve struct {
	Policy string       `json:"policy"` // as chosen, what a rule or a list leaves, uniform
	Values uint64       `json:"values"`
	Online []Point      `json:"online"`
	Work   []WorkFactor `json:"work"`
	Points []Point      `json:"points"`
}

// A Ranked says, of an order without counts, how many of its first values a
// policy refuses. No share of accounts can be told from it.
type Ranked struct {
	Policy  string `json:"policy"`
	First   int    `json:"first"`
	Refused int    `json:"refused"`
}

// A Study is what one data set says about a kind of factor under policies.
type Study struct {
	Data      string            `json:"data"`
	Evidence  string            `json:"evidence"` // Counted, Published, Uniform or "order only"
	Source    string            `json:"source"`
	OrderOnly bool              `json:"order_only"`
	Curves    []Curve           `json:"curves,omitempty"`
	Ranked    []Ranked          `json:"ranked,omitempty"`
	Refused   map[string]uint64 `json:"refused,omitempty"` // by the rules' reason: choices, or values of an order
	Share     float64           `json:"refused_share"`     // of choices, or of values of an order
	Warnings  []string          `json:"warnings,omitempty"`
}

// CurveOf gives d's figures under a policy's name.
func CurveOf(policy string, d *Distribution) Curve {
	return Curve{Policy: policy, Values: d.Space(), Online: d.Online(StudyTries), Work: d.Factors(StudyAlphas), Points: d.Curve()}
}

// StudyOf shows a distribution known as a whole only: no policy can be applied
// to it.
func StudyOf(d *Distribution) Study {
	s := Study{Data: d.Name, Evidence: d.Evidence, Source: d.Source, Curves: []Curve{CurveOf("as given", d)}}
	if d.Evidence == Published {
		s.Warnings = append(s.Warnings, "points of a published curve, even between them: no single value is known, so no rule or list can be applied; give counted data with --data")
	}
	return s
}

// A Blocklist is a named list of values a policy refuses.
type Blocklist struct {
	Name   string
	Values map[string]bool
}

// Head tells how a counted file that holds only the most frequent values is
// made whole: Total choices in all, the rest even over Space values.
type Head struct {
	Total, Space uint64
}

// Counts studies counted values: as chosen, under the rules, under each list.
func Counts(name string, values []Value, head *Head, rules func(v string) (string, error), lists []Blocklist) (Study, error) {
	s := Study{Data: name, Evidence: Counted, Source: "given file"}
	make1 := func(policy string, v []Value, lost uint64) error {
		if len(v) == 0 {
			s.Warnings = append(s.Warnings, fmt.Sprintf("%s: nothing of the file is left", policy))
			return nil
		}
		var d *Distribution
		var err error
		if head == nil {
			d, err = OfCounts(name, "", v)
		} else {
			d, err = OfHead(name, "", v, head.Total-lost, head.Space)
		}
		if err == nil {
			s.Curves = append(s.Curves, CurveOf(policy, d))
		}
		return err
	}
	if head != nil {
		s.Warnings = append(s.Warnings, fmt.Sprintf("only the %d most frequent values of %d choices are known; the rest is taken even over all %d values: beyond the head success is a lower bound", len(values), head.Total, head.Space))
	}
	if err := make1("as chosen", values, 0); err != nil {
		return s, err
	}
	mass := func(v []Value) (n uint64) {
		for _, x := range v {
			n += x.Count
		}
		return n
	}
	all := mass(values)
	split, err := Divide(values, rules)
	if err != nil {
		return s, err
	}
	s.Refused, s.Share = split.Refused, split.Mass
	if err := make1("rules of keposs", split.Kept, all-mass(split.Kept)); err != nil {
		return s, err
	}
	for _, l := range lists {
		kept, err := Divide(values, l.refusal)
		if err != nil {
			return s, err
		}
		if err := make1("blocklist "+l.Name, kept.Kept, all-mass(kept.Kept)); err != nil {
			return s, err
		}
	}
	if len(s.Curves) > 1 {
		s.Warnings = append(s.Warnings, "who is refused is taken to choose again in proportion to what is left; people do worse, so these curves flatter every policy")
	}
	return s, nil
}

func (l Blocklist) refusal(v string) (string, error) {
	if l.Values[v] {
		return "on the list", nil
	}
	return "", nil
}

// Ranks at which an order is looked at.
var ranks = []int{10, 30, 100, 300, 1000, 3000, 10_000, 100_000, 1_000_000}

// Order studies a list without counts: only how far down it the policies reach.
func Order(name string, values []Value, rules func(v string) (string, error), lists []Blocklist) (Study, error) {
	s := Study{Data: name, Evidence: "order only", Source: "given file", OrderOnly: true, Refused: map[string]uint64{},
		Warnings: []string{"the file has an order and no counts: no share of accounts, no work factor and no price can be told from it, only which of its first values a policy refuses"}}
	if len(values) == 0 {
		return s, core.Errorf(core.Invalid, "guess: order", "%.64s is empty", name)
	}
	marks := ranks
	if n := len(values); n < ranks[len(ranks)-1] {
		marks = nil
		for _, r := range ranks {
			if r < n {
				marks = append(marks, r)
			}
		}
		marks = append(marks, n)
	}
	walk := func(policy string, refusal func(v string) (string, error), note bool) error {
		gone, next := 0, 0
		for i, v := range values {
			why, err := refusal(v.Text)
			if err != nil {
				return err
			}
			if why != "" {
				gone++
				if note {
					s.Refused[why]++
				}
			}
			if next < len(marks) && i+1 == marks[next] {
				s.Ranked = append(s.Ranked, Ranked{policy, marks[next], gone})
				next++
			}
		}
		if note {
			s.Share = float64(gone) / float64(len(values))
		}
		return nil
	}
	if err := walk("rules of keposs", rules, true); err != nil {
		return s, err
	}
	for _, l := range lists {
		if err := walk("blocklist "+l.Name, l.refusal, false); err != nil {
			return s, err
		}
	}
	return s, nil
}
