package gesture_test

import (
	"context"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/plugins/plugintest"
	"github.com/keposs/keposs/ppd/gesture"
	"github.com/keposs/keposs/ppd/ppdtest"
)

func TestMain(m *testing.M) {
	plugintest.Main(m, plugins.Registry{Source: func(string) (core.Source, error) { return gesture.New(), nil }})
}

func harness() ppdtest.Harness {
	return ppdtest.Harness{New: func() core.Source { return gesture.New() }, Person: ppdtest.Pattern, Poor: ppdtest.PoorPattern}
}

func TestConformance(t *testing.T) { ppdtest.Run(t, harness()) }

func TestConformanceThroughGlue(t *testing.T) {
	h := harness()
	h.Transport = &ppdtest.Transport{Name: "glue", Open: func(ctx context.Context) (core.Source, func() error, error) {
		return plugintest.OverSource(ctx, gesture.New())
	}}
	ppdtest.Run(t, h)
}

func TestConformanceAsProcess(t *testing.T) {
	h := harness()
	h.Transport = &ppdtest.Transport{Name: "process", Open: func(ctx context.Context) (core.Source, func() error, error) {
		return plugintest.OpenSource(ctx, "gesture")
	}}
	ppdtest.Run(t, h)
}
