package pin_test

import (
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/ppd/pin"
	"github.com/keposs/keposs/ppd/ppdtest"
)

func TestConformance(t *testing.T) {
	ppdtest.Run(t, ppdtest.Harness{New: func() core.Source { return pin.New() }, Person: ppdtest.PIN, Poor: ppdtest.PoorPIN})
}
