package lab

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"runtime"
	"sort"
	"sync"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/ppd/face"
	"github.com/keposs/keposs/ppd/fuzzy"
)

// FaceOptions sets a run. Zero values are defaults.
type FaceOptions struct {
	Profile  *face.Profile // nil = identity
	Enrol    int           // captures at enrolment, 3 to 5; default 5
	Seeds    int           // rotation seeds, default 10
	Code     face.Code     // default Code29
	NoFMR    bool          // leave out false matches (fast)
	Progress func(done, total int, what string)
}

// FaceResult is one run. Rates are fractions 0..1.
type FaceResult struct {
	Data      string  `json:"data"`
	People    int     `json:"people"`    // identities with enough captures
	TooFew    int     `json:"too_few"`   // left out of FNMR
	Impostors int     `json:"impostors"` // identities used for false matches only
	Dim       int     `json:"dim"`
	Profile   string  `json:"profile"`
	Enrol     int     `json:"enrol"`
	Seeds     int     `json:"seeds"`
	CodeBits  int     `json:"code_bits"`
	NormGate  float64 `json:"norm_gate"`
	GateFrom  string  `json:"norm_gate_from"`

	FTE float64 `json:"fte"` // enrolments refused; each counts as rejection of every attempt
	FTA float64 `json:"fta"` // captures refused for their own quality, before any try

	FNMR         [3]float64 `json:"fnmr_captures"`
	FNMRBalanced [3]float64 `json:"fnmr_captures_balanced"`
	Intervals    [3]Rate    `json:"fnmr_intervals"`
	BalancedCI   [3]Rate    `json:"fnmr_balanced_intervals"`

	FalseAccepts   int     `json:"false_accepts"`
	ImpostorTrials int     `json:"impostor_trials"`
	FMRLog2        float64 `json:"fmr_log2"` // log2(max(false accepts, 3) / trials)
	OfflineBits    float64 `json:"offline_bits"`
	PerTry         float64 `json:"per_try"` // upper bound of one random face's chance

	HelperBytes int          `json:"helper_bytes"`
	Ms          FaceTimes    `json:"ms"`
	Ceiling     FaceCeiling  `json:"ceiling"`
	Scores      *ScoreCurves `json:"-"`
}

// FaceTimes are medians in milliseconds on this machine.
type FaceTimes struct {
	Enrol  float64 `json:"enrol"`
	Decode float64 `json:"decode"`
	Answer float64 `json:"answer"` // Recover as a caller sees it, constant by design
}

// FaceCeiling is a plain cosine matcher on the same vectors, one capture each:
// its FNMR where the impostor scores put FMR at 1e-5 and 1e-6 (nil where there
// are too few trials to say).
type FaceCeiling struct {
	At1e5 *float64 `json:"fnmr_at_1e-5"`
	At1e6 *float64 `json:"fnmr_at_1e-6"`
}

// ScoreCurves are cosines for the report's histogram and DET curve.
type ScoreCurves struct{ Genuine, Impostor []float64 }

// A subject is a person ready for the run: whitened captures split into
// enrolment and the rest.
type subject struct {
	person   int
	template []float64
	rest     []face.Shot
	refused  bool // failure to enrol
}

// Faces runs the whole measurement.
func Faces(ctx context.Context, set *FaceSet, o FaceOptions) (*FaceResult, error) {
	o = o.withDefaults(set)
	if err := o.Profile.Check(); err != nil {
		return nil, err
	}
	if o.Profile.Dim != set.Dim {
		return nil, core.Errorf(core.Invalid, "lab: faces", "the profile is for %d values, the data has %d", o.Profile.Dim, set.Dim)
	}
	if o.Enrol < 3 || o.Enrol > face.MaxCaptures || o.Seeds < 1 || o.Seeds > 1000 {
		return nil, core.Errorf(core.Usage, "lab: faces", "want 3 to %d enrolment captures and 1 to 1000 seeds", face.MaxCaptures)
	}
	sk, err := face.NewSketcher(o.Code)
	if err != nil {
		return nil, err
	}
	r := &FaceResult{Data: set.Name, Dim: set.Dim, Enrol: o.Enrol, Seeds: o.Seeds, CodeBits: sk.Bits(), HelperBytes: face.HelperSize, Profile: "identity"}
	if o.Profile.W != nil {
		h := o.Profile.Hash()
		r.Profile = "sm3:" + hex.EncodeToString(h[:8])
	}
	prof := *o.Profile
	r.GateFrom = "profile"
	if prof.NormP10 == 0 {
		prof.NormP10, r.GateFrom = normQuantile(set)
	}
	r.NormGate = prof.NormP10
	run := &faceRun{o: o, set: set, prof: &prof, sk: sk, res: r}
	run.prepare()
	if len(run.subjects) == 0 {
		return nil, core.Errorf(core.Invalid, "lab: faces", "no identity has %d captures or more", o.Enrol+1)
	}
	if err := run.genuine(ctx); err != nil {
		return nil, err
	}
	if !o.NoFMR {
		if err := run.impostors(ctx); err != nil {
			return nil, err
		}
	}
	run.ceiling()
	return r, run.times(ctx)
}

func (o FaceOptions) withDefaults(set *FaceSet) FaceOptions {
	if o.Profile == nil {
		o.Profile = face.Identity(set.Dim)
	}
	if o.Enrol == 0 {
		o.Enrol = 5
	}
	if o.Seeds == 0 {
		o.Seeds = 10
	}
	if o.Code == face.CodeUnknown {
		o.Code = face.Code29
	}
	if o.Progress == nil {
		o.Progress = func(int, int, string) {}
	}
	return o
}

// normQuantile estimates the gate from people who are not measured for FNMR,
// or, without such a group, from everybody.
func normQuantile(set *FaceSet) (float64, string) {
	collect := func(want func(Person) bool) (ns []float64) {
		for _, p := range set.People {
			if !want(p) {
				continue
			}
			for _, c := range p.Captures {
				var s float64
				for _, v := range c {
					s += v * v
				}
				ns = append(ns, math.Sqrt(s))
			}
		}
		sort.Float64s(ns)
		return ns
	}
	from := "10 % quantile of the impostor identities' captures"
	ns := collect(func(p Person) bool { return p.Impostor })
	if len(ns) < 100 {
		ns, from = collect(func(Person) bool { return true }), "10 % quantile of all captures"
	}
	return quantile(ns, 0.10), from
}

type faceRun struct {
	o        FaceOptions
	set      *FaceSet
	prof     *face.Profile
	sk       *face.Sketcher
	res      *FaceResult
	subjects []subject
	rows     []row // every usable capture, for impostors
}

type row struct {
	person int
	z      []float64
}

// prepare whitens every capture once and applies the gates.
func (f *faceRun) prepare() {
	refused, total, fte := 0, 0, 0
	for i, p := range f.set.People {
		var shots []face.Shot
		for _, c := range p.Captures {
			total++
			s, err := face.Accept(f.prof, c, nil)
			if err != nil {
				refused++
				// A gate is not counted on against impostors: theirs enter ungated.
				open := *f.prof
				open.NormP10 = 0
				if s, err = face.Accept(&open, c, nil); err == nil {
					f.rows = append(f.rows, row{i, s.Z})
				}
				continue
			}
			shots = append(shots, s)
			f.rows = append(f.rows, row{i, s.Z})
		}
		if p.Impostor {
			f.res.Impostors++
			continue
		}
		if len(p.Captures) <= f.o.Enrol {
			f.res.TooFew++
			continue
		}
		s := subject{person: i, refused: true}
		// A refused capture is asked for again, so the next one takes its place;
		// where the data then run short, three captures will do.
		if n := min(f.o.Enrol, max(minEnrolCaptures, len(shots)-1)); n < len(shots) {
			s.rest = shots[n:]
			if face.Agree(shots[:n]) >= face.MinEnrol {
				s.refused = false
				s.template = face.Fuse(shots[:n])
			}
		}
		if s.refused {
			fte++
		}
		f.subjects = append(f.subjects, s)
	}
	f.res.People = len(f.subjects)
	if total > 0 {
		f.res.FTA = float64(refused) / float64(total)
	}
	if len(f.subjects) > 0 {
		f.res.FTE = float64(fte) / float64(len(f.subjects))
	}
}

// minEnrolCaptures is the least the source enrols with.
const minEnrolCaptures = 3

// A record is one enrolment under one seed.
type record struct {
	key    *secret.Buffer
	helper [face.HelperSize]byte
	word   fuzzy.Bits
}

// enrolled makes a subject's record for a seed, the same at every run.
func (f *faceRun) enrolled(s int, seed int) (record, error) {
	var k [32]byte
	binary.BigEndian.PutUint64(k[:], uint64(seed))
	binary.BigEndian.PutUint64(k[8:], uint64(f.subjects[s].person))
	rng := rand.NewChaCha8(k)
	key, err := secret.Read(rng, 32)
	if err != nil {
		return record{}, err
	}
	p, err := f.sk.Project(key, f.subjects[s].template)
	if err != nil {
		return record{}, err
	}
	helper, sec, err := f.sk.Enrol(rng, p, [32]byte{})
	if err != nil {
		return record{}, err
	}
	sec.Wipe()
	return record{key: key, helper: helper, word: f.sk.Decode(p, helper)}, nil
}

func (f *faceRun) accepts(rec record, z []float64) (bool, error) {
	p, err := f.sk.Project(rec.key, z)
	if err != nil {
		return false, err
	}
	return f.sk.Decode(p, rec.helper) == rec.word, nil
}

// genuine measures FNMR with one, two and three captures fused: every run of
// consecutive accepted captures after the enrolment.
func (f *faceRun) genuine(ctx context.Context) error {
	var tallies [3][]tally
	for n := range tallies {
		tallies[n] = make([]tally, len(f.subjects))
	}
	var mu sync.Mutex
	done := 0
	err := f.parallel(ctx, len(f.subjects), func(s int) error {
		sub := f.subjects[s]
		for seed := range f.o.Seeds {
			var rec record
			if !sub.refused {
				var err error
				if rec, err = f.enrolled(s, seed); err != nil {
					return err
				}
			}
			for n := 1; n <= 3; n++ {
				t := &tallies[n-1][s]
				if sub.refused {
					t.trials++
					t.errors++
					continue
				}
				for at := 0; at+n <= len(sub.rest); at++ {
					ok, err := f.accepts(rec, face.Fuse(sub.rest[at:at+n]))
					if err != nil {
						return err
					}
					t.trials++
					if !ok {
						t.errors++
					}
				}
			}
		}
		mu.Lock()
		done++
		f.o.Progress(done, len(f.subjects), "genuine attempts")
		mu.Unlock()
		return nil
	})
	if err != nil {
		return err
	}
	for n := range tallies {
		f.res.Intervals[n] = rateOf(tallies[n], false, uint64(n))
		f.res.BalancedCI[n] = rateOf(tallies[n], true, uint64(n))
		f.res.FNMR[n], f.res.FNMRBalanced[n] = f.res.Intervals[n].Value, f.res.BalancedCI[n].Value
	}
	return nil
}

// impostors holds every record against every row of every other identity.
func (f *faceRun) impostors(ctx context.Context) error {
	type unit struct{ s, seed int }
	var units []unit
	for seed := range f.o.Seeds {
		for s, sub := range f.subjects {
			if !sub.refused {
				units = append(units, unit{s, seed})
			}
		}
	}
	var mu sync.Mutex
	done := 0
	err := f.parallel(ctx, len(units), func(i int) error {
		u := units[i]
		rec, err := f.enrolled(u.s, u.seed)
		if err != nil {
			return err
		}
		hits, trials := 0, 0
		for _, r := range f.rows {
			if r.person == f.subjects[u.s].person {
				continue
			}
			ok, err := f.accepts(rec, r.z)
			if err != nil {
				return err
			}
			trials++
			if ok {
				hits++
			}
		}
		mu.Lock()
		defer mu.Unlock()
		f.res.FalseAccepts += hits
		f.res.ImpostorTrials += trials
		done++
		f.o.Progress(done, len(units), "impostor attempts")
		return nil
	})
	if err != nil {
		return err
	}
	f.res.PerTry = upperBound(f.res.FalseAccepts, f.res.ImpostorTrials)
	f.res.FMRLog2 = math.Log2(f.res.PerTry)
	f.res.OfflineBits = -f.res.FMRLog2
	return nil
}

// parallel runs fn for 0..n-1 on every core.
func (f *faceRun) parallel(ctx context.Context, n int, fn func(i int) error) error {
	work := make(chan int)
	errs := make(chan error, runtime.GOMAXPROCS(0))
	for range cap(errs) {
		go func() {
			var first error
			for i := range work {
				if first == nil {
					first = fn(i)
				}
			}
			errs <- first
		}()
	}
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		work <- i
	}
	close(work)
	var first error
	for range cap(errs) {
		if err := <-errs; err != nil {
			first = err
		}
	}
	if first == nil && ctx.Err() != nil {
		first = core.Errorf(core.Canceled, "lab", "%w", ctx.Err())
	}
	return first
}

// ceiling scores templates against single captures by cosine.
func (f *faceRun) ceiling() {
	c := &ScoreCurves{}
	for _, s := range f.subjects {
		if s.refused {
			continue
		}
		for _, shot := range s.rest {
			c.Genuine = append(c.Genuine, face.Cosine(s.template, shot.Z))
		}
		for _, r := range f.rows {
			if r.person != s.person {
				c.Impostor = append(c.Impostor, face.Cosine(s.template, r.z))
			}
		}
	}
	sort.Float64s(c.Genuine)
	sort.Float64s(c.Impostor)
	f.res.Scores = c
	f.res.Ceiling = FaceCeiling{At1e5: c.fnmrAt(1e-5), At1e6: c.fnmrAt(1e-6)}
}

// fnmrAt is the FNMR where FMR is at most fmr; nil with fewer than 1/fmr trials.
func (c *ScoreCurves) fnmrAt(fmr float64) *float64 {
	allowed := int(fmr * float64(len(c.Impostor)))
	if len(c.Genuine) == 0 || float64(len(c.Impostor)) < 0.25/fmr {
		return nil
	}
	threshold := c.Impostor[len(c.Impostor)-1-allowed]
	missed := sort.Search(len(c.Genuine), func(i int) bool { return c.Genuine[i] > threshold })
	v := float64(missed) / float64(len(c.Genuine))
	return &v
}

// times measures medians over real calls of the source's own parts.
func (f *faceRun) times(ctx context.Context) error {
	at := -1
	for i, s := range f.subjects {
		if !s.refused {
			at = i
			break
		}
	}
	if at < 0 {
		return nil
	}
	person := f.set.People[f.subjects[at].person]
	rec, err := f.enrolled(at, 0)
	if err != nil {
		return err
	}
	query := f.subjects[at].rest[0].Z
	var enrol, decode, answer []float64
	for range 31 {
		start := time.Now()
		var shots []face.Shot
		for _, c := range person.Captures[:f.o.Enrol] {
			open := *f.prof
			open.NormP10 = 0
			s, err := face.Accept(&open, c, nil)
			if err != nil {
				return err
			}
			shots = append(shots, s)
		}
		p, err := f.sk.Project(rec.key, face.Fuse(shots))
		if err != nil {
			return err
		}
		if _, _, err = f.sk.Enrol(rand.NewChaCha8([32]byte{}), p, [32]byte{}); err != nil {
			return err
		}
		enrol = append(enrol, since(start))
		start = time.Now()
		if _, err := f.accepts(rec, query); err != nil {
			return err
		}
		decode = append(decode, since(start))
	}
	for range 9 {
		ms, err := face.TimeAnswer(ctx, f.prof, f.o.Code, person.Captures[0], rec.key, rec.helper)
		if err != nil {
			return err
		}
		answer = append(answer, ms)
	}
	for _, v := range [][]float64{enrol, decode, answer} {
		sort.Float64s(v)
	}
	f.res.Ms = FaceTimes{Enrol: quantile(enrol, 0.5), Decode: quantile(decode, 0.5), Answer: quantile(answer, 0.5)}
	return nil
}

func since(t time.Time) float64 { return float64(time.Since(t).Microseconds()) / 1000 }
