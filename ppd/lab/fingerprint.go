package lab

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/ppd/fingerprint"
)

// FingerOptions sets a run. Zero values are defaults.
type FingerOptions struct {
	Enrol    int // captures at enrolment, 2 to 5; default 3
	Seeds    int // default 3
	K        int // profile 8, 9 or 10; default 9
	Work     int // draws of one search, a power of two; default 25
	Progress func(done, total int, what string)
}

// FingerResult is one run. Rates are fractions 0..1; a refused enrolment counts
// as a rejection of each of its attempts. Bits are −log2 of the mean chance of
// one decoder draw on the prints of other fingers, after alignment.
type FingerResult struct {
	Data     string `json:"data"`
	Fingers  int    `json:"fingers"`
	Persons  int    `json:"persons"`
	Enrol    int    `json:"enrol"`
	Seeds    int    `json:"seeds"`
	Profile  int    `json:"profile"`
	Work     int    `json:"work"`
	GenuineN int    `json:"genuine_trials"`
	Attempts string `json:"attempts"`          // what accept_after counts
	BitsFrom string `json:"offline_bits_from"` // "counted" or "extrapolated" from smaller k

	AcceptAfter    [3]float64         `json:"accept_after"`
	AcceptAtBits   map[string]float64 `json:"accept_at_bits"`
	FalseAccepts   int                `json:"false_accepts"`
	ImpostorTrials int                `json:"impostor_trials"`
	OfflineBits    float64            `json:"offline_bits"`
	PerTry         float64            `json:"per_try"` // upper bound of one random finger's chance
	FTE            float64            `json:"fte"`
	HelperBytes    int                `json:"helper_bytes"`
	Ms             FingerTimes        `json:"ms"`

	Intervals FingerIntervals `json:"intervals"` // 95 %, persons resampled
	Curve     []FingerPoint   `json:"curve"`     // by k
	Check     FingerCheck     `json:"check"`

	genuine, impostor []float64 // enrolled features among the candidates, for the report
}

// FingerTimes are in milliseconds on this machine: medians, decode also the
// 90 % quantile over genuine attempts, alignment included. Refuse is a search
// that spends all its work. Answer is Recover as a caller sees it at the
// source's default work, constant by design.
type FingerTimes struct {
	Enrol     float64 `json:"enrol"`
	DecodeP50 float64 `json:"decode_p50"`
	DecodeP90 float64 `json:"decode_p90"`
	Refuse    float64 `json:"refuse"`
	Answer    float64 `json:"answer"`
	Spread    float64 `json:"answer_spread"` // (refusal − match) / match
	Align     float64 `json:"align"`
}

// FingerIntervals are 95 % intervals of the figures of the same name.
type FingerIntervals struct {
	AcceptAfter  [3][2]float64         `json:"accept_after"`
	AcceptAtBits map[string][2]float64 `json:"accept_at_bits"`
	FTE          [2]float64            `json:"fte"`
}

// FingerPoint is what another k would give at this work.
type FingerPoint struct {
	K      int        `json:"k"`
	Bits   float64    `json:"bits"`
	From   string     `json:"bits_from"`
	Accept [3]float64 `json:"accept_after"`
}

// FingerCheck holds the draw counts against the real decoder.
type FingerCheck struct {
	GenuineTrials     int     `json:"genuine_trials"`
	GenuinePredicted  float64 `json:"genuine_predicted"`
	GenuineAccepted   int     `json:"genuine_accepted"`
	ImpostorTrials    int     `json:"impostor_trials"`
	ImpostorPredicted float64 `json:"impostor_predicted"`
	ImpostorAccepted  int     `json:"impostor_accepted"`
	Deviations        float64 `json:"deviations"` // of the genuine count from its prediction, in standard deviations
}

const (
	lowK, highK = 4, 16 // of the curve
	checkTrials = 200
)

type fingerRun struct {
	o       FingerOptions
	set     *FingerSet
	sk      *fingerprint.Sketcher
	res     *FingerResult
	mu      sync.Mutex
	records []fingerRecord // seed by seed, finger by finger
}

// A fingerRecord is one enrolment under one seed and what its trials gave.
type fingerRecord struct {
	finger   int
	seed     int
	refused  bool
	key      *secret.Buffer
	helper   []byte
	sec      *secret.Buffer
	features map[uint16]bool
	accept   [highK + 1][]float64 // by query
	perDraw  [highK + 1]float64   // sum over impostor trials
	trials   int
	hits     int // false accepts of the real decoder
	genuine  []float64
	impostor []float64
}

// Fingers runs the whole measurement.
func Fingers(ctx context.Context, set *FingerSet, o FingerOptions) (*FingerResult, error) {
	o = o.withDefaults()
	if o.Enrol < fingerprint.MinCaptures || o.Enrol > fingerprint.MaxCaptures || o.Seeds < 1 || o.Seeds > 100 || o.Work < fingerprint.MinWork || o.Work > fingerprint.MaxWork {
		return nil, core.Errorf(core.Usage, "lab: fingers", "want %d to %d captures, 1 to 100 seeds and work of %d to %d", fingerprint.MinCaptures, fingerprint.MaxCaptures, fingerprint.MinWork, fingerprint.MaxWork)
	}
	p := fingerprint.Profile{K: o.K, Fingers: 1}
	sk, err := fingerprint.NewSketcher(p)
	if err != nil {
		return nil, err
	}
	persons := map[string]bool{}
	for _, f := range set.Fingers {
		persons[f.Person] = true
	}
	run := &fingerRun{o: o, set: set, sk: sk, res: &FingerResult{Data: set.Name, Fingers: len(set.Fingers), Persons: len(persons),
		Enrol: o.Enrol, Seeds: o.Seeds, Profile: o.K, Work: o.Work, HelperBytes: p.HelperSize(), Attempts: "every subset of 1, 2, 3 of the impressions after the enrolment"}}
	for _, step := range []func(context.Context) error{run.enrol, run.trials, run.check, run.times} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	run.summarise()
	return run.res, nil
}

func (o FingerOptions) withDefaults() FingerOptions {
	if o.Enrol == 0 {
		o.Enrol = 3
	}
	if o.Seeds == 0 {
		o.Seeds = 3
	}
	if o.K == 0 {
		o.K = fingerprint.Default.K
	}
	if o.Work == 0 {
		o.Work = fingerprint.MaxWork
	}
	if o.Progress == nil {
		o.Progress = func(int, int, string) {}
	}
	return o
}

// generator is the same at every run for the same numbers.
func generator(seed int, what ...int) *rand.ChaCha8 {
	var k [32]byte
	binary.BigEndian.PutUint64(k[:], uint64(seed))
	for i, v := range what {
		binary.BigEndian.PutUint32(k[8+4*i:], uint32(v))
	}
	return rand.NewChaCha8(k)
}

// captures are the impressions 1..Enrol; nil if one is missing.
func (f *fingerRun) captures(finger int) (out []fingerprint.View) {
	for n := 1; n <= f.o.Enrol; n++ {
		v, ok := f.set.Fingers[finger].Impressions[n]
		if !ok {
			return nil
		}
		out = append(out, v)
	}
	return out
}

// queries are the impressions after the enrolment, in order.
func (f *fingerRun) queries(finger int) (out []fingerprint.View) {
	for n := f.o.Enrol + 1; n <= 99; n++ {
		if v, ok := f.set.Fingers[finger].Impressions[n]; ok {
			out = append(out, v)
		}
	}
	return out
}

// enrol makes the records, gates and self-test included.
func (f *fingerRun) enrol(ctx context.Context) error {
	n := len(f.set.Fingers)
	f.records = make([]fingerRecord, n*f.o.Seeds)
	took := make([]float64, len(f.records))
	done := 0
	err := each(ctx, len(f.records), func(i int) error {
		start := time.Now()
		r := &f.records[i]
		r.finger, r.seed = i%n, i/n
		if err := f.enrolOne(ctx, r); err != nil {
			return err
		}
		took[i] = ms(start)
		f.step(&done, len(f.records), "enrolments")
		return nil
	})
	f.res.Ms.Enrol = medianOf(took)
	return err
}

func (f *fingerRun) enrolOne(ctx context.Context, r *fingerRecord) error {
	src := generator(r.seed, r.finger, 1)
	rng := rand.New(generator(r.seed, r.finger, 2))
	var err error
	if r.key, err = secret.Read(src, 32); err != nil {
		return err
	}
	captures := f.captures(r.finger)
	if captures == nil {
		r.refused = true
		return nil
	}
	t, err := fingerprint.NewTemplate(captures, rng)
	if core.CodeOf(err) == core.CaptureRefused {
		r.refused = true
		return nil
	}
	if err != nil {
		return err
	}
	opened, err := fingerprint.SelfTest(ctx, fingerprint.Profile{K: f.o.K, Fingers: 1}, f.o.Work, captures, rng, src)
	if err != nil {
		return err
	}
	if opened == 0 {
		r.refused = true
		return nil
	}
	helper, sec, features, err := f.sk.Enrol(src, r.key, []*fingerprint.Template{t})
	if err != nil {
		return err
	}
	r.sec = sec
	r.helper, r.features = helper, map[uint16]bool{}
	for _, e := range features {
		r.features[e] = true
	}
	return nil
}

// step reports progress under the lock.
func (f *fingerRun) step(done *int, total int, what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*done++
	f.o.Progress(*done, total, what)
}

func ms(start time.Time) float64 { return float64(time.Since(start).Microseconds()) / 1000 }
