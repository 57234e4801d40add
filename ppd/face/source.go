package face

import (
	"context"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/ppd/internal/ask"
)

// Name is the source's name in policies.
const Name = "face"

// format is the present derivation: pipeline, rotation, code and secret as
// this package documents them, bound to the profile's hash.
const format = 1

// AnswerTime is how long Recover takes, match or not. The decoder's work does
// not depend on the query; the rest of the time hides the scheduler.
const AnswerTime = 25 * time.Millisecond

// Options sets what Configure would; nil fields are defaults.
type Options struct {
	Profile *Profile  // nil = Identity(128)
	Code    Code      // 0 = Code29
	Rand    io.Reader // nil = sm.Rand()
}

// Source is the face source. Safe for concurrent use.
type Source struct {
	mu sync.Mutex
	settings
}

// settings is what Configure changes as a whole.
type settings struct {
	profile *Profile
	hash    [32]byte
	sketch  *Sketcher
	kind    Code
	rand    io.Reader
	enrol   int
	recover int
}

var _ core.Source = (*Source)(nil)

// New returns a source. A bad profile or code is reported by the first call.
func New(o *Options) (*Source, error) {
	if o == nil {
		o = &Options{}
	}
	s := &Source{settings: settings{profile: o.Profile, kind: o.Code, rand: o.Rand, enrol: 5, recover: 2}}
	if s.profile == nil {
		s.profile = Identity(128)
	}
	if s.kind == CodeUnknown {
		s.kind = Code29
	}
	if s.rand == nil {
		s.rand = sm.Rand()
	}
	if err := s.profile.Check(); err != nil {
		return nil, err
	}
	s.hash = s.profile.Hash()
	var err error
	s.sketch, err = SketcherFor(s.kind, s.profile)
	return s, err
}

// strength is what a face may claim: the 95 % upper bound of the false-accept
// rate of other people's sessions on LFW embeddings, per code, with as many
// captures as help them most (docs/faces.md). The identity profile measured no
// worse there, yet earns two bits less: without a calibration nothing is known
// of the deployment's camera.
func strength(c Code, p *Profile) core.Strength {
	bits := core.Millibits(14_600)
	if c == Code36 {
		bits = 15_700
	}
	if p.W == nil {
		bits -= 2_000
	}
	return core.Strength{PerTry: bits, Offline: bits,
		Evidence: "measured: false accepts of other people's sessions on LFW embeddings, upper 95 % bound (keposs lab ppd face)"}
}

// Describe implements core.Source.
func (s *Source) Describe(context.Context) (core.SourceInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return core.SourceInfo{
		Name: Name, Version: "1", Kind: core.KindBiometric, Format: format, Formats: []uint32{format},
		Samples:        []core.SampleKind{core.SampleFaceEmbedding},
		EnrollCaptures: core.Range{Min: 3, Max: MaxCaptures}, RecoverCaptures: core.Range{Min: 1, Max: 3},
		Strength: strength(s.kind, s.profile), HelperSize: HelperSize, RecoverTime: AnswerTime,
		Schema: []core.ConfigField{
			{Name: "profile", Type: "path", Help: "npz with mu, W, norm_p10 and model.txt of this deployment's camera"},
			{Name: "dim", Type: "int", Default: "128", Help: "embedding dimension when no profile is given"},
			{Name: "code", Type: "string", Default: "29", Help: "29 (default) or 36 (stricter) message bits"},
			{Name: "enroll_captures", Type: "int", Default: "5", Help: "captures at enrolment, 3 to 5"},
			{Name: "recover_captures", Type: "int", Default: "2", Help: "captures fused at recovery, 1 to 3"},
		},
	}, nil
}

// Configure implements core.Source.
func (s *Source) Configure(_ context.Context, c core.Config) error {
	const op = "face: configure"
	cur := s.current()
	next := settings{profile: cur.profile, kind: cur.kind, rand: cur.rand, enrol: 5, recover: 2}
	dim := 0
	for k, v := range c.Values {
		n, err := strconv.Atoi(v)
		if k != "profile" && err != nil {
			return core.Errorf(core.Invalid, op, "%s: want a number", k)
		}
		switch k {
		case "profile":
			if next.profile, err = LoadProfile(v); err != nil {
				return err
			}
		case "dim":
			dim = n
		case "code":
			next.kind = map[int]Code{29: Code29, 36: Code36}[n]
		case "enroll_captures":
			next.enrol = n
		case "recover_captures":
			next.recover = n
		default:
			return core.Errorf(core.Invalid, op, "unknown setting %q", k)
		}
	}
	if dim != 0 {
		if c.Values["profile"] != "" {
			return core.Errorf(core.Invalid, op, "give profile or dim, not both")
		}
		next.profile = Identity(dim)
	}
	if err := next.profile.Check(); err != nil {
		return err
	}
	if next.enrol < 3 || next.enrol > MaxCaptures || next.recover < 1 || next.recover > 3 {
		return core.Errorf(core.Invalid, op, "captures: want 3 to %d at enrolment and 1 to 3 at recovery", MaxCaptures)
	}
	sketch, err := SketcherFor(next.kind, next.profile)
	if err != nil {
		return err
	}
	next.sketch, next.hash = sketch, next.profile.Hash()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings = next
	return nil
}

// current returns a consistent view.
func (s *Source) current() settings {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settings
}

// collect asks for want captures; a refused one is asked for again.
func collect(ctx context.Context, p core.Prompter, prof *Profile, label string, purpose core.Purpose, want int) ([]Shot, error) {
	q := core.Prompt{Kinds: []core.SampleKind{core.SampleFaceEmbedding}, Label: label, Purpose: purpose, Total: want, MaxLen: MaxSample}
	shots, err := ask.Captures(ctx, "face: capture", p, q, func(int) string { return "Look into the camera" },
		func(s core.Sample, shots []Shot) ([]Shot, error) { return take(prof, s, shots, want) })
	if err != nil {
		wipe(shots)
		return nil, err
	}
	return shots, nil
}

// take adds a sample's captures, at most up to want.
func take(prof *Profile, s core.Sample, shots []Shot, want int) ([]Shot, error) {
	defer s.Data.Wipe()
	captures, model, err := ParseSample(s.Data.Bytes(), prof.Dim)
	if err != nil {
		return shots, err
	}
	defer func() {
		for _, c := range captures {
			clear(c)
		}
	}()
	if model == "" {
		model = s.Model
	}
	if prof.Model != "" && model != "" && model != prof.Model {
		return shots, core.Errorf(core.Invalid, "face: capture", "the sample is of model %q, the profile of %q: calibrate a profile for this model", model, prof.Model)
	}
	for _, c := range captures {
		if len(shots) == want {
			break
		}
		one, err := Accept(prof, c, shots)
		if err != nil {
			return shots, err
		}
		shots = append(shots, one)
	}
	return shots, nil
}

// Enroll implements core.Source.
func (s *Source) Enroll(ctx context.Context, req core.EnrollRequest, p core.Prompter) (core.Enrollment, error) {
	const op = "face: enrol"
	c := s.current()
	if req.Format != 0 && req.Format != format {
		return core.Enrollment{}, core.Errorf(core.Unsupported, op, "format %d, want %d", req.Format, format)
	}
	if req.BindKey.Len() != 32 {
		return core.Enrollment{}, core.Errorf(core.Usage, op, "a bind key of 32 bytes is needed")
	}
	for k := range req.Params {
		return core.Enrollment{}, core.Errorf(core.Invalid, op, "unknown parameter %q", k)
	}
	shots, err := collect(ctx, p, c.profile, req.Label, core.PurposeEnroll, c.enrol)
	if err != nil {
		return core.Enrollment{}, err
	}
	defer wipe(shots)
	var e core.Enrollment
	sm.Guard(func() { e, err = c.seal(shots, req.BindKey) }) // words pass over the stack by value
	return e, err
}

// seal makes the enrolment of shots.
func (c settings) seal(shots []Shot, key *secret.Buffer) (core.Enrollment, error) {
	const op = "face: enrol"
	mean := Agree(shots)
	if mean < MinEnrol {
		return core.Enrollment{}, core.Errorf(core.CaptureRefused, op, "the pictures differ too much to be one face in one light: enrol again, one person, no glasses change, even light")
	}
	q := core.Quality{Score: int(100 * min(1, mean/0.7))}
	if mean < WarnEnrol {
		q.Notes = append(q.Notes, "the pictures vary: recovery may need a second attempt")
	}
	template := Fuse(shots)
	defer clear(template)
	projected, err := c.sketch.Project(key, template)
	if err != nil {
		return core.Enrollment{}, err
	}
	defer clear(projected[:])
	helper, sec, err := c.sketch.Enrol(c.rand, projected, c.hash)
	if err != nil {
		return core.Enrollment{}, err
	}
	return core.Enrollment{Secret: sec, Helper: helper[:], Format: format, Strength: strength(c.kind, c.profile), Quality: q}, nil
}

// Capture implements core.Source.
func (s *Source) Capture(ctx context.Context, req core.CaptureRequest, p core.Prompter) (core.Capture, error) {
	c := s.current()
	if req.Format != format {
		return nil, core.Errorf(core.Unsupported, "face: capture", "format %d, want %d", req.Format, format)
	}
	for try := 0; ; try++ {
		shots, err := collect(ctx, p, c.profile, req.Label, core.PurposeRecover, c.recover)
		if err != nil {
			return nil, err
		}
		if Agree(shots) >= MinMutual {
			query := Fuse(shots)
			wipe(shots)
			return &capture{c: c, query: query}, nil
		}
		wipe(shots)
		if try == ask.Retries {
			return nil, core.Errorf(core.CaptureRefused, "face: capture", "the pictures of this attempt do not show one face")
		}
	}
}

type capture struct {
	mu    sync.Mutex
	c     settings
	query []float64
	done  bool
}

// Recover implements core.Capture. It answers AnswerTime after the call.
func (c *capture) Recover(ctx context.Context, req core.RecoverRequest) (*secret.Buffer, error) {
	const op = "face: recover"
	end := time.NewTimer(AnswerTime)
	defer end.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.done:
		return nil, core.Errorf(core.State, op, "the samples were used or wiped: capture again")
	case req.BindKey.Len() != 32:
		return nil, core.Errorf(core.Usage, op, "a bind key of 32 bytes is needed")
	case len(req.Helper) != HelperSize:
		return nil, core.Errorf(core.Invalid, op, "helper of %d bytes, want %d", len(req.Helper), HelperSize)
	}
	c.done = true
	defer clear(c.query)
	var sec *secret.Buffer
	var err error
	sm.Guard(func() { sec, err = c.open(req) }) // words pass over the stack by value
	if err != nil {
		return nil, err
	}
	return ask.Answer(ctx, op, end.C, sec)
}

func (c *capture) open(req core.RecoverRequest) (*secret.Buffer, error) {
	projected, err := c.c.sketch.Project(req.BindKey, c.query)
	if err != nil {
		return nil, err
	}
	defer clear(projected[:])
	return c.c.sketch.Recover(projected, [HelperSize]byte(req.Helper), c.c.hash), nil
}

// Close implements core.Capture.
func (c *capture) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.query)
	c.done = true
	return nil
}

// TimeAnswer measures one Recover as a caller sees it, in milliseconds.
func TimeAnswer(ctx context.Context, p *Profile, kind Code, x []float64, key *secret.Buffer, helper [HelperSize]byte) (float64, error) {
	sk, err := SketcherFor(kind, p)
	if err != nil {
		return 0, err
	}
	c := &capture{c: settings{profile: p, sketch: sk}, query: p.transform(x)}
	start := time.Now()
	sec, err := c.Recover(ctx, core.RecoverRequest{Helper: helper[:], BindKey: key})
	sec.Wipe()
	return float64(time.Since(start).Microseconds()) / 1000, err
}
