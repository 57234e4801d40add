package lab

import (
	"math/rand/v2"
	"sort"
)

// fmrInterval is FMR with a 95 % interval from resampling people, as owners of
// records and as strangers alike: two who look alike leave together, which a
// binomial bound over trials does not know. pairs counts false accepts by record
// and stranger (indices of the set's people). No false accept gives 0 to 0: then
// only the bounds over trials say something.
func (f *faceRun) fmrInterval(pairs map[[2]int]int) Rate {
	rows := make([]int, len(f.set.People))
	for _, r := range f.rows {
		rows[r.person]++
	}
	// Owners are drawn from owners and others from others, so that a resample has
	// as many records as the set.
	var records, others []int
	owner := make([]bool, len(rows))
	for _, s := range f.subjects {
		if !s.refused {
			records, owner[s.person] = append(records, s.person), true
		}
	}
	for p := range rows {
		if !owner[p] {
			others = append(others, p)
		}
	}
	rate := func(times []int) (errors, trials int) {
		all := 0
		for p, n := range rows {
			all += times[p] * n
		}
		for _, p := range records {
			trials += times[p] * (all - times[p]*rows[p]) * f.o.Seeds
		}
		for p, n := range pairs {
			errors += times[p[0]] * times[p[1]] * n
		}
		return errors, trials
	}
	times := make([]int, len(rows))
	for p := range times {
		times[p] = 1
	}
	var r Rate
	if r.Errors, r.Trials = rate(times); r.Trials == 0 {
		return r
	}
	r.Value = float64(r.Errors) / float64(r.Trials)
	rng := rand.New(rand.NewPCG(3, 0xb007))
	var boot []float64
	for range bootstrapRounds {
		clear(times)
		for _, group := range [][]int{records, others} {
			for range group {
				times[group[rng.IntN(len(group))]]++
			}
		}
		if e, n := rate(times); n > 0 {
			boot = append(boot, float64(e)/float64(n))
		}
	}
	sort.Float64s(boot)
	r.Low, r.High = quantile(boot, 0.025), quantile(boot, 0.975)
	return r
}
