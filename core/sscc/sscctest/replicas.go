package sscctest

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sscc"
)

// Replicas checks several SS-CC over one database, each with a handle of its
// own: 64 clients that guess, repeat and confirm at all of them, an unlock in
// the middle, a rotation under way. handles returns n configured backends of one
// fresh store, closed by their own cleanup. Interleavings come from delays at
// random; rounds repeats the race.
// req: TK-10
func Replicas(t *testing.T, n, rounds int, handles func(t *testing.T, n int) []core.Backend) {
	for _, mode := range []protocol.Mode{protocol.ModePlain, protocol.ModeHardened} {
		t.Run(mode.String(), func(t *testing.T) {
			hs := handles(t, n)
			s := newSite(t, slow{hs[0], 300 * time.Microsecond}, 1, 5)
			for _, h := range hs[1:] {
				s.b = slow{h, 300 * time.Microsecond}
				s.replicas = append(s.replicas, s.unsealed())
			}
			for range rounds {
				s.guessing(mode)
			}
			s.rotating(mode)
		})
	}
}

// guessing is 64 clients of one user at every replica: the limit, again the
// limit after an unlock, and nothing else.
func (s *site) guessing(mode protocol.Mode) {
	t := s.t
	u := s.user(mode)
	b := s.point()
	var answers atomic.Int32
	storm := func() {
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				for n := range 6 {
					at := newID()
					_, seq, err := u.try(i+n, at, b)
					switch core.CodeOf(err) {
					case core.Unknown:
						answers.Add(1)
						// The same attempt elsewhere is the same try.
						if _, again, err := u.try(i+n+1, at, b); err != nil || again != seq {
							t.Errorf("try %d, repeated at another replica: %d, %v", seq, again, err)
						}
					case core.Locked, core.Throttled:
					default:
						t.Errorf("contention became %v", err)
					}
				}
			})
		}
		wg.Wait()
	}
	storm()
	if n := answers.Load(); n != 5 {
		t.Fatalf("%d answers over %d replicas, want exactly 5", n, len(s.replicas))
	}
	for i := range s.replicas {
		if st := u.status(i); st.Used != 5 || st.Seq != 5 {
			t.Fatalf("replica %d: counter %+v", i, st)
		}
	}
	s.admin(func(tok sscc.Token) { s.must(s.replicas[0].UnlockUser(bg, tok, s.app, u.id)) })
	storm()
	if n := answers.Load(); n != 10 {
		t.Fatalf("%d answers after an unlock, want exactly 10", n)
	}
}

// rotating is signing at every replica while one rotates the keys.
func (s *site) rotating(mode protocol.Mode) {
	t := s.t
	var stop atomic.Bool
	var wg sync.WaitGroup
	users := make([]*user, 8)
	for i := range users {
		users[i] = s.user(mode)
	}
	for i, u := range users {
		b := s.point()
		wg.Go(func() {
			for n := 0; !stop.Load() && n < 200; n++ {
				tries, _, err := u.try(i+n, newID(), b)
				if core.CodeOf(err) == core.Throttled {
					continue
				}
				if err != nil {
					t.Errorf("during the rotation: %v", err)
					return
				}
				if _, err := u.confirm(i+n+1, tries.Held); err != nil {
					t.Errorf("during the rotation: %v", err)
					return
				}
			}
		})
	}
	s.admin(func(tok sscc.Token) { s.must(s.replicas[0].RotateKeys(bg, tok, nil)) })
	stop.Store(true)
	wg.Wait()
	for i, u := range users {
		if st := u.status(i); st.Used != 0 {
			t.Errorf("user %d: counter %+v", i, st)
		}
	}
}
