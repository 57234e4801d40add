package api_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/escrow/api/internal/wire"
)

// recorder names the calls a module makes.
type recorder struct {
	mstcc.Escrow
	mu    sync.Mutex
	calls []string
}

func (r *recorder) note(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, name)
}

func (r *recorder) Fetch(ctx context.Context, q protocol.FetchRequest) (protocol.FetchAnswer, error) {
	r.note("fetch")
	return r.Escrow.Fetch(ctx, q)
}

func (r *recorder) Evaluate(ctx context.Context, q protocol.EvaluateRequest) (protocol.EvaluateAnswer, error) {
	r.note("evaluate")
	return r.Escrow.Evaluate(ctx, q)
}

func (r *recorder) Confirm(ctx context.Context, q protocol.ConfirmRequest) (protocol.ConfirmAnswer, error) {
	r.note("confirm")
	return r.Escrow.Confirm(ctx, q)
}

// One blocking round trip lies between the last PPD entry and the signature:
// the counted try. Everything SS-CC is asked after it is held back until the
// signature is there; so the signature waits for nothing else.
func TestOneRoundTripAfterEntry(t *testing.T) {
	t.Parallel()
	for mode, try := range map[protocol.Mode]string{protocol.ModePlain: "fetch", protocol.ModeHardened: "evaluate"} {
		s := newStation(t, nil)
		b := newBalancer(t, s)
		p := b.phone(s)
		r := &recorder{}
		p.wrap = func(e mstcc.Escrow) mstcc.Escrow { r.Escrow = e; return r }
		m, user := p.initialise(mode)

		var calls atomic.Int32 // messages that passed after the last entry
		var exchanges int32
		signed := make(chan struct{})
		entry := core.PrompterFunc(func(_ context.Context, q core.Prompt) (core.Sample, error) {
			exchanges = b.exchange.Load()
			r.mu.Lock()
			r.calls = nil
			r.mu.Unlock()
			b.mu.Lock()
			b.up = func(*wire.SealedRequest) {
				if calls.Add(1) > 1 {
					<-signed
				}
			}
			b.mu.Unlock()
			return core.NewSample(q.Kinds[0], []byte("right")), nil
		})
		ctx, cancel := context.WithTimeout(bg, 20*time.Second)
		sig, _, err := m.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, entry)
		cancel()
		close(signed)
		s.must(err)
		if !sm.Verify(user.Sign, []byte("m"), []byte(protocol.DefaultUserID), sig) {
			t.Error("no signature")
		}
		s.must(m.Close()) // waits for the Confirm
		if want := []string{try, "confirm"}; !slices.Equal(r.calls, want) || calls.Load() != 2 || b.exchange.Load() != exchanges {
			t.Errorf("%s: after the last entry %v in %d messages, %d key exchanges; want %v", mode, r.calls, calls.Load(), b.exchange.Load()-exchanges, want)
		}
	}
}
