package badger_test

import (
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/badger"
	"github.com/keposs/keposs/escrow/escrowtest"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/plugins/plugintest"
)

func TestMain(m *testing.M) {
	plugintest.Main(m, plugins.Registry{Backend: func(string) (core.Backend, error) { return badger.New(), nil }})
}

// The kit closes every store, which ends the glue or the process with it.

// req: K-6.2-02a
func TestConformanceThroughGlue(t *testing.T) {
	h := harness
	h.Tidy = nil // its engine is out of reach
	h.New = func() (core.Backend, error) {
		b, _, err := plugintest.OverBackend(t.Context(), badger.New())
		return b, err
	}
	escrowtest.Run(t, h)
}

// req: K-6.2-02a
func TestConformanceAsProcess(t *testing.T) {
	h := harness
	h.Kill, h.Tidy = plugintest.KillBackend, nil // its engine is out of reach
	h.New = func() (core.Backend, error) {
		b, _, err := plugintest.OpenBackend(t.Context(), "badger")
		return b, err
	}
	escrowtest.Run(t, h)
}
