package lab

import (
	"context"
	"encoding/hex"
	"math"
	"sort"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/ppd/face"
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

	// AskedAgain counts attempts of one, two and three captures whose pictures
	// did not agree with each other: the source asks again, nothing is tried.
	AskedAgain [3]int `json:"asked_again"`

	FNMR         [3]float64 `json:"fnmr_captures"`
	FNMRBalanced [3]float64 `json:"fnmr_captures_balanced"`
	Intervals    [3]Rate    `json:"fnmr_intervals"`
	BalancedCI   [3]Rate    `json:"fnmr_balanced_intervals"`

	FalseAccepts   int     `json:"false_accepts"`
	ImpostorTrials int     `json:"impostor_trials"`
	FMRLog2        float64 `json:"fmr_log2"`     // log2(max(false accepts, 3) / trials)
	PerTry         float64 `json:"per_try"`      // 95 % upper bound of FMR, the chance of one other face
	FMRInterval    Rate    `json:"fmr_interval"` // of FMR, from resampling people

	Sessions FaceSessions `json:"sessions"` // the same with captures fused

	// What an attacker gains who has helper and key: he decodes himself and takes
	// the word even where the source finds it too far.
	OfflineAccepts int     `json:"offline_accepts"`
	OfflineBits    float64 `json:"offline_bits"` // −log2 of their 95 % upper bound: what one decoding is worth

	Pairs []FacePair `json:"false_accept_pairs,omitempty"`

	HelperBytes int          `json:"helper_bytes"`
	Ms          FaceTimes    `json:"ms"`
	Ceiling     FaceCeiling  `json:"ceiling"`
	Scores      *ScoreCurves `json:"-"`
}

// FacePair is a record that another identity's captures opened.
type FacePair struct {
	Record  string `json:"record"`
	Sample  string `json:"sample"`
	Accepts int    `json:"accepts"`
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
	sk, err := face.SketcherFor(o.Code, o.Profile)
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
