package gesture_test

import (
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/ppd/gesture"
	"github.com/keposs/keposs/ppd/ppdtest"
)

func TestConformance(t *testing.T) {
	ppdtest.Run(t, ppdtest.Harness{New: func() core.Source { return gesture.New() }, Person: ppdtest.Pattern, Poor: ppdtest.PoorPattern})
}
