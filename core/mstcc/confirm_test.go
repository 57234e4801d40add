package mstcc_test

import (
	"context"
	"testing"
	"time"

	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/protocol"
)

// slow is an SS-CC far away: a Confirm takes longer than a signature.
type slow struct{ mstcc.Escrow }

func (s slow) Confirm(ctx context.Context, r protocol.ConfirmRequest) (protocol.ConfirmAnswer, error) {
	time.Sleep(30 * time.Millisecond)
	return s.Escrow.Confirm(ctx, r)
}

// Signatures in quick succession never fill SS-CC's counter: each waits for the
// Confirm of the one before.
// req: K-15.4-L2b
func TestQuickSuccession(t *testing.T) {
	x := newTerminal(t)
	cfg := x.config()
	cfg.Dial = func(context.Context) (mstcc.Escrow, error) { return slow{link{x.srv, x.device(1).Compressed()}}, nil }
	m, err := mstcc.Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Initialize(ctx, request(t, "pin"), types("right")); err != nil {
		t.Fatal(err)
	}
	for i := range 2 * int(x.srv.tries.Limit) {
		if _, _, err := m.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, types("right")); err != nil {
			t.Fatalf("signature %d: %v", i+1, err)
		}
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(x.srv.tries.Held); n != 0 {
		t.Errorf("%d tries held after Close", n)
	}
	again := x.open()
	if st, err := again.Status(ctx, false); err != nil || st.Used != 0 || st.OwnPending != 0 {
		t.Errorf("on disk: %d used, %d pending, %v", st.Used, st.OwnPending, err)
	}
}
