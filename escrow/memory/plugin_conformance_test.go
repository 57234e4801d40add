package memory_test

import (
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/escrowtest"
	"github.com/keposs/keposs/escrow/memory"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/plugins/plugintest"
)

func TestMain(m *testing.M) {
	plugintest.Main(m, plugins.Registry{Backend: func(string) (core.Backend, error) { return memory.New(), nil }})
}

// The kit closes every store, which ends the glue or the process with it.

// req: K-6.2-02a
func TestConformanceThroughGlue(t *testing.T) {
	h := volatile
	h.New = func() (core.Backend, error) {
		b, _, err := plugintest.OverBackend(t.Context(), memory.New())
		return b, err
	}
	escrowtest.Run(t, h)
}

// The process keeps a log, so that it can be killed, cut from power and damaged.
// req: K-6.2-02a
func TestConformanceAsProcess(t *testing.T) {
	h := logged
	h.Kill = plugintest.KillBackend
	h.New = func() (core.Backend, error) {
		b, _, err := plugintest.OpenBackend(t.Context(), "memory")
		return b, err
	}
	escrowtest.Run(t, h)
}
