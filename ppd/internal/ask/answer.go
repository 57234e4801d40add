package ask

import (
	"context"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
)

// Answer hands out what a recovery found when end comes, so that the time tells
// nothing of it. When ctx ends first, or has ended by then because the work
// outlasted end, sec is wiped and the error is Canceled.
func Answer(ctx context.Context, op string, end <-chan time.Time, sec *secret.Buffer) (*secret.Buffer, error) {
	select {
	case <-end:
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil { // both may be ready; the context wins
		sec.Wipe()
		return nil, core.Errorf(core.Canceled, op, "%w", err)
	}
	return sec, nil
}
