package transfer_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sscc"
	"github.com/keposs/keposs/core/sscc/sscctest"
	"github.com/keposs/keposs/escrow/memory"
	"github.com/keposs/keposs/escrow/transfer"
	"github.com/keposs/keposs/internal/testenv"
)

// SS-CC keeps its counter invariants while its store moves again and again from
// under it.
// req: K-7.2-D3, TK-10
func TestInvariantsWhileMoving(t *testing.T) {
	testenv.NeedLevel(t, 1)
	var moves atomic.Int64
	sscctest.Run(t, func(t *testing.T) core.Backend {
		l := transfer.NewLive(inMemory(t))
		stop, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			for {
				select {
				case <-stop:
					return
				case <-time.After(2 * time.Millisecond):
				}
				b := memory.New()
				if err := b.Configure(bg, core.Config{}); err != nil {
					t.Error(err)
					return
				}
				s, err := transfer.Of(b)
				if err != nil {
					t.Error(err)
					return
				}
				was := l.Now()
				_, err = l.Move(bg, s, transfer.Options{Last: sscc.BootKey(), Name: "next", Unix: 1}, func() error { return nil })
				switch {
				case err == nil:
					moves.Add(1)
					_ = was.Close()
				case core.CodeOf(err) == core.State: // nobody has set SS-CC up yet
					_ = b.Close()
				default:
					t.Error(err)
					return
				}
			}
		}()
		t.Cleanup(func() {
			close(stop)
			<-ended
			_ = l.Close()
		})
		return l
	})
	t.Logf("moved %d times", moves.Load())
	if moves.Load() < 20 {
		t.Errorf("moved %d times only", moves.Load())
	}
}
