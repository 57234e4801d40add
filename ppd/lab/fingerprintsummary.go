package lab

import (
	"math"
	"math/rand/v2"
	"sort"
)

// summarise turns the records into rates.
func (f *fingerRun) summarise() {
	res := f.res
	var trials, refused int
	for i := range f.records {
		r := &f.records[i]
		trials += r.trials
		refused += count(r.refused)
		res.FalseAccepts += r.hits
		res.GenuineN += len(r.genuine)
		res.genuine = append(res.genuine, r.genuine...)
		res.impostor = append(res.impostor, r.impostor...)
	}
	res.ImpostorTrials = trials
	res.FTE = float64(refused) / float64(len(f.records))
	// The seeds repeat the same prints: one seed's trials bound the rate.
	res.PerTry = upperBound((res.FalseAccepts+f.o.Seeds-1)/f.o.Seeds, trials/f.o.Seeds)
	for k := lowK; k <= highK; k++ {
		p := FingerPoint{K: k}
		p.Bits, p.From = f.bits(res.Curve, k, trials)
		for j := range p.Accept {
			p.Accept[j] = mean(f.accepts(k, j+1))
		}
		res.Curve = append(res.Curve, p)
	}
	at := res.Curve[f.o.K-lowK]
	res.AcceptAfter, res.OfflineBits, res.BitsFrom = at.Accept, at.Bits, at.From
	for j := range res.Intervals.AcceptAfter {
		res.Intervals.AcceptAfter[j] = f.interval(f.accepts(f.o.K, j+1))
	}
	fte := make([]float64, len(f.records))
	for i := range f.records {
		fte[i] = float64(count(f.records[i].refused))
	}
	res.Intervals.FTE = f.interval(fte)
	res.AcceptAtBits, res.Intervals.AcceptAtBits = map[string]float64{}, map[string][2]float64{}
	for name, bits := range map[string]float64{"30": 30, "35": 35, "40": 40} {
		v := f.acceptAt(bits)
		res.AcceptAtBits[name], res.Intervals.AcceptAtBits[name] = mean(v), f.interval(v)
	}
}

// bits is −log2 of the mean chance of a draw. Where no print of another finger
// had k features in common there is nothing to count: the line through the two
// values before is drawn on, and before there are two, three trials in all (rule
// of three) might have had k of the likeliest 18 candidates.
func (f *fingerRun) bits(before []FingerPoint, k, trials int) (bits float64, from string) {
	var sum float64
	for i := range f.records {
		sum += f.records[i].perDraw[k]
	}
	n := len(before)
	switch {
	case trials == 0:
		return 0, "no trials"
	case sum > 0:
		return -math.Log2(sum / float64(trials)), "counted"
	case n >= 2:
		return before[n-1].Bits + math.Max(0, before[n-1].Bits-before[n-2].Bits), "extrapolated"
	}
	const likeliest = 18
	one := math.Exp(logChoose(k, 3)-logChoose(likeliest, k-3)) / likeliest
	return -math.Log2(3 * one / float64(trials)), "bound"
}

// accepts is each record's rate with k after j attempts: the mean over all
// j-subsets of its queries.
func (f *fingerRun) accepts(k, j int) []float64 {
	out := make([]float64, len(f.records))
	for i := range f.records {
		out[i] = afterAttempts(f.records[i].accept[k], j)
	}
	return out
}

// afterAttempts is the mean, over all j-subsets of chances, of the chance that
// one at least succeeds; 0 with fewer than j.
func afterAttempts(p []float64, j int) float64 {
	// miss[m] sums the products of (1 − p) over all m-subsets.
	miss := make([]float64, j+1)
	miss[0] = 1
	for _, v := range p {
		for m := j; m > 0; m-- {
			miss[m] += miss[m-1] * (1 - v)
		}
	}
	if len(p) < j {
		return 0
	}
	return 1 - miss[j]/math.Exp(logChoose(len(p), j))
}

// acceptAt interpolates each record's rate of one attempt between the values of
// k on both sides of a strength.
func (f *fingerRun) acceptAt(bits float64) []float64 {
	curve := f.res.Curve
	if curve[0].Bits >= bits {
		return f.accepts(lowK, 1)
	}
	for i := 1; i < len(curve); i++ {
		if curve[i].Bits < bits {
			continue
		}
		low, high := f.accepts(curve[i-1].K, 1), f.accepts(curve[i].K, 1)
		t := (bits - curve[i-1].Bits) / (curve[i].Bits - curve[i-1].Bits)
		for j := range low {
			low[j] += t * (high[j] - low[j])
		}
		return low
	}
	return make([]float64, len(f.records))
}

func mean(v []float64) float64 {
	var s float64
	for _, x := range v {
		s += x
	}
	return s / float64(max(1, len(v)))
}

// interval resamples persons: all fingers and seeds of one go together.
func (f *fingerRun) interval(v []float64) [2]float64 {
	groups := map[string][2]float64{}
	for i, x := range v {
		p := f.set.Fingers[f.records[i].finger].Person
		g := groups[p]
		groups[p] = [2]float64{g[0] + x, g[1] + 1}
	}
	var names []string
	for p := range groups {
		names = append(names, p)
	}
	sort.Strings(names)
	rng := rand.New(rand.NewPCG(1, 0xb007))
	var boot []float64
	for range bootstrapRounds {
		var s, n float64
		for range names {
			g := groups[names[rng.IntN(len(names))]]
			s, n = s+g[0], n+g[1]
		}
		boot = append(boot, s/n)
	}
	sort.Float64s(boot)
	return [2]float64{quantile(boot, 0.025), quantile(boot, 0.975)}
}

func logChoose(n, k int) float64 {
	if k < 0 || k > n {
		return math.Inf(-1)
	}
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c
}
