package gate_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/internal/gate"
)

func enter(t *testing.T, g *gate.Gate, ctx context.Context, want core.Code) {
	t.Helper()
	err := g.Enter(ctx, "test")
	if err == nil {
		g.Leave()
	}
	if core.CodeOf(err) != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestLife(t *testing.T) {
	var g gate.Gate
	ctx := t.Context()
	over, cancel := context.WithCancel(ctx)
	cancel()
	none := func() error { return nil }
	broken := errors.New("broken")

	enter(t, &g, ctx, core.State)
	if err := g.Open("test", func() error { return broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	enter(t, &g, ctx, core.State) // one that failed opened nothing
	if err := g.Open("test", none); err != nil {
		t.Fatal(err)
	}
	enter(t, &g, ctx, core.Unknown)
	enter(t, &g, over, core.Unavailable)
	if err := g.Open("test", none); core.CodeOf(err) != core.State {
		t.Errorf("opened twice: %v", err)
	}
	released := 0
	for range 2 {
		if err := g.Close(func() error { released++; return nil }); err != nil {
			t.Error(err)
		}
	}
	if released != 1 {
		t.Errorf("released %d times", released)
	}
	enter(t, &g, ctx, core.Closed)
	if err := g.Open("test", none); core.CodeOf(err) != core.Closed {
		t.Errorf("opened after Close: %v", err)
	}
}

// What was never opened has nothing to release.
func TestCloseUnopened(t *testing.T) {
	var g gate.Gate
	if err := g.Close(func() error { return errors.New("released") }); err != nil {
		t.Error(err)
	}
	enter(t, &g, t.Context(), core.Closed)
}

// Close waits for the calls under way.
func TestCloseWaits(t *testing.T) {
	var g gate.Gate
	if err := g.Open("test", func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := g.Enter(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	released := make(chan struct{})
	go func() { _ = g.Close(func() error { close(released); return nil }) }()
	select {
	case <-released:
		t.Error("released under a call")
	case <-time.After(50 * time.Millisecond):
	}
	g.Leave()
	<-released
}
