package fingerprint

import "math"

// Odds is what draw counts say about an attempt when the enrolled features are
// known: the chance that Search with this work finds the secret, and the mean
// chance of one draw to do so, were the work without bound. The second is the
// false-accept security of another finger's print: −log2 of its mean.
//
// A base of k−3 points opens if all its points are genuine and the prefix has k
// genuine points; a base over n candidates costs n draws.
func (a *Attempt) Odds(features map[uint16]bool, k, work int) (success, perDraw float64) {
	logMiss, accidents := 0.0, 0.0
	exact := true
	for _, p := range a.plans {
		in, all := 0, 0
		for i, e := range p.elems {
			if features[e] {
				if all++; i < p.n {
					in++
				}
			}
		}
		n, m := p.n, k-3
		slice := a.slice(work)
		bases := float64(rounds * (slice/stopEvery*(stopEvery/n) + slice%stopEvery/n))
		accidents += bases * math.Exp(logChoose(n-m, 3)) / (1 << 32)
		if in < k {
			continue
		}
		exact = exact && all == k
		one := math.Exp(logChoose(in, m) - logChoose(n, m))
		perDraw += one / float64(n) / float64(len(a.plans))
		if one >= 1 {
			one = 1 - 1e-12
		}
		logMiss += bases * math.Log1p(-one)
	}
	success = 1 - math.Exp(logMiss)
	if exact && accidents > 0 {
		// k points exactly look like an accident of the search; the first counts.
		success *= (1 - math.Exp(-accidents)) / accidents
	}
	return success, perDraw
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
