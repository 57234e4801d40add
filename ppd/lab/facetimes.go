package lab

import (
	"context"
	"math/rand/v2"
	"sort"
	"time"

	"github.com/keposs/keposs/ppd/face"
)

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
			s, err := face.Accept(ungated(f.prof), c, nil)
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
		p, err = f.sk.Project(rec.key, query)
		if err != nil {
			return err
		}
		f.sk.Decode(p, rec.helper)
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
