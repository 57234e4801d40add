package dudect_test

import (
	"crypto/rand"
	"math"
	"testing"

	"github.com/keposs/keposs/internal/dudect"
)

var sink int

func TestTellsLeakFromNone(t *testing.T) {
	input := func(in []byte, fixed bool) {
		_, _ = rand.Read(in)
		if fixed {
			clear(in)
		}
	}

	work := func(n int) {
		for i := range n {
			sink += i * i
		}
	}
	if s := dudect.T(5000, 8, input, func(in []byte) { work(20000 + 200*int(in[0])) }); s < dudect.Threshold {
		t.Errorf("a leak of the input gives t = %.1f", s)
	}
	best := math.Inf(1)
	for range 3 {
		best = min(best, dudect.T(5000, 8, input, func([]byte) { work(20000) }))
	}
	if best >= dudect.Threshold {
		t.Errorf("code that reads no input gives t = %.1f at best", best)
	}
}
