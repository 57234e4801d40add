package pin_test

import (
	"context"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/plugins/plugintest"
	"github.com/keposs/keposs/ppd/pin"
	"github.com/keposs/keposs/ppd/ppdtest"
)

func TestMain(m *testing.M) {
	plugintest.Main(m, plugins.Registry{Source: func(string) (core.Source, error) { return pin.New(), nil }})
}

func harness() ppdtest.Harness {
	return ppdtest.Harness{New: func() core.Source { return pin.New() }, Person: ppdtest.PIN, Poor: ppdtest.PoorPIN}
}

func TestConformance(t *testing.T) { ppdtest.Run(t, harness()) }

func TestConformanceThroughGlue(t *testing.T) {
	h := harness()
	h.Transport = &ppdtest.Transport{Name: "glue", Open: func(ctx context.Context) (core.Source, func() error, error) {
		return plugintest.OverSource(ctx, pin.New())
	}}
	ppdtest.Run(t, h)
}

func TestConformanceAsProcess(t *testing.T) {
	h := harness()
	h.Transport = &ppdtest.Transport{Name: "process", Open: func(ctx context.Context) (core.Source, func() error, error) {
		return plugintest.OpenSource(ctx, "pin")
	}}
	ppdtest.Run(t, h)
}
