package badger

import (
	"context"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/escrowtest"
)

// Tidy has a Store do at once what it does in time: put its tables together and
// collect the value log.
func Tidy(_ context.Context, _ *escrowtest.Place, b core.Backend) error {
	s := b.(*Store)
	s.db.SetDiscardTs(s.readers.oldest(s.last.Load()))
	if err := s.db.Flatten(2); err != nil {
		return err
	}
	s.collect()
	return nil
}
