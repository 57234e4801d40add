package sscc_test

import (
	"context"
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sscc"
)

// replicated is a table that says several SS-CC may share it.
type replicated struct{ *table }

func (replicated) Describe(context.Context) (core.BackendInfo, error) {
	return core.BackendInfo{Name: "table", Replicated: true}, nil
}

// generations counts the sealed frames of each key generation.
func (t *table) generations() map[uint16]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := map[uint16]int{}
	for _, r := range t.m {
		if len(r.Hot) < 52 { // the boot record's guard
			continue
		}
		n[binary.BigEndian.Uint16(r.Hot[2:])]++
		if len(r.Blob) > 0 {
			n[binary.BigEndian.Uint16(r.Blob[2:])]++
		}
	}
	return n
}

// Keys rotate while replicas serve: no request fails, nothing is lost, no frame
// of the old generation stays, and each replica follows by itself.
func TestRotate(t *testing.T) {
	r := newRealm(t, func(c *sscc.Config) {
		c.Limits.RotateGrace = 50 * time.Millisecond
		c.Limits.TriesPerMinute = 255
	})
	r.cfg.Backend = replicated{r.b}
	r.must(r.Close())
	r.Server = r.replica()
	other := r.replica()
	app := r.app(sscc.AppRequest{Limit: 10})
	var as []*account
	for range 8 {
		as = append(as, r.phone(app).account(protocol.ModeHardened))
	}
	q, c := as[0].replace(nil) // staged over the rotation
	_, err := r.Prepare(bg, as[0].peer, q)
	r.must(err)
	servers := []*sscc.Server{r.Server, other}
	tok, err := r.Login(bg, password(adminPassword))
	r.must(err)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	tries := make([]uint32, len(as))
	for i, a := range as[1:] {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				ans, err := servers[n%2].Evaluate(bg, a.peer, protocol.EvaluateRequest{User: a.user, Gen: 1, Attempt: newID(), Blinded: a.peer.Key})
				if err != nil {
					if core.CodeOf(err) == core.Throttled {
						continue
					}
					t.Error(err)
					return
				}
				tries[i+1] = ans.Seq
				if _, err := servers[(n+1)%2].Confirm(bg, a.peer, a.confirm(held(ans.Tries)...)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	n := 0
	r.must(r.RotateKeys(bg, tok, func(records int) { n = records }))
	close(stop)
	wg.Wait()
	if n == 0 {
		t.Fatal("no record was sealed anew")
	}
	d, err := r.Describe(bg, tok)
	r.must(err)
	if d.KeyGens != 1 || d.KeyGen != 2 {
		t.Fatalf("after the rotation %+v", d)
	}
	r.must(r.Logout(bg, tok))
	if g := r.b.generations(); len(g) != 1 || g[2] == 0 {
		t.Fatalf("frames by generation: %v", g)
	}
	for i, a := range as[1:] {
		for _, s := range servers {
			st, err := s.Status(bg, a.peer, protocol.StatusRequest{User: a.user})
			r.must(err)
			if st.Tries.Seq != tries[i+1] || st.Tries.Used != 0 {
				t.Fatalf("counter %+v, want seq %d", st.Tries, tries[i+1])
			}
		}
	}
	_, err = other.Commit(bg, as[0].peer, c)
	r.must(err)
	r.must(other.Close())
	r.must(r.Close())
	r.Server = r.replica()
	if rep := r.verify(); !rep.OK {
		t.Fatalf("the log after the rotation: %+v", rep)
	}
}

// A rotation that is killed leaves everything readable and is ended by the next.
func TestCrashInRotation(t *testing.T) {
	for _, at := range []string{"rotate.ring", "rotate.rewrapped"} {
		r := killable(t)
		a := r.phone(r.app(sscc.AppRequest{})).account(protocol.ModeHardened)
		r.dies(at, func() { r.admin(func(tok sscc.Token) { _ = r.RotateKeys(bg, tok, nil) }) })
		_, err := a.evaluate()
		r.must(err)
		r.admin(func(tok sscc.Token) {
			r.must(r.RotateKeys(bg, tok, nil))
			d, err := r.Describe(bg, tok)
			r.must(err)
			if d.KeyGen != 2 || d.KeyGens != 1 {
				t.Fatalf("%s: %+v", at, d)
			}
			r.must(r.RotateKeys(bg, tok, nil))
		})
		_, err = a.evaluate()
		r.must(err)
		if g := r.b.generations(); len(g) != 1 || g[3] == 0 {
			t.Fatalf("%s: frames by generation: %v", at, g)
		}
	}
}

// The root key's slots: a new password, a backup password, a key file by the
// administrator's leave only, which every user is told.
// req: X-09, G-7.4-10
func TestSlots(t *testing.T) {
	r := newRealm(t)
	a := r.phone(r.app(sscc.AppRequest{})).account(protocol.ModePlain)
	file := func(n int, v byte) *secret.Buffer {
		b := secret.New(n)
		for i := range b.Bytes() {
			b.Bytes()[i] = v
		}
		return b
	}
	want(t, r.start().AutoUnseal(bg, file(32, 1)), core.Auth)
	r.must(r.Unseal(bg, password(adminPassword)))
	if a.status().AutoSeal {
		t.Fatal("auto-unseal is told and not allowed")
	}
	tok, err := r.Login(bg, password(adminPassword))
	r.must(err)
	want(t, r.AllowAuto(bg, tok, file(31, 1)), core.Invalid)
	r.must(r.AllowAuto(bg, tok, file(32, 1)))
	r.must(r.AllowAuto(bg, tok, file(40, 2)))
	r.must(r.SetBackup(bg, tok, password("the one in the safe"), password("the one in the safe")))
	want(t, r.SetBackup(bg, tok, password("the one in the safe"), password("another in the safe")), core.Invalid)
	r.must(r.ChangePassword(bg, tok, password("a new password"), password("a new password")))
	want(t, r.DropSlot(bg, tok, sscc.SlotPassword), core.Usage)
	d, err := r.Describe(bg, tok)
	r.must(err)
	if !d.AutoSeal || !d.Backup {
		t.Fatalf("%+v", d)
	}
	r.must(r.Logout(bg, tok))
	if !a.status().AutoSeal {
		t.Fatal("auto-unseal is not told")
	}
	want(t, r.start().AutoUnseal(bg, file(32, 1)), core.Auth)
	auto := r.start()
	r.must(auto.AutoUnseal(bg, file(40, 2)))
	r.must(auto.Health(bg))
	_, err = r.start().Login(bg, password(adminPassword))
	want(t, err, core.Auth)
	safe := r.start()
	tok, err = safe.LoginBackup(bg, password("the one in the safe"))
	r.must(err)
	r.must(safe.DropSlot(bg, tok, sscc.SlotBackup))
	want(t, safe.DropSlot(bg, tok, sscc.SlotBackup), core.NotFound)
	r.must(safe.DropSlot(bg, tok, sscc.SlotAuto))
	r.must(safe.ChangePassword(bg, tok, password(adminPassword), password(adminPassword)))
	r.must(safe.Logout(bg, tok))
	_, err = r.start().LoginBackup(bg, password("the one in the safe"))
	want(t, err, core.Auth)
	r.must(r.replica().Health(bg))
}

// After a restore the administrator freezes everybody; each user is unlocked by
// itself (I7).
func TestFreeze(t *testing.T) {
	r := newRealm(t)
	p := r.phone(r.app(sscc.AppRequest{}))
	a := p.account(protocol.ModePlain)
	other := r.replica()
	r.admin(func(tok sscc.Token) { r.must(r.Freeze(bg, tok)) })
	for _, s := range []*sscc.Server{r.Server, other} { // at once, at every replica
		_, err := s.Fetch(bg, a.peer, protocol.FetchRequest{User: a.user, Gen: 1, Attempt: newID()})
		want(t, err, core.Locked)
	}
	q, _ := a.replace(nil)
	_, err := r.Prepare(bg, p.peer, q)
	want(t, err, core.Locked)
	a.epoch = 1
	r.admin(func(tok sscc.Token) { r.must(r.UnlockUser(bg, tok, p.peer.App, a.user)) })
	_, err = a.fetch()
	r.must(err)
}
