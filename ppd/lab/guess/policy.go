package guess

import (
	"context"
	"errors"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
)

// errAnswered ends an enrolment once the source has said what it thinks.
var errAnswered = errors.New("the source has answered")

// probe answers the first question with one value and looks at the second.
type probe struct {
	kind    core.SampleKind
	value   string
	asked   bool
	refusal string
}

// Ask implements core.Prompter.
func (p *probe) Ask(_ context.Context, q core.Prompt) (core.Sample, error) {
	if p.asked {
		p.refusal = q.Refusal
		return core.Sample{}, errAnswered
	}
	p.asked = true
	return core.Sample{Kind: p.kind, Data: secret.Copy([]byte(p.value))}, nil
}

// Refusal asks a source whether it would enrol value: "" if so, else the reason
// a person is told. The source is asked as a person would ask it, so a curve
// can never be of other rules than those in force. value is data of a study, no
// secret.
func Refusal(ctx context.Context, s core.Source, params map[string]string, kind core.SampleKind, value string) (string, error) {
	p := &probe{kind: kind, value: value}
	_, err := s.Enroll(ctx, core.EnrollRequest{Label: "study", Params: params}, p)
	if err == nil || !errors.Is(err, errAnswered) {
		return "", core.Errorf(core.Internal, "guess: policy", "the source did not judge a value: %w", err)
	}
	return p.refusal, nil
}

// A Split is a list of values divided by a policy.
type Split struct {
	Kept    []Value
	Refused map[string]uint64 // mass by reason; order-only lists count values
	Mass    float64           // share of the mass that was refused
}

// Divide asks keep about each value. Who is refused is taken to choose again
// from what is left, in proportion: the usual assumption, generous to the
// policy, and told wherever a figure rests on it.
func Divide(values []Value, refusal func(v string) (string, error)) (Split, error) {
	out := Split{Refused: map[string]uint64{}}
	var all, gone uint64
	for _, v := range values {
		why, err := refusal(v.Text)
		if err != nil {
			return Split{}, err
		}
		n := max(v.Count, 1)
		all += n
		if why == "" {
			out.Kept = append(out.Kept, v)
			continue
		}
		gone += n
		out.Refused[why] += n
	}
	if all > 0 {
		out.Mass = float64(gone) / float64(all)
	}
	return out, nil
}

// OfHead is the distribution of the values seen most often when total choices
// were counted in all: the rest of the mass is even over the rest of a space
// of n values, a lower bound of success beyond the head.
func OfHead(name, source string, head []Value, total, n uint64) (*Distribution, error) {
	var sum uint64
	for _, v := range head {
		sum += v.Count
	}
	switch {
	case sum > total || len(head) == 0:
		return nil, core.Errorf(core.Invalid, "guess: head", "%.64s: %d choices of %d values, out of %d in all", name, sum, len(head), total)
	case n <= uint64(len(head)) && sum < total:
		return nil, core.Errorf(core.Invalid, "guess: head", "%.64s: no values left for %d choices", name, total-sum)
	case sum == total:
		return OfCounts(name, source, head)
	}
	rest := n - uint64(len(head))
	d, err := OfCounts(name, source, head)
	if err != nil {
		return nil, err
	}
	share := float64(sum) / float64(total)
	for i := range d.Bands {
		d.Bands[i].Each *= share
	}
	d.Bands = append(d.Bands, Band{rest, (1 - share) / float64(rest)})
	return d, d.Check()
}
