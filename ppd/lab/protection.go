package lab

import (
	"context"
	"math"
	"math/rand/v2"
	"sort"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// A ProtectionSet gives the template-protection suite samples of people and,
// where the source's helpers are understood, the strongest attacks known on
// them. Sample must be safe for concurrent use; takes count from 0.
type ProtectionSet struct {
	Name   string
	Kind   core.SampleKind
	People int
	Takes  int // of each person; the last two are kept for recovery
	Sample func(person, take int) []byte

	Morph        func(a, b []byte, share float64) []byte // a sample with that share of b, for hill climbing; nil = b or not
	Link         func(a, b []byte) float64               // likeness of two unmasked helpers; nil = bytes only
	Plausible    func(helper []byte) map[string]float64  // figures of an unmasked helper; nil = bytes only
	Multiplicity func(a, b []byte) bool                  // does the attack on two unmasked helpers of one person succeed? nil = none known
}

// ProtectionOptions sets a run. Open returns a fresh source. The suite counts a
// person as one label, p<number>.
type ProtectionOptions struct {
	Open     func() (core.Source, error)
	People   int // 0 = all, at most 40
	Records  int // of each person, default 3
	Seed     uint64
	Control  bool // run planted weak variants of the same source, too
	Progress func(done, total int, what string)
}

// A ProtectionFinding is one question and its answer. Broken means that the
// value is beyond the limit, which three and a half standard errors or a stated
// tolerance set.
type ProtectionFinding struct {
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Limit  float64 `json:"limit"`
	Broken bool    `json:"broken"`
	Detail string  `json:"detail"`
}

// ProtectionResult is what the suite found on one source or variant.
type ProtectionResult struct {
	Source   string              `json:"source"`
	Data     string              `json:"data"`
	People   int                 `json:"people"`
	Records  int                 `json:"records"`
	Refused  int                 `json:"refused"` // enrolments
	Findings []ProtectionFinding `json:"findings"`
	Broken   int                 `json:"broken"`
	// ClearAUC is what Link reaches between unmasked records: a control, and why
	// helpers are masked.
	ClearAUC float64 `json:"clear_auc"`
}

// Protect runs the suite on a source and, with Control, on planted weak variants
// of it. The result is ranked, the weakest first.
func Protect(ctx context.Context, set ProtectionSet, o ProtectionOptions) ([]ProtectionResult, error) {
	if o.People == 0 || o.People > set.People {
		o.People = min(40, set.People)
	}
	if o.Records == 0 {
		o.Records = 3
	}
	if o.Progress == nil {
		o.Progress = func(int, int, string) {}
	}
	if o.Open == nil || set.Sample == nil || o.People < 4 || o.Records < 2 || set.Takes < 4 {
		return nil, core.Errorf(core.Usage, "lab: protection", "want a source, 4 people, 2 records and 4 takes at least")
	}
	variants := []puppet{{name: "as it is"}}
	if o.Control {
		variants = append(variants, planted()...)
	}
	var out []ProtectionResult
	for i, v := range variants {
		if i > 0 {
			o.People = min(o.People, 12) // enough for a planted fault
		}
		o.Progress(i, len(variants), v.name)
		r, err := protectOne(ctx, set, o, v)
		if err != nil {
			return nil, err
		}
		out = append(out, *r)
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Broken > out[j].Broken })
	return out, nil
}

// A stored record and its clear form.
type protectedRecord struct {
	person        int
	clear, stored []byte
	wrong         []byte // stored, unmasked with another key
	sec           *secret.Buffer
	bind          *secret.Buffer
	format        uint32
}

type protection struct {
	set  ProtectionSet
	o    ProtectionOptions
	v    *puppet
	src  core.Source
	rng  *rand.ChaCha8
	recs []protectedRecord
	res  *ProtectionResult
}

func protectOne(ctx context.Context, set ProtectionSet, o ProtectionOptions, v puppet) (*ProtectionResult, error) {
	src, err := o.Open()
	if err != nil {
		return nil, err
	}
	v.Source = src
	v.enrolled = map[string]*secret.Buffer{}
	p := &protection{set: set, o: o, v: &v, src: &v, rng: generator(int(o.Seed), 77), res: &ProtectionResult{Source: v.name, Data: set.Name, People: o.People, Records: o.Records}}
	steps := []func(context.Context) error{p.enrol, p.unlinkability, p.multiplicity, p.wrongKey}
	if v.finds == "" || v.recover != nil {
		steps = append(steps, p.hillClimb, p.timing) // they wait for answers: only where something may differ
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	for _, r := range p.recs {
		secret.WipeAll(r.sec, r.bind)
	}
	for _, f := range p.res.Findings {
		p.res.Broken += count(f.Broken)
	}
	return p.res, nil
}

func (p *protection) find(name string, value, limit float64, detail string) {
	p.res.Findings = append(p.res.Findings, ProtectionFinding{name, value, limit, !(value <= limit), detail})
}

// prompter gives a person's takes from a first one on, never the last two.
func (p *protection) prompter(person, first int) core.Prompter {
	return core.PrompterFunc(func(_ context.Context, q core.Prompt) (core.Sample, error) {
		return core.NewSample(p.set.Kind, p.set.Sample(person, (first+q.Index-1)%(p.set.Takes-2))), nil
	})
}

func (p *protection) enrol(ctx context.Context) error {
	info, err := p.src.Describe(ctx)
	if err != nil {
		return err
	}
	for person := range p.o.People {
		for n := range p.o.Records {
			r := protectedRecord{person: person}
			if r.bind, err = secret.Read(p.rng, 32); err != nil {
				return err
			}
			e, err := p.src.Enroll(ctx, core.EnrollRequest{Label: labelOf(person), BindKey: r.bind}, p.prompter(person, n*info.EnrollCaptures.Min))
			if core.CodeOf(err) == core.CaptureRefused {
				p.res.Refused++
				continue
			}
			if err != nil {
				return err
			}
			r.clear, r.sec, r.format = e.Helper, e.Secret, e.Format
			if r.stored, err = p.masked(e.Helper); err != nil {
				return err
			}
			if r.wrong, err = p.masked(r.stored); err != nil {
				return err
			}
			p.recs = append(p.recs, r)
		}
	}
	if len(p.recs) < 4 {
		return core.Errorf(core.Invalid, "lab: protection", "%d records only: %d enrolments were refused", len(p.recs), p.res.Refused)
	}
	return nil
}

func labelOf(person int) string {
	return "p" + string(rune('a'+person/26)) + string(rune('a'+person%26))
}

// masked is what core/mf stores: the helper under SM4-CTR with a key that never
// serves another, unless the variant plants a fault here.
func (p *protection) masked(helper []byte) ([]byte, error) {
	out := append([]byte(nil), helper...)
	open := p.v.unmasked
	if open < 0 {
		return out, nil
	}
	k, err := secret.Read(p.rng, 16)
	if err != nil {
		return nil, err
	}
	defer k.Wipe()
	head := len(out) - open
	return out, sm.CTR(k.Bytes(), make([]byte, 16), out[:head], out[:head])
}

// aucOf is the chance that a mated score exceeds another, ties halved.
func aucOf(mated, other []float64) float64 {
	if len(mated) == 0 || len(other) == 0 {
		return 0.5
	}
	sorted := append([]float64(nil), other...)
	sort.Float64s(sorted)
	var s float64
	for _, x := range mated {
		low := sort.SearchFloat64s(sorted, x)
		high := sort.Search(len(sorted), func(i int) bool { return sorted[i] > x })
		s += float64(low) + float64(high-low)/2
	}
	return s / float64(len(mated)*len(other))
}

// apartness is how far an AUC is from telling nothing.
func apartness(mated, other []float64) float64 { return math.Abs(aucOf(mated, other) - 0.5) }

// tolerance is three and a half standard errors of an AUC of one half, at least
// the design's 0.05. independent counts people or records, not pairs.
func tolerance(independent, others int) float64 {
	return math.Max(0.05, 3.5*math.Sqrt((1/float64(max(1, independent))+1/float64(max(1, others)))/12))
}

// recovered presents the samples of one attempt and reports secret, time and
// error.
func (p *protection) recovered(ctx context.Context, r *protectedRecord, sample func(take int) []byte) (*secret.Buffer, time.Duration, error) {
	c, err := p.src.Capture(ctx, core.CaptureRequest{Label: labelOf(r.person), Format: r.format},
		core.PrompterFunc(func(_ context.Context, q core.Prompt) (core.Sample, error) {
			return core.NewSample(p.set.Kind, sample(p.set.Takes-1-(q.Index-1)%2)), nil
		}))
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = c.Close() }()
	start := time.Now()
	sec, err := c.Recover(ctx, core.RecoverRequest{Helper: r.clear, BindKey: r.bind})
	return sec, time.Since(start), err
}
