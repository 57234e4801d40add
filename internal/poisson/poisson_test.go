package poisson_test

import (
	"math"
	"testing"

	"github.com/keposs/keposs/internal/poisson"
)

// Against values of tables; the last needs terms whose product with exp(-mean)
// alone would underflow.
func TestUpper(t *testing.T) {
	for _, c := range []struct {
		k    int
		mean float64
	}{{0, 2.996}, {1, 4.744}, {5, 10.513}, {20, 29.062}} {
		if got := poisson.Upper(c.k); math.Abs(got-c.mean) > 0.01 {
			t.Errorf("%d seen: upper bound %.3f, want %.3f", c.k, got, c.mean)
		}
	}
	// Far out it is the normal bound: k + 1.645·√k, and a little more.
	if got := poisson.Upper(2000); got < 2073 || got > 2078 {
		t.Errorf("2000 seen: upper bound %.1f", got)
	}
}

func TestAtMost(t *testing.T) {
	if p := 1 - poisson.AtMost(0, 0.001); math.Abs(p-0.0009995) > 1e-6 {
		t.Errorf("one of 0.001 expected: %v", p)
	}
	if p := poisson.AtMost(-1, 5); p != 0 {
		t.Errorf("fewer than none: %v", p)
	}
	if p := poisson.AtMost(2000, 2000); math.Abs(p-0.506) > 0.001 {
		t.Errorf("the mean or fewer: %v", p)
	}
}
