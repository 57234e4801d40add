package face_test

import (
	"context"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/plugins/plugintest"
	"github.com/keposs/keposs/ppd/face"
	"github.com/keposs/keposs/ppd/ppdtest"
)

func TestMain(m *testing.M) {
	plugintest.Main(m, plugins.Registry{Source: func(string) (core.Source, error) { return face.New(nil) }})
}

func harness(t testing.TB) ppdtest.Harness {
	return ppdtest.Harness{New: func() core.Source { return source(t) }, Person: ppdtest.Face}
}

// req: K-6.1-02b
func TestConformance(t *testing.T) { ppdtest.Run(t, harness(t)) }

// req: K-6.1-02b
func TestConformanceThroughGlue(t *testing.T) {
	h := harness(t)
	h.Transport = &ppdtest.Transport{Name: "glue", Open: func(ctx context.Context) (core.Source, func() error, error) {
		return plugintest.OverSource(ctx, source(t))
	}}
	ppdtest.Run(t, h)
}

// req: K-6.1-02b
func TestConformanceAsProcess(t *testing.T) {
	h := harness(t)
	h.Transport = &ppdtest.Transport{Name: "process", Open: func(ctx context.Context) (core.Source, func() error, error) {
		return plugintest.OpenSource(ctx, "face")
	}}
	ppdtest.Run(t, h)
}

// The kit passes for every size of embedding that models give, with 3 to 5
// captures at enrolment and 1 to 3 at recovery.
func TestSizesAndCaptures(t *testing.T) {
	for _, c := range []struct{ dim, enrol, recover string }{
		{"64", "3", "3"}, {"128", "4", "3"}, {"256", "5", "2"}, {"512", "3", "2"}, {"1024", "3", "3"}, {"512", "5", "1"},
	} {
		s := source(t)
		cfg := core.Config{Values: map[string]string{"dim": c.dim, "enroll_captures": c.enrol, "recover_captures": c.recover}}
		if err := s.Configure(ctx, cfg); err != nil {
			t.Fatal(err)
		}
		dim := map[string]int{"64": 64, "128": 128, "256": 256, "512": 512, "1024": 1024}[c.dim]
		p := ppdtest.FaceOf(dim)(4)
		e := enrol(t, s, p, key(3))
		if len(e.Helper) != face.HelperSize {
			t.Errorf("dim %s: helper of %d bytes", c.dim, len(e.Helper))
		}
		opened := 0
		for range 5 {
			got, _ := recovered(t, s, p, key(3), e.Helper)
			if got.Equal(e.Secret) {
				opened++
			}
		}
		if opened < 3 {
			t.Errorf("dim %s, %s captures fused: %d of 5 attempts open", c.dim, c.recover, opened)
		}
		other, _ := recovered(t, s, ppdtest.FaceOf(dim)(5), key(3), e.Helper)
		if other.Equal(e.Secret) {
			t.Errorf("dim %s: another face opens", c.dim)
		}
	}
}
