package oprf_test

import (
	"testing"

	"github.com/keposs/keposs/core/oprf"
)

// req: G-7.10-04
func TestSelfTest(t *testing.T) {
	if err := oprf.SelfTest().Run(); err != nil {
		t.Error(err)
	}
}
