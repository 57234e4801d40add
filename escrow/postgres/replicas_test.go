package postgres_test

import (
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sscc/sscctest"
	"github.com/keposs/keposs/escrow/postgres"
	"github.com/keposs/keposs/escrow/postgres/internal/pgtest"
	"github.com/keposs/keposs/internal/testenv"
)

// Three SS-CC with connections of their own keep the invariants over one
// database under any interleaving.
// req: K-7.2-D3, TK-10
func TestReplicas(t *testing.T) {
	testenv.NeedLevel(t, 1)
	h := harness(pgtest.Start(t))
	sscctest.Replicas(t, 3, 3, func(t *testing.T, n int) []core.Backend {
		place, err := h.Place()
		if err != nil {
			t.Fatal(err)
		}
		out := make([]core.Backend, n)
		for i := range out {
			b := postgres.New()
			t.Cleanup(func() { _ = b.Close() })
			if err := b.Configure(t.Context(), place.Config); err != nil {
				t.Fatal(err)
			}
			out[i] = b
		}
		return out
	})
}
