package sscctest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sscc"
)

// A Case is one invariant, named as in the escrow protocol (I1 to I6, I8).
type Case struct {
	Name string
	Run  func(t *testing.T, fresh func(*testing.T) core.Backend)
}

// Cases lists the checks.
func Cases() []Case {
	return []Case{
		{"I1 64 clients against limit 5 plain", race(protocol.ModePlain)},
		{"I1 64 clients against limit 5 hardened", race(protocol.ModeHardened)},
		{"I2 one attempt is one try", attemptOnce},
		{"I2 lost replies", lostReplies},
		{"I3 contention is no error", contention},
		{"I4 only own held tries are forgiven", forgiven},
		{"I4 64 clients confirm at once", forgivenOnce},
		{"I5 the last try is confirmed after the lock", lastTry},
		{"I5 64 clients race for the last tries", lastTryInACrowd},
		{"I6 a restart gives nothing back", restart},
		{"I6 64 clients while a replica restarts", restartsInACrowd},
		{"I8 refusals are one", uniform},
		{"I8 64 clients of every kind", uniformInACrowd},
		{"a commit makes one user", commitOnce},
		{"keys rotate while replicas serve", rotate},
	}
}

// Run runs every case. fresh returns an empty, configured backend that is
// closed by its own cleanup; the replicas of a case share it.
func Run(t *testing.T, fresh func(*testing.T) core.Backend) {
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) { c.Run(t, fresh) })
	}
}

// slow delays each call a little, at random, so that requests meet in every
// order.
type slow struct {
	core.Backend
	most time.Duration
}

func (s slow) wait() { time.Sleep(rand.N(s.most)) }

func (s slow) GetMany(ctx context.Context, keys []core.Key, o core.ReadOpts) ([]core.Record, error) {
	s.wait()
	return s.Backend.GetMany(ctx, keys, o)
}

func (s slow) CommitMany(ctx context.Context, ms []core.Mutation) ([]core.Result, error) {
	s.wait()
	r, err := s.Backend.CommitMany(ctx, ms)
	s.wait()
	return r, err
}

// forgetful loses the answer of every third commit after it was applied.
type forgetful struct {
	core.Backend
	n *atomic.Int64
}

func (f forgetful) CommitMany(ctx context.Context, ms []core.Mutation) ([]core.Result, error) {
	r, err := f.Backend.CommitMany(ctx, ms)
	if err == nil && f.n.Add(1)%3 == 0 {
		return nil, core.Errorf(core.Indeterminate, "sscctest", "the answer was lost")
	}
	return r, err
}

// Races repeats I1's race in both modes, rounds times each.
func Races(t *testing.T, rounds int, fresh func(*testing.T) core.Backend) {
	for n := range rounds {
		for _, mode := range []protocol.Mode{protocol.ModePlain, protocol.ModeHardened} {
			t.Run(fmt.Sprintf("%s %d", mode, n+1), func(t *testing.T) { race(mode)(t, fresh) })
		}
	}
}

func race(mode protocol.Mode) func(*testing.T, func(*testing.T) core.Backend) {
	return func(t *testing.T, fresh func(*testing.T) core.Backend) {
		s := newSite(t, slow{fresh(t), 300 * time.Microsecond}, 2, 5)
		u := s.user(mode)
		b := s.point()
		var answers atomic.Int32
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				for range 20 {
					_, _, err := u.try(i, newID(), b)
					switch core.CodeOf(err) {
					case core.Unknown:
						answers.Add(1)
					case core.Locked, core.Throttled:
					default:
						t.Errorf("contention became %v", err)
					}
				}
			})
		}
		wg.Wait()
		if n := answers.Load(); n != 5 {
			t.Fatalf("%d answers, want exactly 5", n)
		}
		if st := u.status(1); st.Used != 5 || st.Seq != 5 {
			t.Fatalf("counter %+v", st)
		}
	}
}

func attemptOnce(t *testing.T, fresh func(*testing.T) core.Backend) {
	s := newSite(t, slow{fresh(t), 300 * time.Microsecond}, 2, 5)
	u := s.user(protocol.ModeHardened)
	att, b := newID(), s.point()
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			if _, seq, err := u.try(i, att, b); err != nil || seq != 1 {
				t.Errorf("seq %d, %v", seq, err)
			}
		})
	}
	wg.Wait()
	_, _, err := u.try(0, att, s.point())
	s.want(err, core.Invalid)
	if used := u.status(0).Used; used != 1 {
		t.Fatalf("%d tries counted, want 1", used)
	}
}

func lostReplies(t *testing.T, fresh func(*testing.T) core.Backend) {
	s := newSite(t, slow{forgetful{fresh(t), new(atomic.Int64)}, 300 * time.Microsecond}, 2, 10)
	u := s.user(protocol.ModePlain)
	for i := range 10 {
		tries, seq, err := u.try(i, newID(), protocol.Point{})
		s.must(err)
		if seq != uint32(i+1) || tries.Used != seq {
			t.Fatalf("try %d was counted as %d of %d", i+1, seq, tries.Used)
		}
	}
	_, _, err := u.try(0, newID(), protocol.Point{})
	s.want(err, core.Locked)
}

func contention(t *testing.T, fresh func(*testing.T) core.Backend) {
	s := newSite(t, slow{fresh(t), 300 * time.Microsecond}, 3, 10)
	u := s.user(protocol.ModePlain)
	var total atomic.Int64
	together(func(i int) {
		for range 2 {
			tries, _, err := u.try(i, newID(), protocol.Point{})
			switch core.CodeOf(err) {
			case core.Unknown:
				total.Add(1)
				if tries.Used > tries.Limit {
					t.Errorf("%d of %d tries used", tries.Used, tries.Limit)
				}
			case core.Locked, core.Throttled:
			default:
				t.Errorf("contention became %v", err)
			}
			if _, err := u.confirm(i+1, u.status(i).Held); core.CodeOf(err) != core.Unknown && core.CodeOf(err) != core.Invalid {
				t.Errorf("contention became %v", err)
			}
		}
	})
	if st := u.status(0); int64(st.Seq) != total.Load() {
		t.Fatalf("%d tries answered, the counter says %d", total.Load(), st.Seq)
	}
}

func forgiven(t *testing.T, fresh func(*testing.T) core.Backend) {
	s := newSite(t, fresh(t), 2, 5)
	u := s.user(protocol.ModePlain)
	var last protocol.Tries
	for i := range 4 {
		var err error
		last, _, err = u.try(i, newID(), protocol.Point{})
		s.must(err)
	}
	made := last.Held[1]
	made.Tag[0] ^= 1
	after, err := u.confirm(0, []protocol.HeldTry{last.Held[0], made, {Seq: 99}})
	s.must(err)
	if after.Used != 3 {
		t.Fatalf("%d held after one right entry of three, want 3", after.Used)
	}
	honest := u.conf
	u.conf = s.key()
	_, err = u.confirm(0, last.Held)
	s.want(err, core.Refused)
	u.conf = honest
	for range 2 {
		after, err = u.confirm(1, last.Held)
		s.must(err)
		if after.Used != 0 || after.Seq != 4 || after.Head != last.Head {
			t.Fatalf("after all were forgiven %+v", after)
		}
	}
}

func lastTry(t *testing.T, fresh func(*testing.T) core.Backend) {
	s := newSite(t, fresh(t), 2, 3)
	u := s.user(protocol.ModePlain)
	var last protocol.Tries
	for i := range 3 {
		var err error
		last, _, err = u.try(i, newID(), protocol.Point{})
		s.must(err)
	}
	_, _, err := u.try(0, newID(), protocol.Point{})
	s.want(err, core.Locked)
	after, err := u.confirm(1, last.Held[2:])
	s.must(err)
	if after.Used != 2 || after.Locked {
		t.Fatalf("after the last try was confirmed %+v", after)
	}
	_, _, err = u.try(1, newID(), protocol.Point{})
	s.must(err)
}

func restart(t *testing.T, fresh func(*testing.T) core.Backend) {
	s := newSite(t, fresh(t), 1, 5)
	u := s.user(protocol.ModeHardened)
	b := s.point()
	for range 5 {
		_, _, err := u.try(0, newID(), b)
		s.must(err)
	}
	for range 2 {
		_, _, err := u.try(0, newID(), b)
		s.want(err, core.Locked)
		s.must(s.replicas[0].Close())
		s.replicas[0] = s.unsealed()
	}
	before := u.status(0)
	s.admin(func(tok sscc.Token) {
		s.must(s.replicas[0].UnlockUser(bg, tok, s.app, u.id))
		rep, err := s.replicas[0].VerifyAudit(bg, tok)
		s.must(err)
		if !rep.OK {
			t.Fatalf("audit log: %+v", rep)
		}
	})
	after := u.status(0)
	if after.Used != 0 || after.UnlockSeq != before.UnlockSeq+1 || after.Seq != before.Seq || after.Head != before.Head {
		t.Fatalf("after unlock %+v, before %+v", after, before)
	}
}

func uniform(t *testing.T, fresh func(*testing.T) core.Backend) {
	s := newSite(t, fresh(t), 1, 5)
	u, gone := s.user(protocol.ModePlain), s.user(protocol.ModePlain)
	s.admin(func(tok sscc.Token) { s.must(s.replicas[0].RemoveUser(bg, tok, s.app, gone.id)) })
	foreign, unknown := *u, *u
	foreign.peer, unknown.id = s.enrol(), newID()
	texts := map[string]bool{}
	for _, x := range []*user{gone, &foreign, &unknown} {
		_, _, err := x.try(0, newID(), protocol.Point{})
		s.want(err, core.Refused)
		texts[err.Error()] = true
		_, err = s.replicas[0].Policy(bg, x.peer, protocol.PolicyRequest{User: x.id})
		s.want(err, core.Refused)
		texts[err.Error()] = true
	}
	if len(texts) != 1 {
		t.Fatalf("refusals are told apart: %v", texts)
	}
}

func commitOnce(t *testing.T, fresh func(*testing.T) core.Backend) {
	s := newSite(t, slow{forgetful{fresh(t), new(atomic.Int64)}, 300 * time.Microsecond}, 3, 5)
	u, q, c := s.stage(s.enrol(), protocol.ModePlain)
	_, err := s.replicas[1].Prepare(bg, u.peer, q)
	s.must(err)
	ids := make([]protocol.ID, 24)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			// A replica asks the backend four times; side by side all four answers
			// may be lost. Whoever hears Indeterminate repeats, as a terminal does.
			for range 20 {
				ans, err := s.replicas[i%3].Commit(bg, u.peer, c)
				if core.CodeOf(err) == core.Indeterminate {
					continue
				}
				if err != nil {
					t.Error(err)
				}
				ids[i] = ans.User
				return
			}
			t.Error("20 answers were lost in a row")
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] || id.IsZero() {
			t.Fatal("one Commit made several users")
		}
	}
	s.admin(func(tok sscc.Token) {
		us, next, err := s.replicas[0].Users(bg, tok, nil, 100)
		s.must(err)
		if len(us) != 1 || next != nil {
			t.Fatalf("%d users, want one", len(us))
		}
	})
}

func rotate(t *testing.T, fresh func(*testing.T) core.Backend) {
	s := newSite(t, fresh(t), 2, 10)
	us := []*user{s.user(protocol.ModePlain), s.user(protocol.ModeHardened)}
	b := s.point()
	tok, err := s.replicas[0].Login(bg, adminPassword())
	s.must(err)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i, u := range us {
		wg.Go(func() {
			for n := i; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				tries, _, err := u.try(n, newID(), b)
				if err == nil {
					_, err = u.confirm(n+1, tries.Held)
				}
				if err != nil && core.CodeOf(err) != core.Throttled {
					t.Error(err)
					return
				}
			}
		})
	}
	s.must(s.replicas[0].RotateKeys(bg, tok, nil))
	close(stop)
	wg.Wait()
	d, err := s.replicas[0].Describe(bg, tok)
	s.must(err)
	if d.KeyGens != 1 || d.KeyGen != 2 {
		t.Fatalf("after the rotation %+v", d)
	}
	for _, u := range us {
		_ = u.status(1)
	}
}
