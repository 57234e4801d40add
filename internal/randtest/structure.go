package randtest

import (
	"math"
	"math/bits"

	"gonum.org/v1/gonum/dsp/fourier"
)

// rankSize is the side of a matrix of matrixRank.
const rankSize = 32

// matrixRank: 32 by 32 matrices of consecutive bits have full rank, one less or
// fewer as often as random ones: linear dependence shows.
func matrixRank(seq []byte) float64 {
	count := make([]float64, 3)
	for ; len(seq) >= rankSize*rankSize; seq = seq[rankSize*rankSize:] {
		var rows [rankSize]uint32
		for i := range rows {
			rows[i] = number(seq[i*rankSize : (i+1)*rankSize])
		}
		count[min(rankSize-rank(rows[:]), 2)]++
	}
	full := 1.0 // P[rank 32] = ∏ (1 − 2^−i)
	for i := 1; i <= rankSize; i++ {
		full *= 1 - math.Ldexp(1, -i)
	}
	less := 2 * full * (1 - math.Ldexp(1, -rankSize)) // P[rank 31]
	return igamc(1, chi2(count, []float64{full, less, 1 - full - less})/2)
}

// rank is the rank over GF(2); rows are used up.
func rank(rows []uint32) (r int) {
	for bit := uint32(1) << (rankSize - 1); bit != 0; bit >>= 1 {
		p := r
		for p < len(rows) && rows[p]&bit == 0 {
			p++
		}
		if p == len(rows) {
			continue
		}
		rows[r], rows[p] = rows[p], rows[r]
		for i := r + 1; i < len(rows); i++ {
			if rows[i]&bit != 0 {
				rows[i] ^= rows[r]
			}
		}
		r++
	}
	return r
}

// complexityShares are the probabilities of the seven classes of T: up to −2.5,
// then steps of one.
var complexityShares = []float64{0.010417, 0.03125, 0.125, 0.5, 0.25, 0.0625, 0.020833}

// linearComplexity: the shortest shift register that makes a block of m bits
// is about m/2 long, with the spread of random blocks.
func linearComplexity(seq []byte, m int) float64 {
	count := complexityClasses(seq, m)
	return igamc(float64(len(count)-1)/2, chi2(count, complexityShares)/2)
}

func complexityClasses(seq []byte, m int) []float64 {
	sign := 1.0
	if m%2 == 1 {
		sign = -1
	}
	mean := float64(m)/2 + (9-sign)/36 - (float64(m)/3+2.0/9)*math.Ldexp(1, -m)
	count := make([]float64, len(complexityShares))
	for ; len(seq) >= m; seq = seq[m:] {
		t := sign*(float64(registerLength(seq[:m]))-mean) + 2.0/9
		count[min(max(int(math.Ceil(t+2.5)), 0), len(count)-1)]++
	}
	return count
}

// registerLength is the linear complexity of seq by Berlekamp and Massey, with
// polynomials and the window of past bits packed into words.
func registerLength(seq []byte) int {
	words := len(seq)/64 + 2
	c, b, t, window := make([]uint64, words), make([]uint64, words), make([]uint64, words), make([]uint64, words)
	c[0], b[0] = 1, 1
	l, last := 0, -1
	for n, s := range seq {
		for i := words - 1; i > 0; i-- { // bit i of the window is s_{n−i}
			window[i] = window[i]<<1 | window[i-1]>>63
		}
		window[0] = window[0]<<1 | uint64(s)
		var d uint64
		for i := range c {
			d ^= c[i] & window[i]
		}
		if bits.OnesCount64(d)%2 == 0 {
			continue
		}
		copy(t, c)
		addShifted(c, b, n-last)
		if 2*l <= n {
			l, last = n+1-l, n
			b, t = t, b
		}
	}
	return l
}

// addShifted adds x^by·b to c.
func addShifted(c, b []uint64, by int) {
	w, s := by/64, uint(by%64)
	for i := len(c) - 1; i >= w; i-- {
		v := b[i-w] << s
		if s > 0 && i > w {
			v |= b[i-w-1] >> (64 - s)
		}
		c[i] ^= v
	}
}

// Mean and variance of log2 of the distance between equal blocks of seven bits.
const (
	universalL    = 7
	universalInit = 1280 // blocks that only fill the table
	universalMean = 6.1962507
	universalVar  = 3.125
)

// universal is Maurer's statistic: equal blocks are as far apart as in a
// sequence that cannot be compressed.
func universal(seq []byte) float64 {
	var last [1 << universalL]int
	k, sum := len(seq)/universalL-universalInit, 0.0
	for i := 1; i <= universalInit+k; i++ {
		v := number(seq[(i-1)*universalL : i*universalL])
		if i > universalInit {
			sum += math.Log2(float64(i - last[v]))
		}
		last[v] = i
	}
	n := float64(k)
	c := 0.7 - 0.8/universalL + (4+32.0/universalL)*math.Pow(n, -3.0/universalL)/15
	sigma := c * math.Sqrt(universalVar/n)
	return math.Erfc(math.Abs(sum/n-universalMean) / (math.Sqrt2 * sigma))
}

// spectrum: of the peaks of the discrete Fourier transform 95 % lie under the
// height that chance allows to 95 %. A period shows.
func spectrum(seq []byte) float64 { return spectrumP(peaks(seq), len(seq), 3.8) }

// spectrumP is the P-value of n1 low peaks; the variance's divisor is 3.8 in
// GM/T 0005-2021 and 4 in SP 800-22.
func spectrumP(n1, n int, divisor float64) float64 {
	v := (float64(n1) - 0.95*float64(n)/2) / math.Sqrt(0.95*0.05*float64(n)/divisor)
	return math.Erfc(math.Abs(v) / math.Sqrt2)
}

// peaks counts those of the first half of the spectrum under the 95 % height.
func peaks(seq []byte) (low int) {
	x := make([]float64, len(seq))
	for i, b := range seq {
		x[i] = float64(2*int(b) - 1)
	}
	height2 := math.Log(1/0.05) * float64(len(seq))
	for _, c := range fourier.NewFFT(len(x)).Coefficients(nil, x)[:len(x)/2] {
		if real(c)*real(c)+imag(c)*imag(c) < height2 {
			low++
		}
	}
	return low
}
