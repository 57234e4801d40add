package api_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/oprf"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/core/sscc"
	"github.com/keposs/keposs/escrow/api"
)

// replica is a second SS-CC over the same store, with its own port.
func (s *station) replica() *station {
	s.t.Helper()
	r := &station{t: s.t, store: s.store, clock: s.clock, cert: s.cert, realm: s.realm, id: s.id}
	r.boot()
	s.must(r.core.Unseal(bg, password()))
	r.listen("127.0.0.1:0")
	s.t.Cleanup(r.down)
	return r
}

// A session made at one replica goes on at another with no new key exchange,
// and an attempt counted at one is known at the other.
func TestReplicas(t *testing.T) {
	t.Parallel()
	s := newStation(t, nil)
	b := newBalancer(t, s)
	p := b.phone(s)
	_, user := p.initialise(protocol.ModePlain)
	c := p.dial()
	pol, err := c.Policy(bg, protocol.PolicyRequest{User: user.User})
	s.must(err)
	try := protocol.FetchRequest{User: user.User, Gen: pol.Gen, Attempt: newID()}
	first, err := c.Fetch(bg, try)
	s.must(err)
	exchanges := b.exchange.Load()
	other := s.replica()
	b.move(other)
	again, err := c.Fetch(bg, try)
	s.must(err)
	if again.Seq != first.Seq || again.Tries.Used != 1 || b.exchange.Load() != exchanges {
		t.Errorf("at the other replica seq %d used %d after %d key exchanges", again.Seq, again.Tries.Used, b.exchange.Load()-exchanges)
	}
}

// 16 terminals' worth of connections with one device's key guess 20 times each
// at two replicas: exactly the limit is answered, the rest is Locked or
// Throttled, and nothing is a server's error.
// req: X-14
func TestRacingGuessers(t *testing.T) {
	t.Parallel()
	s := newStation(t, nil)
	p := s.phone()
	_, user := p.initialise(protocol.ModeHardened)
	addrs := []string{s.addr, s.replica().addr}
	pol, err := p.dial().Policy(bg, protocol.PolicyRequest{User: user.User})
	s.must(err)
	var answers, locked atomic.Int32
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			q := p.peer
			q.Endpoint = addrs[i%len(addrs)]
			c, err := api.Dial(bg, q)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for range 20 {
				id := newID()
				guess, err := oprf.Blind(sm.Rand(), id[:])
				if err != nil {
					t.Error(err)
					return
				}
				_, err = c.Evaluate(bg, protocol.EvaluateRequest{User: user.User, Gen: pol.Gen, Attempt: id, Blinded: guess.Element()})
				guess.Wipe()
				switch {
				case err == nil:
					answers.Add(1)
				case errors.Is(err, core.Locked):
					locked.Add(1)
				case errors.Is(err, core.Throttled):
				default:
					t.Errorf("a guess got %v", err)
				}
			}
		})
	}
	wg.Wait()
	if answers.Load() != 5 || locked.Load() == 0 {
		t.Errorf("%d answers, %d locked; want exactly 5 answers", answers.Load(), locked.Load())
	}
}

// An enrolled device that is not bound gets a challenge and nothing else
// without a recovery holder's signature.
func TestRebindNeedsItsSignature(t *testing.T) {
	t.Parallel()
	s := newStation(t, nil)
	p := s.phone()
	_, user := p.initialise(protocol.ModePlain)
	stranger := s.phone()
	c := stranger.dial()
	ch, err := c.Challenge(bg, protocol.ChallengeRequest{User: user.User})
	s.must(err)
	r := protocol.RebindRequest{User: user.User, Gen: 1, Holder: "recovery", Challenge: ch.Challenge}
	if _, err := c.RecoverPolicy(bg, r); !errors.Is(err, core.Refused) {
		t.Errorf("recover policy: %v, want refused", err)
	}
	if err := c.Rebind(bg, r); !errors.Is(err, core.Refused) {
		t.Errorf("rebind: %v, want refused", err)
	}
	if err := c.Unbind(bg, protocol.RemoveRequest{User: user.User, Gen: 1}); !errors.Is(err, core.Refused) {
		t.Errorf("unbind: %v, want refused", err)
	}
	if err := c.Deregister(bg, protocol.RemoveRequest{User: user.User, Gen: 1}); !errors.Is(err, core.Refused) {
		t.Errorf("deregister: %v, want refused", err)
	}
}

// Many goroutines share one Conn while its sessions end under them.
func TestConnIsShared(t *testing.T) {
	t.Parallel()
	s := newStation(t, nil)
	p := s.phone()
	_, user := p.initialise(protocol.ModePlain)
	c := p.dial()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 40 {
				if _, err := c.Status(bg, protocol.StatusRequest{User: user.User}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 5 {
		s.clock.move(sscc.SessionTTL + 1)
	}
	wg.Wait()
	s.must(c.Close())
	s.must(c.Close())
	if _, err := c.Status(bg, protocol.StatusRequest{User: user.User}); !errors.Is(err, core.Closed) {
		t.Errorf("after close: %v, want closed", err)
	}
}
