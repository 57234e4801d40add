package sscc

import (
	"context"

	"github.com/keposs/keposs/core"
)

// Coalesce returns b with the calls of concurrent callers gathered as SS-CC
// gathers them: reads into GetMany, writes into CommitMany. It is for measuring
// a backend the way SS-CC uses it.
func Coalesce(b core.Backend) core.Backend { return &coalesced{b, newStore(b)} }

type coalesced struct {
	core.Backend
	s *store
}

func (c *coalesced) GetMany(ctx context.Context, keys []core.Key, o core.ReadOpts) ([]core.Record, error) {
	return c.s.get(ctx, o.HotOnly, keys...)
}

func (c *coalesced) CommitMany(ctx context.Context, ms []core.Mutation) ([]core.Result, error) {
	out := make([]core.Result, len(ms))
	for i, m := range ms {
		out[i].Version, out[i].Err = c.s.put(ctx, m)
	}
	return out, nil
}
