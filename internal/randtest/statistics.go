package randtest

import "math"

// sum of the bits as ±1.
func balance(bits []byte) float64 {
	ones := 0
	for _, b := range bits {
		ones += int(b)
	}
	return float64(2*ones - len(bits))
}

// monobit: as many ones as zeroes (clause 5.1 of the standard's appendix).
func monobit(bits []byte) float64 {
	return math.Erfc(math.Abs(balance(bits)) / math.Sqrt(float64(len(bits))) / math.Sqrt2)
}

// blockFrequency: the same in every block of m bits.
func blockFrequency(bits []byte, m int) float64 {
	n, v := len(bits)/m, 0.0
	for i := range n {
		pi := (balance(bits[i*m:(i+1)*m]) / float64(m)) / 2 // share of ones − 1/2
		v += pi * pi
	}
	return igamc(float64(n)/2, 4*float64(m)*v/2)
}

// number is the value of at most 32 bits, the first the highest.
func number(bits []byte) (v uint32) {
	for _, b := range bits {
		v = v<<1 | uint32(b)
	}
	return v
}

// chi2 is the χ² of counts against shares of their sum.
func chi2(count, share []float64) (v float64) {
	n := 0.0
	for _, c := range count {
		n += c
	}
	for i, p := range share {
		v += (count[i] - n*p) * (count[i] - n*p) / (n * p)
	}
	return v
}

// poker: the m-bit groups, not overlapping, are evenly spread.
func poker(bits []byte, m int) float64 {
	count := make([]float64, 1<<m)
	n := len(bits) / m
	for i := range n {
		count[number(bits[i*m:(i+1)*m])]++
	}
	sum := 0.0
	for _, c := range count {
		sum += c * c
	}
	v := float64(len(count))/float64(n)*sum - float64(n)
	return igamc(float64(len(count)-1)/2, v/2)
}

// patterns counts the overlapping m-bit patterns of the sequence closed to a ring.
func patterns(bits []byte, m int) []float64 {
	count := make([]float64, 1<<m)
	v, mask := 0, 1<<m-1
	for i := range len(bits) + m - 1 {
		v = (v<<1 | int(bits[i%len(bits)])) & mask
		if i >= m-1 {
			count[v]++
		}
	}
	return count
}

func psi2(bits []byte, m int) float64 {
	if m <= 0 {
		return 0
	}
	sum := 0.0
	for _, c := range patterns(bits, m) {
		sum += c * c
	}
	n := float64(len(bits))
	return math.Ldexp(sum, m)/n - n
}

// serial: overlapping patterns of m bits are evenly spread, by the first and
// the second difference of ψ².
func serial(bits []byte, m int) (first, second float64) {
	a, b, c := psi2(bits, m), psi2(bits, m-1), psi2(bits, m-2)
	return igamc(math.Ldexp(1, m-2), (a-b)/2), igamc(math.Ldexp(1, m-3), (a-2*b+c)/2)
}

// runs: how often a bit differs from the one before.
func runs(bits []byte) float64 {
	n := float64(len(bits))
	pi := (balance(bits)/n + 1) / 2
	v := 1.0
	for i := 1; i < len(bits); i++ {
		if bits[i] != bits[i-1] {
			v++
		}
	}
	if pi == 0 || pi == 1 {
		return 0
	}
	return math.Erfc(math.Abs(v-2*n*pi*(1-pi)) / (2 * math.Sqrt(2*n) * pi * (1 - pi)))
}

// runsDistribution: runs of each length are as frequent as they should be,
// those of ones as those of zeroes.
func runsDistribution(bits []byte) float64 {
	n := len(bits)
	k := 0 // the longest length expected at least five times
	for i := 1; float64(n-i+3)/math.Ldexp(1, i+2) >= 5; i++ {
		k = i
	}
	counts := [2][]float64{make([]float64, k+1), make([]float64, k+1)}
	total := 0.0
	for i := 0; i < n; {
		j := i
		for j < n && bits[j] == bits[i] {
			j++
		}
		counts[bits[i]][min(j-i, k)]++
		total++
		i = j
	}
	v := 0.0
	for i := 1; i <= k; i++ {
		want := total / math.Ldexp(1, i+1)
		if i == k {
			want = total / math.Ldexp(1, k)
		}
		for _, c := range counts {
			v += (c[i] - want) * (c[i] - want) / want
		}
	}
	return igamc(float64(k-1), v/2)
}

// longestRun: the longest run of bit in blocks of 10000 bits.
func longestRun(bits []byte, bit byte) float64 {
	const m = 10000
	share := []float64{0.0882, 0.2092, 0.2483, 0.1933, 0.1208, 0.0675, 0.0727}
	count := make([]float64, len(share))
	for i := range len(bits) / m {
		longest, run := 0, 0
		for _, b := range bits[i*m : (i+1)*m] {
			if b == bit {
				run++
				longest = max(longest, run)
			} else {
				run = 0
			}
		}
		count[min(max(longest-10, 0), len(count)-1)]++
	}
	return igamc(3, chi2(count, share)/2)
}

// derivative: after k times replacing each bit by its difference from the
// next, ones and zeroes are still balanced.
func derivative(bits []byte, k int) float64 {
	d := append([]byte(nil), bits...)
	for range k {
		for i := range len(d) - 1 {
			d[i] ^= d[i+1]
		}
		d = d[:len(d)-1]
	}
	return monobit(d)
}

// autocorrelation: a bit tells nothing of the one d places later.
func autocorrelation(bits []byte, d int) float64 {
	n := len(bits) - d
	a := 0
	for i := range n {
		a += int(bits[i] ^ bits[i+d])
	}
	v := 2 * (float64(a) - float64(n)/2) / math.Sqrt(float64(n))
	return math.Erfc(math.Abs(v) / math.Sqrt2)
}

// cumulative: the walk of the bits as ±1 strays no further than chance.
func cumulative(bits []byte, backward bool) float64 {
	z, s := 0, 0
	for i := range bits {
		b := bits[i]
		if backward {
			b = bits[len(bits)-1-i]
		}
		s += 2*int(b) - 1
		z = max(z, s, -s)
	}
	n, x := float64(len(bits)), float64(z)
	phi := func(v float64) float64 { return math.Erfc(-v/math.Sqrt2) / 2 }
	p := 1.0
	for k := math.Ceil((-n/x + 1) / 4); k <= (n/x-1)/4; k++ {
		p -= phi((4*k+1)*x/math.Sqrt(n)) - phi((4*k-1)*x/math.Sqrt(n))
	}
	for k := math.Ceil((-n/x - 3) / 4); k <= (n/x-1)/4; k++ {
		p += phi((4*k+3)*x/math.Sqrt(n)) - phi((4*k+1)*x/math.Sqrt(n))
	}
	return p
}

// approximateEntropy: patterns of m+1 bits are no more predictable than those of m.
func approximateEntropy(bits []byte, m int) float64 {
	n := float64(len(bits))
	phi := func(m int) float64 {
		sum := 0.0
		for _, c := range patterns(bits, m) {
			if c > 0 {
				sum += c / n * math.Log(c/n)
			}
		}
		return sum
	}
	v := 2 * n * (math.Ln2 - (phi(m) - phi(m+1)))
	return igamc(math.Ldexp(1, m-1), v/2)
}
