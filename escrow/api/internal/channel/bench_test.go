package channel_test

import (
	"testing"

	"github.com/keposs/keposs/core/sm"
)

// BenchmarkRoundTrip seals and opens a request and its answer of 200 bytes
// each: what the inner channel adds to a call, both sides together.
func BenchmarkRoundTrip(b *testing.B) {
	k := keys(b, 1)
	plain := make([]byte, 200)
	for b.Loop() {
		req, err := k.SealRequest(sm.Rand(), 1, plain)
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err = k.OpenRequest(req); err != nil {
			b.Fatal(err)
		}
		ans, err := k.SealAnswer(sm.Rand(), req, plain)
		if err != nil {
			b.Fatal(err)
		}
		if _, err = k.OpenAnswer(req, ans); err != nil {
			b.Fatal(err)
		}
	}
}
