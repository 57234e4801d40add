package sscctest

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sscc"
)

// crowd is how many clients are at work at once.
const crowd = 64

// crowded is two replicas over a slow backend.
func crowded(t *testing.T, fresh func(*testing.T) core.Backend, limit uint8) *site {
	return newSite(t, slow{fresh(t), 300 * time.Microsecond}, 2, limit)
}

// together runs f for each client and waits for all.
func together(f func(client int)) {
	var wg sync.WaitGroup
	for i := range crowd {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

// forgivenOnce has some confirm what is held and others what is not, all at
// once: what is held goes, once, and nothing else.
func forgivenOnce(t *testing.T, fresh func(*testing.T) core.Backend) {
	s := crowded(t, fresh, 10)
	u := s.user(protocol.ModePlain)
	var last protocol.Tries
	for i := range 8 {
		var err error
		last, _, err = u.try(i, newID(), protocol.Point{})
		s.must(err)
	}
	stranger := *u
	stranger.conf = s.key()
	together(func(i int) {
		held := append([]protocol.HeldTry(nil), last.Held...)
		switch i % 4 {
		case 0, 1:
			if _, err := u.confirm(i/2, held[:4]); err != nil {
				t.Errorf("contention became %v", err)
			}
		case 2:
			for n := range held {
				held[n].Tag[0] ^= 1
			}
			if _, err := u.confirm(i/2, append(held, protocol.HeldTry{Seq: 99})); err != nil {
				t.Errorf("contention became %v", err)
			}
		case 3:
			if _, err := stranger.confirm(i/2, held); core.CodeOf(err) != core.Refused {
				t.Errorf("another key's confirmation: %v, want refused", err)
			}
		}
	})
	for i := range s.replicas {
		if st := u.status(i); st.Used != 4 || st.Seq != 8 || st.Head != last.Head {
			t.Fatalf("replica %d: counter %+v, want 4 of 8 tries held", i, st)
		}
	}
}

// lastTryInACrowd races for the last tries, and for their confirmation after
// the lock.
func lastTryInACrowd(t *testing.T, fresh func(*testing.T) core.Backend) {
	s := crowded(t, fresh, 3)
	u := s.user(protocol.ModePlain)
	var answers atomic.Int32
	together(func(i int) {
		switch _, _, err := u.try(i, newID(), protocol.Point{}); core.CodeOf(err) {
		case core.Unknown:
			answers.Add(1)
		case core.Locked, core.Throttled:
		default:
			t.Errorf("contention became %v", err)
		}
	})
	st := u.status(0)
	if answers.Load() != 3 || st.Used != 3 || !st.Locked {
		t.Fatalf("%d answers of 3, counter %+v", answers.Load(), st)
	}
	together(func(i int) {
		if _, err := u.confirm(i, st.Held[2:]); err != nil {
			t.Errorf("the last try's confirmation became %v", err)
		}
	})
	if st := u.status(1); st.Used != 2 || st.Locked {
		t.Fatalf("after the last try was confirmed %+v", st)
	}
	answers.Store(0)
	together(func(i int) {
		if _, _, err := u.try(i, newID(), protocol.Point{}); err == nil {
			answers.Add(1)
		}
	})
	if answers.Load() != 1 {
		t.Fatalf("%d answers for the one try that was forgiven", answers.Load())
	}
}

// restartsInACrowd closes and opens one replica again and again while all
// guess: no try comes back.
func restartsInACrowd(t *testing.T, fresh func(*testing.T) core.Backend) {
	s := crowded(t, fresh, 5)
	u := s.user(protocol.ModePlain)
	var second atomic.Pointer[sscc.Server]
	second.Store(s.replicas[1])
	var answers atomic.Int32
	var done sync.WaitGroup
	done.Go(func() {
		together(func(i int) {
			for n := range 6 {
				at := s.replicas[0]
				if (i+n)%2 == 1 {
					at = second.Load()
				}
				_, err := at.Fetch(context.Background(), u.peer, protocol.FetchRequest{User: u.id, Gen: 1, Attempt: newID()})
				switch core.CodeOf(err) {
				case core.Unknown:
					answers.Add(1)
				case core.Locked, core.Throttled:
				default:
					if at == s.replicas[0] {
						t.Errorf("a replica that serves answered %v", err)
					}
				}
			}
		})
	})
	for range 3 {
		next := s.unsealed()
		old := second.Swap(next)
		s.must(old.Close())
	}
	done.Wait()
	st := u.status(0)
	if answers.Load() > 5 || st.Used != 5 || st.Seq != 5 {
		t.Fatalf("%d answers, the limit is 5; counter %+v", answers.Load(), st)
	}
	s.replicas[1] = s.unsealed()
	for i := range s.replicas {
		_, _, err := u.try(i, newID(), protocol.Point{})
		s.want(err, core.Locked)
	}
}

// uniformInACrowd refuses strangers of every kind at once, while a user works:
// one text, and the user's count is the user's alone.
func uniformInACrowd(t *testing.T, fresh func(*testing.T) core.Backend) {
	s := crowded(t, fresh, 10)
	u, gone := s.user(protocol.ModePlain), s.user(protocol.ModePlain)
	s.admin(func(tok sscc.Token) { s.must(s.replicas[0].RemoveUser(bg, tok, s.app, gone.id)) })
	foreign, unknown := *u, *u
	foreign.peer, unknown.id = s.enrol(), newID()
	var mu sync.Mutex
	texts := map[string]int{}
	var mine atomic.Int32
	together(func(i int) {
		who := []*user{u, gone, &foreign, &unknown}[i%4]
		_, _, err := who.try(i/4, newID(), protocol.Point{})
		switch code := core.CodeOf(err); {
		case who == u && code == core.Unknown:
			mine.Add(1)
		case who == u && (code == core.Locked || code == core.Throttled):
		case who != u && code == core.Refused:
			mu.Lock()
			texts[err.Error()]++
			mu.Unlock()
		default:
			t.Errorf("client %d: %v", i, err)
		}
	})
	if len(texts) != 1 {
		t.Errorf("refusals are told apart: %v", texts)
	}
	if st := u.status(0); mine.Load() > 10 || st.Seq != uint32(mine.Load()) {
		t.Errorf("%d answers, the limit is 10; counter %+v", mine.Load(), st)
	}
}
