// Package poisson bounds the rate of events too rare for a normal approximation:
// false accepts in a laboratory and in the check of a plugin.
package poisson

import "math"

// AtMost is the probability of k events or fewer where mean > 0 are expected; 0
// for a negative k.
func AtMost(k int, mean float64) float64 {
	var sum float64
	for i := range k + 1 {
		lg, _ := math.Lgamma(float64(i) + 1)
		sum += math.Exp(float64(i)*math.Log(mean) - mean - lg)
	}
	return sum
}

// Upper is the one-sided 95 % upper bound of the mean where k events were seen:
// k or fewer have a chance of 5 % under it. For no event that is 3.
func Upper(k int) float64 {
	low, high := 0.0, 10+3*float64(k)
	for range 60 {
		mean := (low + high) / 2
		if AtMost(k, mean) > 0.05 {
			low = mean
		} else {
			high = mean
		}
	}
	return high
}
