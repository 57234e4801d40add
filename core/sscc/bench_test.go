package sscc_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/core/sscc"
)

// benchRealm is one user whose tries are confirmed as they are made.
func benchAccount(b *testing.B, mode protocol.Mode) *account {
	t := &testing.T{}
	r := newRealm(t, func(c *sscc.Config) { c.Limits.TriesPerMinute = 255 })
	b.Cleanup(func() { _ = r.Close() })
	return r.phone(r.app(sscc.AppRequest{Limit: 10})).account(mode)
}

// BenchmarkEvaluate is SS-CC's work for one counted, durable try without the
// channel and the engine, beside the raw scalar multiplication it cannot avoid.
func BenchmarkEvaluate(b *testing.B) {
	for _, proof := range []bool{false, true} {
		name := "plain"
		if proof {
			name = "with proof"
		}
		b.Run(name, func(b *testing.B) {
			a := benchAccount(b, protocol.ModeHardened)
			q := protocol.EvaluateRequest{User: a.user, Gen: 1, Blinded: a.peer.Key, WantProof: proof}
			var seen protocol.Seen
			b.ReportAllocs()
			for i := range b.N {
				if i%8 == 0 {
					b.StopTimer()
					if es := held(a.status().Tries); len(es) > 0 {
						if _, err := a.r.Confirm(bg, a.peer, a.confirm(es...)); err != nil {
							b.Fatal(err)
						}
					}
					a.r.clock.move(3600e9)
					b.StartTimer()
				}
				q.Attempt, q.Seen = newID(), seen
				ans, err := a.r.Evaluate(bg, a.peer, q)
				if err != nil {
					b.Fatal(err)
				}
				seen = protocol.Seen{Seq: ans.Tries.Seq, Head: ans.Tries.Head}
			}
		})
	}
	b.Run("scalar multiplication", func(b *testing.B) {
		k := newKey(b).Public()
		s := [32]byte{1, 2, 3}
		for range b.N {
			k.Mult(&s)
		}
	})
}

// BenchmarkFetch is the counted try of plain mode.
func BenchmarkFetch(b *testing.B) {
	a := benchAccount(b, protocol.ModePlain)
	var seen protocol.Seen
	b.ReportAllocs()
	for i := range b.N {
		if i%8 == 0 {
			b.StopTimer()
			if es := held(a.status().Tries); len(es) > 0 {
				if _, err := a.r.Confirm(bg, a.peer, a.confirm(es...)); err != nil {
					b.Fatal(err)
				}
			}
			a.r.clock.move(3600e9)
			b.StartTimer()
		}
		ans, err := a.r.Fetch(bg, a.peer, protocol.FetchRequest{User: a.user, Gen: 1, Attempt: newID(), Seen: seen})
		if err != nil {
			b.Fatal(err)
		}
		seen = protocol.Seen{Seq: ans.Tries.Seq, Head: ans.Tries.Head}
	}
}

// BenchmarkExchange is SS-CC's half of one key exchange.
func BenchmarkExchange(b *testing.B) {
	a := benchAccount(b, protocol.ModePlain)
	_, identity, _, err := a.r.Realm(bg)
	if err != nil {
		b.Fatal(err)
	}
	ini, err := sm.NewInitiator(a.key, a.peer.Device[:], identity, a.r.id[:], nil)
	if err != nil {
		b.Fatal(err)
	}
	for range b.N {
		x, err := a.r.OpenExchange(bg, a.peer.App, a.peer.Device, ini.R())
		if err != nil {
			b.Fatal(err)
		}
		x.Wipe()
	}
}

// BenchmarkGroup is 128 users at once over an engine that takes 2 ms to make a
// batch durable: how many tries ride on one batch.
func BenchmarkGroup(b *testing.B) {
	t := &testing.T{}
	r := newRealm(t, func(c *sscc.Config) { c.Limits.TriesPerMinute = 255 })
	b.Cleanup(func() { _ = r.Close() })
	p := r.phone(r.app(sscc.AppRequest{Limit: 10}))
	const clients = 128
	as := make([]*account, clients)
	for i := range as {
		as[i] = p.account(protocol.ModePlain)
	}
	r.b.latency = 2 * time.Millisecond
	r.b.mu.Lock()
	commits, batches := r.b.commits, r.b.batches
	r.b.mu.Unlock()
	b.ResetTimer()
	var wg sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(b.N))
	for _, a := range as {
		wg.Go(func() {
			var es []protocol.SeqTag
			var seen protocol.Seen
			for left.Add(-1) >= 0 {
				if len(es) == 8 {
					if _, err := r.Confirm(bg, a.peer, a.confirm(es...)); err != nil {
						b.Error(err)
						return
					}
					r.clock.move(time.Minute)
				}
				ans, err := r.Fetch(bg, a.peer, protocol.FetchRequest{User: a.user, Gen: 1, Attempt: newID(), Seen: seen})
				if err != nil {
					b.Error(err)
					return
				}
				es = held(ans.Tries)
				seen = protocol.Seen{Seq: ans.Tries.Seq, Head: ans.Tries.Head}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	b.ReportMetric(float64(r.b.commits-commits)/float64(r.b.batches-batches), "commits/batch")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tries/s")
}
