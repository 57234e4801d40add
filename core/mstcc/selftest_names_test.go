//go:build keposs_castfail

package mstcc_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/oprf"
	"github.com/keposs/keposs/core/sm"
)

// TestEveryNameStopsEverything runs it.
func TestEveryName(t *testing.T) {
	x, m, res := initialised(t)
	_ = m.Close()
	for _, k := range append(sm.SelfTests(), oprf.SelfTest()) {
		t.Run(k.Name, func(t *testing.T) {
			t.Setenv("KEPOSS_CAST_FAIL", k.Name)
			m, err := mstcc.Open(ctx, x.config())
			if !errors.Is(err, core.Integrity) || !strings.Contains(err.Error(), "mstcc: self-test: "+k.Name+" failed") {
				t.Fatalf("open: %v", err)
			}
			defer m.Close()
			if m.State() != mstcc.Error {
				t.Fatalf("state %s", m.State())
			}
			refusesAll(t, x, m, res)
			list, _ := m.SelfTest(ctx)
			for i, r := range list {
				if r.OK != (i < len(list)-1) || !r.OK && r.Name != k.Name {
					t.Errorf("%+v", r)
				}
			}
		})
	}
	m = x.open()
	if m.State() != mstcc.User {
		t.Errorf("with no failure injected: %s", m.State())
	}
}
