package fingerprint

import "math"

// Odds is what draw counts say about an attempt when the enrolled features are
// known: the chance that Search with this work finds the secret, and the mean
// chance of one draw to do so, were the work without bound. The second is the
// false-accept security of another finger's print: −log2 of its mean. It leaves
// the evidence out, as whoever attacks a readable helper does.
//
// A base of k−3 points opens if all its points are genuine and the prefix has k
// genuine points; a base over n candidates costs n draws.
func (a *Attempt) Odds(features map[uint16]bool, k, work int) (success, perDraw float64) {
	logMiss := 0.0
	soundness := map[int]bool{} // by hypothesis
	ids, _ := a.cells.enrolled(a.fingers, func(e uint16) bool { return features[e] })
	for i := range a.plans {
		p := &a.plans[i]
		in := 0
		for _, e := range p.elems[:p.n] {
			if features[e] {
				in++
			}
		}
		if in < k {
			continue
		}
		n, m := p.n, k-3
		slice := a.slice(work)
		bases := float64(rounds * (slice/stopEvery*(stopEvery/n) + slice%stopEvery/n))
		one := math.Exp(logChoose(in, m) - logChoose(n, m))
		perDraw += one / float64(n) / float64(len(a.plans))
		good, known := soundness[p.hyp]
		if !known {
			good = sound(p.sights, ids)
			soundness[p.hyp] = good
		}
		if !good {
			continue
		}
		if one >= 1 {
			one = 1 - 1e-12
		}
		logMiss += bases * math.Log1p(-one)
	}
	return 1 - math.Exp(logMiss), perDraw
}

// Genuine is the most enrolled features among the candidates of one hypothesis.
func (a *Attempt) Genuine(features map[uint16]bool) (most int) {
	for _, p := range a.plans {
		n := 0
		for _, e := range p.elems {
			if features[e] {
				n++
			}
		}
		most = max(most, n)
	}
	return most
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
