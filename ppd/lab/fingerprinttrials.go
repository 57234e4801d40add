package lab

import (
	"context"
	"math"
	"math/rand/v2"
	"sort"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/ppd/fingerprint"
)

// trials counts draws: every record against the finger's own later impressions
// and, as impostors, the first and the later impressions of every other finger.
// Where an impostor has a chance at all the real decoder is run too, so that
// false accepts are counted, not estimated.
func (f *fingerRun) trials(ctx context.Context) error {
	done := 0
	return each(ctx, len(f.records), func(i int) error {
		r := &f.records[i]
		if !r.refused {
			if err := f.genuineTrials(r); err != nil {
				return err
			}
			if err := f.impostorTrials(ctx, r); err != nil {
				return err
			}
		}
		f.step(&done, len(f.records), "records")
		return nil
	})
}

func (f *fingerRun) prepare(r *fingerRecord, v fingerprint.View) (*fingerprint.Attempt, error) {
	return f.sk.Prepare(r.key, r.helper, []fingerprint.View{v})
}

func (f *fingerRun) genuineTrials(r *fingerRecord) error {
	for _, q := range f.queries(r.finger) {
		a, err := f.prepare(r, q)
		if err != nil {
			return err
		}
		r.genuine = append(r.genuine, float64(a.Genuine(r.features)))
		for k := lowK; k <= highK; k++ {
			success, _ := a.Odds(r.features, k, 1<<f.o.Work)
			r.accept[k] = append(r.accept[k], success)
		}
	}
	return nil
}

func (f *fingerRun) impostorTrials(ctx context.Context, r *fingerRecord) error {
	for g := range f.set.Fingers {
		if g == r.finger {
			continue
		}
		for n, q := range f.impostorQueries(g) {
			if ctx.Err() != nil {
				return core.Errorf(core.Canceled, "lab", "%w", ctx.Err())
			}
			a, err := f.prepare(r, q)
			if err != nil {
				return err
			}
			r.trials++
			r.impostor = append(r.impostor, float64(a.Genuine(r.features)))
			for k := lowK; k <= highK; k++ {
				_, perDraw := a.Odds(r.features, k, 1<<f.o.Work)
				r.perDraw[k] += perDraw
				if k == f.o.K && perDraw > 0 && f.opens(r, a, g, n) {
					r.hits++
				}
			}
		}
	}
	return nil
}

// impostorQueries are the first impression and the later ones.
func (f *fingerRun) impostorQueries(finger int) []fingerprint.View {
	qs := f.queries(finger)
	if first, ok := f.set.Fingers[finger].Impressions[1]; ok {
		qs = append([]fingerprint.View{first}, qs...)
	}
	return qs
}

// opens runs the real decoder with a generator of its own and compares the
// secret with the record's.
func (f *fingerRun) opens(r *fingerRecord, a *fingerprint.Attempt, what ...int) bool {
	rng := rand.New(generator(r.seed, append([]int{r.finger, 3}, what...)...))
	got := f.sk.Result(a.Search(rng, 1<<f.o.Work, nil))
	defer got.Wipe()
	return got.Equal(r.sec)
}

// check runs the real decoder on genuine and impostor trials drawn by the seed
// and holds its count against the draw counts.
func (f *fingerRun) check(ctx context.Context) error {
	var live []int
	for i := range f.records {
		if !f.records[i].refused && len(f.records[i].genuine) > 0 {
			live = append(live, i)
		}
	}
	if len(live) == 0 {
		return core.Errorf(core.Invalid, "lab: fingers", "no finger could be enrolled and has impressions left")
	}
	searches := make([]search, 2*checkTrials)
	done := 0
	err := each(ctx, len(searches), func(i int) error {
		rng := rand.New(generator(0, i, 4))
		r := &f.records[live[rng.IntN(len(live))]]
		q, ok := f.checkQuery(r, i < checkTrials, rng)
		if !ok {
			return nil
		}
		start := time.Now()
		a, err := f.prepare(r, q)
		if err != nil {
			return err
		}
		s := &searches[i]
		s.run, s.align = true, ms(start)
		s.predicted, _ = a.Odds(r.features, f.o.K, 1<<f.o.Work)
		s.opened = f.opens(r, a, i)
		s.took = ms(start)
		f.step(&done, len(searches), "real searches")
		return nil
	})
	f.tell(searches)
	return err
}

// A search is one run of the real decoder beside what draw counts said of it.
type search struct {
	run, opened bool
	predicted   float64
	align, took float64 // milliseconds; took includes align
}

// tell sums up the searches, the genuine ones first.
func (f *fingerRun) tell(searches []search) {
	c, t := &f.res.Check, &f.res.Ms
	var decode, refuse, align []float64
	var variance float64
	for i, s := range searches {
		switch {
		case !s.run:
			continue
		case i < checkTrials:
			c.GenuineTrials++
			c.GenuinePredicted += s.predicted
			variance += s.predicted * (1 - s.predicted)
			c.GenuineAccepted += count(s.opened)
		default:
			c.ImpostorTrials++
			c.ImpostorPredicted += s.predicted
			c.ImpostorAccepted += count(s.opened)
		}
		align = append(align, s.align)
		if s.opened {
			decode = append(decode, s.took)
		} else {
			refuse = append(refuse, s.took-s.align)
		}
	}
	if variance > 0 {
		c.Deviations = (float64(c.GenuineAccepted) - c.GenuinePredicted) / math.Sqrt(variance)
	}
	sort.Float64s(decode)
	t.Refuse, t.Align = medianOf(refuse), medianOf(align)
	if len(decode) > 0 {
		t.DecodeP50, t.DecodeP90 = quantile(decode, 0.5), quantile(decode, 0.9)
	}
}

func (f *fingerRun) checkQuery(r *fingerRecord, genuine bool, rng *rand.Rand) (fingerprint.View, bool) {
	qs := f.queries(r.finger)
	if !genuine {
		if len(f.set.Fingers) < 2 {
			return fingerprint.View{}, false
		}
		g := rng.IntN(len(f.set.Fingers) - 1)
		if g >= r.finger {
			g++
		}
		qs = f.impostorQueries(g)
	}
	if len(qs) == 0 {
		return fingerprint.View{}, false
	}
	return qs[rng.IntN(len(qs))], true
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

func medianOf(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = append([]float64(nil), v...)
	sort.Float64s(v)
	return quantile(v, 0.5)
}

// times measures Recover as a caller sees it, for a match and a refusal.
func (f *fingerRun) times(ctx context.Context) error {
	src, err := fingerprint.New(&fingerprint.Options{Profile: fingerprint.Profile{K: f.o.K, Fingers: 1}, Captures: f.o.Enrol})
	if err != nil {
		return err
	}
	for i := range f.records {
		if r := &f.records[i]; !r.refused && len(r.genuine) > 0 {
			own, err := f.answer(ctx, src, r, f.queries(r.finger)[0])
			if err != nil {
				return err
			}
			other, err := f.answer(ctx, src, r, f.set.Fingers[(r.finger+1)%len(f.set.Fingers)].Impressions[1])
			f.res.Ms.Answer, f.res.Ms.Spread = own, (other-own)/own
			return err
		}
	}
	return nil
}

func (f *fingerRun) answer(ctx context.Context, src *fingerprint.Source, r *fingerRecord, v fingerprint.View) (float64, error) {
	rec, err := fingerprint.WriteFMR([]fingerprint.View{v})
	if err != nil {
		return 0, err
	}
	c, err := src.Capture(ctx, core.CaptureRequest{Format: fingerprint.Profile{K: f.o.K, Fingers: 1}.Format()},
		core.PrompterFunc(func(context.Context, core.Prompt) (core.Sample, error) {
			return core.NewSample(core.SampleISOFMR, rec), nil
		}))
	if err != nil {
		return 0, err
	}
	start := time.Now()
	sec, err := c.Recover(ctx, core.RecoverRequest{Helper: r.helper, BindKey: r.key})
	took := ms(start)
	sec.Wipe()
	return took, err
}
