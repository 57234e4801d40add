package fingerprint

import (
	"context"
	"io"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// Name is the source's name in policies.
const Name = "fingerprint"

// Work bounds the search of one recovery, in draws as a power of two.
const (
	DefaultWork = 23
	MinWork     = 18
	MaxWork     = 25
)

// AnswerTime is how long Recover takes with this work, match or not: twice to
// three times what the search needs on one core at 2.5 GHz. A search that a
// busy machine has not ended by then is given up.
func AnswerTime(work int) time.Duration {
	switch {
	case work <= DefaultWork-3:
		return 100 * time.Millisecond
	case work <= DefaultWork:
		return 350 * time.Millisecond
	case work == DefaultWork+1:
		return 600 * time.Millisecond
	default:
		return 1100 * time.Millisecond
	}
}

// Options sets what Configure would; zero fields are defaults.
type Options struct {
	Profile  Profile   // zero = Default
	Captures int       // of each finger at enrolment; 0 = 3
	Work     int       // 0 = DefaultWork
	Rand     io.Reader // nil = sm.Rand()

	// Patience is how long beyond AnswerTime a search goes on before it is given
	// up. An answer that comes late tells that the search was long; a search given
	// up refuses the right finger. 0, for people, prefers the latter.
	Patience time.Duration
}

// Source is the fingerprint source. Safe for concurrent use.
type Source struct {
	mu sync.Mutex
	settings
}

// settings is what Configure changes as a whole.
type settings struct {
	profile  Profile
	captures int
	work     int
	rand     io.Reader
	patience time.Duration
}

var _ core.Source = (*Source)(nil)

// New returns a source; an option out of range is Invalid or Unsupported.
func New(o *Options) (*Source, error) {
	if o == nil {
		o = &Options{}
	}
	c := settings{o.Profile, o.Captures, o.Work, o.Rand, o.Patience}
	if c.profile == (Profile{}) {
		c.profile = Default
	}
	if c.captures == 0 {
		c.captures = 3
	}
	if c.work == 0 {
		c.work = DefaultWork
	}
	if c.rand == nil {
		c.rand = sm.Rand()
	}
	return &Source{settings: c}, c.check()
}

func (c settings) check() error {
	if c.captures < MinCaptures || c.captures > MaxCaptures || c.work < MinWork || c.work > MaxWork {
		return core.Errorf(core.Invalid, "fingerprint: configure", "want %d to %d captures and work of %d to %d", MinCaptures, MaxCaptures, MinWork, MaxWork)
	}
	_, err := NewSketcher(c.profile)
	return err
}

// strength is what the profile may claim, rounded down from what U.are.U gave
// (docs/fingerprint.md). One try: estimates from draw counts without the evidence
// rule, for two fingers the rule of three on none of 2,976. Offline: the mean
// chance of a draw; for two fingers measured before the bend, less the two bits
// that it cost k = 10.
func strength(p Profile) core.Strength {
	s := map[Profile]core.Strength{
		{8, 1}:  {PerTry: 8_000, Offline: 27_000},
		{9, 1}:  {PerTry: 11_000, Offline: 31_000},
		{10, 1}: {PerTry: 12_000, Offline: 35_000},
		{12, 2}: {PerTry: 9_900, Offline: 44_000},
		{14, 2}: {PerTry: 9_900, Offline: 50_000},
	}[p]
	s.Evidence = "measured: prints of other fingers on U.are.U, estimated from draw counts (keposs lab ppd fingerprint)"
	return s
}

// Describe implements core.Source.
func (s *Source) Describe(context.Context) (core.SourceInfo, error) {
	c := s.current()
	var formats []uint32
	for _, p := range profiles {
		formats = append(formats, p.Format())
	}
	n := c.profile.Fingers
	params := []core.ConfigField{
		{Name: "profile", Type: "int", Default: strconv.Itoa(c.profile.K), Help: "features that open: 8 convenient, 9 default, 10 strict; 12 or 14 with two fingers"},
		{Name: "fingers", Type: "int", Default: strconv.Itoa(n), Help: "fingers in one vault, 1 or 2"},
	}
	return core.SourceInfo{
		Name: Name, Version: "1", Kind: core.KindBiometric, Format: c.profile.Format(), Formats: formats,
		Samples:        []core.SampleKind{core.SampleISOFMR},
		EnrollCaptures: core.Range{Min: MinCaptures * n, Max: MaxCaptures * n}, RecoverCaptures: core.Range{Min: 1, Max: n},
		Strength: strength(c.profile), HelperSize: c.profile.HelperSize(), RecoverTime: AnswerTime(c.work), Params: params,
		Schema: append(params,
			core.ConfigField{Name: "enroll_captures", Type: "int", Default: strconv.Itoa(c.captures), Help: "captures of each finger at enrolment, 2 to 5"},
			core.ConfigField{Name: "work", Type: "int", Default: strconv.Itoa(c.work), Help: "search at recovery, a power of two of draws, 18 to 25"}),
	}, nil
}

// Configure implements core.Source.
func (s *Source) Configure(_ context.Context, c core.Config) error {
	next := s.current()
	if err := next.set(c.Values, true); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings = next
	return nil
}

// set applies settings by name; only those of Params unless all is set.
func (c *settings) set(values map[string]string, all bool) error {
	const op = "fingerprint: configure"
	for k, v := range values {
		n, err := strconv.Atoi(v)
		if err != nil {
			return core.Errorf(core.Invalid, op, "%s: want a number", k)
		}
		switch {
		case k == "profile":
			c.profile.K = n
		case k == "fingers":
			c.profile.Fingers = n
		case k == "enroll_captures" && all:
			c.captures = n
		case k == "work" && all:
			c.work = n
		default:
			return core.Errorf(core.Invalid, op, "unknown setting %q", k)
		}
	}
	// Two fingers ask for more: the default moves with them.
	if _, named := values["profile"]; !named && values["fingers"] != "" {
		c.profile.K = map[int]int{1: 9, 2: 12}[c.profile.Fingers]
	}
	if err := c.check(); err != nil {
		return core.Errorf(core.Invalid, op, "%w", err)
	}
	return nil
}

// current returns a consistent view.
func (s *Source) current() settings {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settings
}

// generator seeds a generator for choices that need not be secret for long:
// grid offsets, orders, bases.
func generator(r io.Reader) (*rand.Rand, error) {
	var seed [32]byte
	if _, err := io.ReadFull(r, seed[:]); err != nil {
		return nil, core.Errorf(core.Internal, "fingerprint", "random bytes: %w", err)
	}
	defer secret.Zero(seed[:])
	return rand.New(rand.NewChaCha8(seed)), nil
}

// Enroll implements core.Source.
func (s *Source) Enroll(ctx context.Context, req core.EnrollRequest, p core.Prompter) (core.Enrollment, error) {
	const op = "fingerprint: enrol"
	c := s.current()
	if req.Format != 0 {
		var ok bool
		if c.profile, ok = profileOf(req.Format); !ok {
			return core.Enrollment{}, core.Errorf(core.Unsupported, op, "format %d, want 1 to %d", req.Format, len(profiles))
		}
	}
	if err := c.set(req.Params, false); err != nil {
		return core.Enrollment{}, err
	}
	if req.BindKey.Len() != 32 {
		return core.Enrollment{}, core.Errorf(core.Usage, op, "a bind key of 32 bytes is needed")
	}
	sk, err := NewSketcher(c.profile)
	if err != nil {
		return core.Enrollment{}, err
	}
	rng, err := generator(c.rand)
	if err != nil {
		return core.Enrollment{}, err
	}
	who := asker{p: p, label: req.Label, purpose: core.PurposeEnroll, fingers: c.profile.Fingers, captures: c.captures}
	views, err := who.collect(ctx)
	defer wipeViews(views)
	if err != nil {
		return core.Enrollment{}, err
	}
	var e core.Enrollment
	sm.Guard(func() { e, err = c.enrol(ctx, sk, rng, views, req.BindKey) }) // minutiae pass over the stack by value
	return e, err
}

// enrol makes the enrolment of views, so many of each finger.
func (c settings) enrol(ctx context.Context, sk *Sketcher, rng *rand.Rand, views []View, key *secret.Buffer) (core.Enrollment, error) {
	const op = "fingerprint: enrol"
	var templates []*Template
	defer func() {
		for _, t := range templates {
			t.Wipe()
		}
	}()
	opened, tests := 0, 0
	for i := range c.profile.Fingers {
		captures := views[i*c.captures : (i+1)*c.captures]
		t, err := NewTemplate(captures, rng)
		if err != nil {
			return core.Enrollment{}, err
		}
		templates = append(templates, t)
		n, err := SelfTest(ctx, c.profile, c.work, captures, rng, c.rand)
		if err != nil {
			return core.Enrollment{}, err
		}
		if n == 0 {
			return core.Enrollment{}, core.Errorf(core.CaptureRefused, op, "the impressions agree too little to recognise the finger later: enrol again with a clean, dry finger and even pressure, or use another finger")
		}
		opened, tests = opened+n, tests+len(captures)
	}
	helper, sec, features, err := sk.Enrol(c.rand, key, templates)
	clear(features)
	if err != nil {
		return core.Enrollment{}, err
	}
	q := core.Quality{Score: 100 * opened / tests}
	if opened < tests {
		q.Notes = append(q.Notes, "the impressions vary: recovery may need a second attempt; more captures or another finger would help")
	}
	return core.Enrollment{Secret: sec, Helper: helper, Format: c.profile.Format(), Strength: strength(c.profile), Quality: q}, nil
}
