//go:build !purego

package lanes

import (
	"math/rand/v2"
	"testing"
)

// TestMultWithoutIFMA runs what other processors run.
func TestMultWithoutIFMA(t *testing.T) {
	defer func(was bool) { fast = was }(fast)
	fast = false
	r := rand.New(rand.NewPCG(11, 12))
	var k [Width][32]byte
	var p [Width][64]byte
	for l := range k {
		k[l], p[l] = below(r), point(below(r))
	}
	check(t, &k, &p)
}
