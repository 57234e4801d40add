package sscc_test

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sscc"
)

// Killed a hundred times, on either side of the count and at any of the tries,
// and each time asked again with the same attempt: exactly limit attempts are
// ever answered, and no answer runs ahead of the durable count (I1, I2).
func TestKilledAtRandom(t *testing.T) {
	const limit, kills = 5, 100
	r := killable(t)
	p := r.phone(r.app(sscc.AppRequest{Limit: limit}))
	dice := rand.New(rand.NewPCG(5, 100))
	for killed := 0; killed < kills; {
		a := p.account(protocol.ModePlain)
		var answered uint32
		for try := 0; try < limit+2; try++ {
			att := newID()
			if try < limit && dice.IntN(2) == 0 {
				at := []string{"try.before", "try.counted"}[dice.IntN(2)]
				r.dies(at, func() { _, _ = a.fetchAs(att) })
				killed++
			}
			_, err := a.fetchAs(att)
			switch {
			case err == nil:
				answered++
			case !errors.Is(err, core.Locked):
				t.Fatal(err)
			}
			if used := a.status().Tries.Used; answered > used || used > limit {
				t.Fatalf("%d answers, %d counted, limit %d", answered, used, limit)
			}
		}
		if answered != limit {
			t.Fatalf("%d attempts answered, want %d", answered, limit)
		}
		a.r.clock.move(60e9)
	}
}
