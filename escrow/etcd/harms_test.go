package etcd_test

import (
	"context"
	"strings"
	"testing"

	"github.com/keposs/keposs/escrow/escrowtest"
	"github.com/keposs/keposs/internal/badnet"
	"github.com/keposs/keposs/internal/testenv"
)

// Three members lose their leader, have it stand still, and answer late or not
// at all: nothing acknowledged is lost, and all answers fit one order.
// req: K-6.2-02b
func TestConformanceUnderHarm(t *testing.T) {
	testenv.NeedLevel(t, 2)
	c := start(t, 3)
	h := harness(c)
	var net badnet.Proxies
	t.Cleanup(func() { net.Stop() })
	ends, err := net.Before(c.Endpoints())
	if err != nil {
		t.Fatal(err)
	}
	h.Place = func() (*escrowtest.Place, error) {
		p := place(c)
		p.Values["endpoints"], p.Values["request_timeout"] = strings.Join(ends, ","), "2s"
		return &escrowtest.Place{Config: p}, nil
	}
	h.Harms = map[string]func(context.Context) error{
		"leader-kill":  c.KillLeader,
		"leader-pause": c.PauseLeader,
		"partition":    func(ctx context.Context) error { return net[:1].Harm(ctx, badnet.Hole) },
		"slow-peer":    func(ctx context.Context) error { return net.Harm(ctx, badnet.Slow) },
	}
	escrowtest.RunGroup(t, h, "L")
}
