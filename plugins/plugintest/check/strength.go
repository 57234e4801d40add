package check

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/internal/poisson"
	"github.com/keposs/keposs/ppd/ppdtest"
)

// A Note is the error of a case that passed and has something to tell.
type Note string

// Error returns what it tells.
func (n Note) Error() string { return string(n) }

// How much is measured at level 0, and at levels above.
const (
	mostRecords = 40
	measureFor  = 30 * time.Second
	measureLong = 10 * time.Minute
	// unlikely is the probability of what was seen, were the claim true, below
	// which the claim is refuted.
	unlikely = 0.01
)

// opener gives a fresh source and what ends it.
type opener func(context.Context) (core.Source, func() error, error)

// measured are the cases a folder of samples adds.
func measured(t Target, info core.SourceInfo, open opener, people []someone) Case {
	return Case{
		Name: "StrengthMeasured", Group: "kit",
		Rule:   "The strength it claims per try is not refuted by strangers' samples, and a person's own samples open.",
		Advice: "Claim what you measured: per_try is the 95 % upper bound of the false match rate, as -1000·log2. See docs/plugin-guide.md.",
		Run: func(ctx context.Context, _ Target) error {
			long := measureFor
			if t.Level > 0 {
				long = measureLong
			}
			ctx, cancel := context.WithTimeout(ctx, long+time.Minute)
			defer cancel()
			s, end, err := open(ctx)
			if err != nil {
				return err
			}
			m := &meter{src: s, info: info, until: time.Now().Add(long)}
			err = m.run(ctx, people)
			if err = errors.Join(err, end()); err != nil {
				return err
			}
			return m.verdict()
		},
	}
}

// meter counts what a source says to a person's own samples and to strangers'.
type meter struct {
	src   core.Source
	info  core.SourceInfo
	until time.Time

	people, enrolled int
	claim            core.Millibits // highest of the enrolments, millibits; 0 = SourceInfo's
	own, ownOpen     int
	other, otherOpen int
	refused          int // samples that were no try
}

// record is one person's enrolment.
type record struct {
	who    int
	enrol  core.Enrollment
	taken  int // takes the enrolment used
	bound  *secret.Buffer
	params []byte
}

func (m *meter) run(ctx context.Context, people []someone) error {
	m.people = len(people)
	var records []record
	defer func() {
		for _, r := range records {
			r.enrol.Secret.Wipe()
			r.bound.Wipe()
		}
	}()
	for i, who := range people {
		if len(records) == mostRecords {
			break
		}
		r := record{who: i}
		if m.info.Kind == core.KindBiometric {
			r.bound = secret.New(32)
			for j := range r.bound.Bytes() {
				r.bound.Bytes()[j] = byte(i + j)
			}
		}
		p := &presenter{who: who}
		var err error
		r.enrol, err = m.src.Enroll(ctx, core.EnrollRequest{Label: "samples", BindKey: r.bound}, p)
		if errors.Is(err, core.CaptureRefused) {
			m.refused++
			continue
		}
		if err != nil {
			return fmt.Errorf("enrol %s: %w", who.name, err)
		}
		r.taken = p.used
		if m.info.Kind == core.KindKnowledge {
			r.params = r.enrol.Helper
			r.taken = 0 // what is known is the same each time
		}
		m.claim = max(m.claim, r.enrol.Strength.PerTry)
		records = append(records, r)
	}
	if m.enrolled = len(records); m.enrolled == 0 {
		return errors.New("nobody of the folder could be enrolled: every sample was refused as too poor or too few")
	}
	for _, r := range records { // a person's own first: they tell whether the rest means anything
		for n := r.taken; n < len(people[r.who].takes) && time.Now().Before(m.until); n++ {
			open, counted, err := m.try(ctx, r, people[r.who], n)
			if err != nil {
				return err
			}
			if counted {
				m.own++
				if open {
					m.ownOpen++
				}
			}
		}
	}
	for step := 1; step < len(people); step++ { // every person meets the next, then the one after
		for n := 0; n < 2; n++ {
			for _, r := range records {
				who := people[(r.who+step)%len(people)]
				if n >= len(who.takes) {
					continue
				}
				if time.Now().After(m.until) {
					return ctx.Err()
				}
				open, counted, err := m.try(ctx, r, who, n)
				if err != nil {
					return err
				}
				if counted {
					m.other++
					if open {
						m.otherOpen++
					}
				}
			}
		}
	}
	return ctx.Err()
}

// try presents take n of who to r; counted is false for what the source refused
// as too poor.
func (m *meter) try(ctx context.Context, r record, who someone, n int) (open, counted bool, err error) {
	c, err := m.src.Capture(ctx, core.CaptureRequest{Label: "samples", Format: r.enrol.Format, Params: r.params}, &presenter{who: who, next: n})
	if errors.Is(err, core.CaptureRefused) || errors.Is(err, core.Invalid) {
		m.refused++
		return false, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("capture of %s: %w", who.name, err)
	}
	got, err := c.Recover(ctx, core.RecoverRequest{Helper: r.enrol.Helper, BindKey: r.bound})
	if err = errors.Join(err, c.Close()); err != nil {
		return false, false, fmt.Errorf("recover of %s: %w", who.name, err)
	}
	defer got.Wipe()
	return got.Equal(r.enrol.Secret), true, nil
}

// verdict weighs the claim against what was counted.
func (m *meter) verdict() error {
	claim := float64(max(m.claim, m.info.Strength.PerTry)) / 1000
	seen := fmt.Sprintf("%d of %d people enrolled; %d of %d own samples open, %d of %d strangers' do (%d refused as poor)",
		m.enrolled, m.people, m.ownOpen, m.own, m.otherOpen, m.other, m.refused)
	switch {
	case m.own > 0 && m.ownOpen == 0:
		return fmt.Errorf("nobody's own sample opens: %s", seen)
	case m.other == 0:
		return Skip("no stranger's sample was good enough to try: " + seen)
	}
	if p := 1 - poisson.AtMost(m.otherOpen-1, float64(m.other)*math.Exp2(-claim)); p < unlikely {
		return fmt.Errorf("it claims %.1f bits per try, and that is refuted: %s; the samples speak for %.1f bits at most",
			claim, seen, -math.Log2(float64(m.otherOpen)/float64(m.other)))
	}
	// The 95 % upper bound of the rate with k seen; 3/n for none.
	upper := math.Min(1, poisson.Upper(m.otherOpen)/float64(m.other))
	return Note(fmt.Sprintf("%s; 95 %% sure of %.1f bits per try, and the claim of %.1f is not refuted", seen, -math.Log2(upper), claim))
}

// fromSamples makes the kit's people out of a folder's two or more: seed 1 is
// the one who is enrolled, and no other seed is, however few they are.
func fromSamples(people []someone) func(seed uint64) ppdtest.Person {
	return func(seed uint64) ppdtest.Person {
		if seed == 1 {
			return &cycle{who: people[0]}
		}
		return &cycle{who: people[1+(seed-2)%uint64(len(people)-1)]}
	}
}

// cycle gives a person's takes over and over, by the number of the prompt: each
// recovery after the enrolment's.
type cycle struct {
	who   someone
	taken int
}

func (c *cycle) Ask(ctx context.Context, q core.Prompt) (core.Sample, error) {
	n := max(q.Index, 1) - 1
	if q.Purpose == core.PurposeConfirm {
		n = 0
	}
	if q.Purpose == core.PurposeRecover {
		n = len(c.who.takes) - 1
	}
	if q.Refusal != "" {
		c.taken++
		n += c.taken
	}
	p := presenter{who: c.who, next: n % len(c.who.takes)}
	q.Purpose = core.PurposeEnroll // the take is chosen
	return p.Ask(ctx, q)
}
