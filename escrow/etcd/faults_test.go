package etcd_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
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
	const clients = 8
	var acks [clients]atomic.Uint64
	var done atomic.Bool
	errs := make([]error, clients)
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() { errs[i] = count(t.Context(), b, i, &acks[i], &done) })
	}
	for range 2 {
		time.Sleep(time.Second)
		lead, err := c.Leader(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.Kill(lead)
		time.Sleep(3 * time.Second)
		if err := errors.Join(c.Run(lead), c.Ready(t.Context(), lead)); err != nil {
			t.Fatal(err)
		}
	}
	done.Store(true)
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	var total uint64
	for i := range acks {
		rs, err := b.GetMany(t.Context(), []core.Key{core.Key(fmt.Sprint("client", i))}, core.ReadOpts{})
		if err != nil || rs[0].Version != core.Version(acks[i].Load()) {
			t.Errorf("client %d: version %d (%v), acknowledged %d", i, rs[0].Version, err, acks[i].Load())
		}
		total += acks[i].Load()
	}
	if total < clients*10 {
		t.Errorf("only %d steps acknowledged", total)
	}
}

// count steps a record's version up; a step without an answer is repeated as it was.
func count(ctx context.Context, b core.Backend, i int, acks *atomic.Uint64, done *atomic.Bool) error {
	for v := core.Version(0); !done.Load(); v++ {
		m := core.Mutation{Key: core.Key(fmt.Sprint("client", i)), Expect: v, Op: core.OpPut, Hot: []byte(fmt.Sprint(v)), ReqID: core.ReqID{byte(i), byte(v), byte(v >> 8), 1}}
		for end := time.Now().Add(30 * time.Second); ; {
			got, err := commit(ctx, b, m)
			if err == nil && got == v+1 {
				acks.Store(uint64(got))
				break
			}
			if code := core.CodeOf(err); err == nil || code != core.Unavailable && code != core.Indeterminate || time.Now().After(end) {
				return fmt.Errorf("client %d at version %d: made %d, %w", i, v, got, err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return nil
}
