package pin

import (
	"fmt"
	"math"

	"github.com/keposs/keposs/core"
)

// refused[a][n] is how many of the strings of n characters of an alphabet the
// weak-PIN rules refuse, counted by generating every one of them; the tests
// repeat that, and for short lengths go through all strings. Past the table
// the rules refuse so small a share that log2 of what is left has the same
// millibits with and without them, which a test shows, too.
var refused = map[Alphabet]map[int]float64{
	Digits: {4: 1425, 5: 1484, 6: 89961, 7: 9852, 8: 177769},
	Mixed:  {4: 123360, 5: 505400},
}

// all is the number of strings of n characters an alphabet has. Mixed PINs
// hold at least one letter and one digit.
func all(a Alphabet, n int) float64 {
	if a == Mixed {
		return math.Pow(62, float64(n)) - math.Pow(52, float64(n)) - math.Pow(10, float64(n))
	}
	return math.Pow(10, float64(n))
}

// Allowed is how many PINs of n characters the rules leave. Past the counted
// lengths (8 digits, 5 mixed characters) it is the number of all, which has
// the same log2 to the millibit.
func Allowed(a Alphabet, n int) float64 { return all(a, n) - refused[a][n] }

// The most frequent 4-digit sequence of the RockYou leak that the rules leave,
// and how many occurrences they leave in all: figures counted by
// TestRockYouBestGuess from 1,780,587 sequences (Markert et al., IEEE S&P
// 2020). Nothing of that list is in this program.
const (
	rockYouTop  = 2491
	rockYouLeft = 624705
)

// strengthOf computes what a PIN of n characters is worth.
func strengthOf(a Alphabet, n int) core.Strength {
	bits := millibits(Allowed(a, n))
	s := core.Strength{
		PerTry:   bits,
		Offline:  bits,
		Evidence: fmt.Sprintf("counted: %.6g PINs of this form are left by the weak-PIN rules (ppd/pin, rules version %d); each is taken as equally likely; no measured distribution for this form", Allowed(a, n), rulesVersion),
	}
	if a == Digits && n == 4 {
		s.BestGuess = millibits(float64(rockYouLeft) / float64(rockYouTop))
		s.Evidence = fmt.Sprintf("counted: %.6g PINs of 4 digits are left by the weak-PIN rules (ppd/pin, rules version %d), each taken as equally likely; best guess measured on the 4-digit sequences of the RockYou leak that the rules leave (1,780,587 before; Markert et al., IEEE S&P 2020)", Allowed(a, n), rulesVersion)
	}
	return s
}

// millibits is 1000·log2(n), rounded down.
func millibits(n float64) core.Millibits { return core.Millibits(math.Floor(1000 * math.Log2(n))) }
