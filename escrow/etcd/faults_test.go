package etcd_test

import (
	"context"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/escrowtest"
	"github.com/keposs/keposs/internal/testenv"
)

func commit(ctx context.Context, b core.Backend, m core.Mutation) (core.Version, error) {
	res, err := b.CommitMany(ctx, []core.Mutation{m})
	if err != nil {
		return 0, err
	}
	return res[0].Version, res[0].Err
}

// A member that took a request and does not answer leaves it open; the same
// request later has its one true answer.
func TestNoAnswerIsIndeterminate(t *testing.T) {
	c := start(t, 1)
	cfg := place(c)
	cfg.Values["request_timeout"] = "300ms"
	b := open(t, cfg)
	m := core.Mutation{Key: core.Key("k"), Op: core.OpPut, Hot: []byte("h"), Blob: []byte("b"), ReqID: core.ReqID{1}}
	c.Pause(0)
	_, err := commit(t.Context(), b, m)
	c.Resume(0)
	if core.CodeOf(err) != core.Indeterminate {
		t.Fatalf("no answer: %v, want indeterminate", err)
	}
	var v core.Version
	for range 50 { // the member may still be busy with what it missed
		if v, err = commit(t.Context(), b, m); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil || v != 1 {
		t.Fatalf("the same request: version %d, %v; want 1", v, err)
	}
	c.Kill(0)
	for range 2 { // the first may still go to the connection that broke
		_, err = commit(t.Context(), b, core.Mutation{Key: core.Key("l"), Op: core.OpPut, ReqID: core.ReqID{2}})
	}
	if core.CodeOf(err) != core.Unavailable {
		t.Fatalf("no member: %v, want unavailable", err)
	}
}

// Clients count while the leader is killed, twice: no acknowledged step is
// lost, none is made twice.
func TestLeaderKill(t *testing.T) {
	testenv.NeedLevel(t, 1)
	c := start(t, 3)
	cfg := place(c)
	cfg.Values["request_timeout"] = "2s"
	b := open(t, cfg)
	acks, err := escrowtest.Steps(t.Context(), b, 8, func() error {
		for range 2 {
			time.Sleep(time.Second)
			if err := c.KillLeader(t.Context()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if acks < 80 {
		t.Errorf("only %d steps acknowledged", acks)
	}
}
