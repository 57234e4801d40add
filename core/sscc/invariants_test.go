package sscc_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/core/sscc"
)

// 64 clients guess at three replicas at once against a limit of 5 and a slow
// backend: exactly 5 answers, the count never above the limit, no server error.
// req: K-7.2-D3, K-15.4-L2b, TK-10
func TestRace(t *testing.T) {
	for _, mode := range []protocol.Mode{protocol.ModePlain, protocol.ModeHardened} {
		t.Run(mode.String(), func(t *testing.T) {
			r := newRealm(t)
			a := r.phone(r.app(sscc.AppRequest{})).account(mode)
			servers := []*sscc.Server{r.Server, r.replica(), r.replica()}
			r.b.latency = 200 * time.Microsecond
			b := point(newKey(t))
			var answers, locked atomic.Int32
			var wg sync.WaitGroup
			for i := range 64 {
				wg.Go(func() {
					for range 3 {
						var err error
						if mode == protocol.ModePlain {
							_, err = servers[i%3].Fetch(bg, a.peer, protocol.FetchRequest{User: a.user, Gen: 1, Attempt: newID()})
						} else {
							_, err = servers[i%3].Evaluate(bg, a.peer, protocol.EvaluateRequest{User: a.user, Gen: 1, Attempt: newID(), Blinded: b})
						}
						switch core.CodeOf(err) {
						case core.Unknown:
							answers.Add(1)
						case core.Locked:
							locked.Add(1)
						default:
							t.Errorf("contention became %v", err)
						}
					}
				})
			}
			wg.Wait()
			if answers.Load() != 5 || locked.Load() != 64*3-5 {
				t.Fatalf("%d answers and %d refusals, want 5 and %d", answers.Load(), locked.Load(), 64*3-5)
			}
			if st := a.status(); st.Tries.Used != 5 || st.Tries.Seq != 5 || !st.Tries.Locked {
				t.Fatalf("counter %+v", st.Tries)
			}
		})
	}
}

// One attempt sent by many at once is one try with one answer; with another
// element it is refused and not counted (I2).
// req: X-13
func TestAttemptIsOneTry(t *testing.T) {
	r := newRealm(t)
	a := r.phone(r.app(sscc.AppRequest{})).account(protocol.ModeHardened)
	servers := []*sscc.Server{r.Server, r.replica()}
	q := protocol.EvaluateRequest{User: a.user, Gen: 1, Attempt: newID(), Blinded: point(newKey(t))}
	out := make([]protocol.EvaluateAnswer, 32)
	var wg sync.WaitGroup
	for i := range out {
		wg.Go(func() {
			var err error
			if out[i], err = servers[i%2].Evaluate(bg, a.peer, q); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, o := range out {
		if o.Seq != 1 || o.Evaluated != out[0].Evaluated {
			t.Fatalf("seq %d, want 1 and one answer", o.Seq)
		}
	}
	other := q
	other.Blinded = point(newKey(t))
	_, err := r.Evaluate(bg, a.peer, other)
	want(t, err, core.Invalid)
	if st := a.status(); st.Tries.Used != 1 {
		t.Fatalf("%d tries counted, want 1", st.Tries.Used)
	}
	// A confirmed attempt cannot be asked for again.
	_, err = r.Confirm(bg, a.peer, a.confirm(held(a.status().Tries)...))
	r.must(err)
	_, err = r.Evaluate(bg, a.peer, q)
	want(t, err, core.Invalid)
}

// The last permitted try is answered and can be confirmed after the lock; only
// held, equal entries signed by the confirm key go; a replay is a no-op (I4, I5).
func TestConfirm(t *testing.T) {
	r := newRealm(t)
	p := r.phone(r.app(sscc.AppRequest{Limit: 3}))
	a := p.account(protocol.ModePlain)
	var last protocol.FetchAnswer
	for i := range 3 {
		var err error
		last, err = a.fetch()
		r.must(err)
		if last.Tries.Used != uint32(i+1) || last.Tries.Limit != 3 || last.Tries.Locked {
			t.Fatalf("try %d: %+v", i+1, last.Tries)
		}
	}
	if a.status().Tries.Locked {
		t.Fatal("a read locked the user")
	}
	_, err := a.fetch()
	want(t, err, core.Locked)
	if st := a.status(); !st.Tries.Locked || st.Tries.Used != 3 {
		t.Fatalf("after the try above the limit %+v", st.Tries)
	}
	_, err = r.Policy(bg, a.peer, protocol.PolicyRequest{User: a.user})
	want(t, err, core.Locked)
	good := a.confirm(held(last.Tries)[2])
	bad := good
	bad.Entries = held(last.Tries)[:1]
	_, err = r.Confirm(bg, a.peer, bad)
	want(t, err, core.Refused)
	forged := good
	forged.Sig = a.sign(newKey(t), protocol.ConfirmMessage(r.id, a.peer.App, a.user, 1, good.Entries), protocol.ConfirmID)
	_, err = r.Confirm(bg, a.peer, forged)
	want(t, err, core.Refused)
	asMessage := good // signed as a message would be
	asMessage.Sig = a.sign(a.conf, protocol.ConfirmMessage(r.id, a.peer.App, a.user, 1, good.Entries), protocol.DefaultUserID)
	_, err = r.Confirm(bg, a.peer, asMessage)
	want(t, err, core.Refused)
	made := a.confirm(protocol.SeqTag{Seq: 3, Tag: protocol.Tag{1}}, protocol.SeqTag{Seq: 9})
	ans, err := r.Confirm(bg, a.peer, made)
	r.must(err)
	if ans.Tries.Used != 3 {
		t.Fatal("entries that are not held were forgiven")
	}
	_, err = r.Confirm(bg, a.peer, protocol.ConfirmRequest{User: a.user, Gen: 1})
	want(t, err, core.Invalid)
	for range 3 {
		ans, err = r.Confirm(bg, a.peer, good)
		r.must(err)
		if ans.Tries.Used != 2 || ans.Tries.Locked {
			t.Fatalf("after the confirmation %+v", ans.Tries)
		}
	}
	_, err = a.fetch()
	r.must(err)
	_, err = a.fetch()
	want(t, err, core.Locked)
}

// Neither a restart, nor a clock that jumps, nor another replica gives a try
// back (I6); the administrator does, and the counter goes on (I4).
func TestLockStays(t *testing.T) {
	r := newRealm(t)
	p := r.phone(r.app(sscc.AppRequest{}))
	a := p.account(protocol.ModePlain)
	for range 5 {
		_, err := a.fetch()
		r.must(err)
	}
	_, err := a.fetch()
	want(t, err, core.Locked)
	for _, d := range []time.Duration{1000 * time.Hour, -9000 * time.Hour} {
		r.clock.move(d)
		r.Server = r.replica()
		_, err = a.fetch()
		want(t, err, core.Locked)
	}
	before := a.status().Tries
	r.admin(func(tok sscc.Token) { r.must(r.UnlockUser(bg, tok, p.peer.App, a.user)) })
	after := a.status().Tries
	if after.Used != 0 || after.UnlockSeq != before.UnlockSeq+1 || after.Seq != before.Seq || after.Head != before.Head || after.Locked {
		t.Fatalf("after unlock %+v, before %+v", after, before)
	}
	_, err = a.fetch()
	r.must(err)
	// An ordered lock is not lifted by a confirmation.
	r.admin(func(tok sscc.Token) { r.must(r.LockUser(bg, tok, p.peer.App, a.user)) })
	ans, err := r.Confirm(bg, a.peer, a.confirm(held(a.status().Tries)...))
	r.must(err)
	if ans.Tries.Used != 0 || !ans.Tries.Locked {
		t.Fatalf("an ordered lock after a confirmation: %+v", ans.Tries)
	}
	_, err = a.fetch()
	want(t, err, core.Locked)
}

// The destroy policy waits a minute after the last answered try, so that it can
// be confirmed, and then the sealed keys are gone for good (I5, I6).
func TestDestroy(t *testing.T) {
	r := newRealm(t)
	p := r.phone(r.app(sscc.AppRequest{Limit: 2, Destroy: true}))
	a := p.account(protocol.ModePlain)
	for range 2 {
		_, err := a.fetch()
		r.must(err)
	}
	_, err := a.fetch()
	want(t, err, core.Locked)
	if _, err := r.Confirm(bg, a.peer, a.confirm(held(a.status().Tries)[1])); err != nil {
		t.Fatal("the last try could not be confirmed: ", err)
	}
	_, err = a.fetch()
	r.must(err)
	r.clock.move(61 * time.Second)
	_, err = a.fetch()
	want(t, err, core.Locked)
	_, err = a.fetch()
	want(t, err, core.Refused)
	r.admin(func(tok sscc.Token) {
		want(t, r.UnlockUser(bg, tok, p.peer.App, a.user), core.State)
		u, err := r.FindUser(bg, tok, a.user)
		r.must(err)
		if u.State != "destroyed" {
			t.Fatalf("state %s", u.State)
		}
	})
}

// The client can follow the whole chain of tries, however long, and sees when
// it was cut (I7).
func TestHistoryChains(t *testing.T) {
	r := newRealm(t, func(c *sscc.Config) { c.Limits.TriesPerMinute = 255 })
	a := r.phone(r.app(sscc.AppRequest{Limit: 10})).account(protocol.ModePlain)
	var seen protocol.Seen
	check := func(tr protocol.Tries) {
		t.Helper()
		h := seen.Head
		for i, e := range tr.Since {
			if e.Seq != seen.Seq+uint32(i)+1 {
				t.Fatalf("since begins %d after %d", e.Seq, seen.Seq)
			}
			h = sum(protocol.TryHeadInput(h, e.Seq, e.Tag))
		}
		if h != tr.Head || tr.Seq != seen.Seq+uint32(len(tr.Since)) {
			t.Fatalf("seq %d does not chain from %d", tr.Seq, seen.Seq)
		}
	}
	for n := range 70 {
		ans, err := r.Fetch(bg, a.peer, protocol.FetchRequest{User: a.user, Gen: 1, Attempt: newID(), Seen: seen})
		r.must(err)
		check(ans.Tries)
		if n%9 == 3 { // remembered now and then, and always from the start too
			seen = protocol.Seen{Seq: ans.Tries.Seq, Head: ans.Tries.Head}
		}
		_, err = r.Confirm(bg, a.peer, a.confirm(held(ans.Tries)...))
		r.must(err)
	}
	seen = protocol.Seen{}
	check(a.status().Tries)
}

// A durable floor bounds tries in one minute, across replicas and whatever the
// clock does.
// req: G-7.4-05
func TestMinute(t *testing.T) {
	r := newRealm(t, func(c *sscc.Config) { c.Limits.TriesPerMinute = 4 })
	a := r.phone(r.app(sscc.AppRequest{Limit: 10})).account(protocol.ModePlain)
	servers := []*sscc.Server{r.Server, r.replica()}
	got := 0
	for i := range 12 {
		ans, err := servers[i%2].Fetch(bg, a.peer, protocol.FetchRequest{User: a.user, Gen: 1, Attempt: newID()})
		if err == nil {
			got++
			_, err = r.Confirm(bg, a.peer, a.confirm(held(ans.Tries)...))
			r.must(err)
			r.clock.move(-time.Minute) // a clock set back gives nothing
			continue
		}
		want(t, err, core.Throttled)
	}
	if got != 4 {
		t.Fatalf("%d tries in one minute, want 4", got)
	}
	r.clock.move(20 * time.Minute)
	_, err := a.fetch()
	r.must(err)
}

// Unknown, foreign, revoked, unbound and removed are one refusal (I8).
// req: K-7.2-04, K-17.1-10, K-5.3-04b
func TestUniformRefusal(t *testing.T) {
	r := newRealm(t)
	app := r.app(sscc.AppRequest{})
	p := r.phone(app)
	a := p.account(protocol.ModePlain)
	gone := p.account(protocol.ModePlain)
	r.must(r.Unbind(bg, p.peer, gone.removal(false)))
	r.must(r.Unbind(bg, p.peer, gone.removal(false)))
	foreign, stranger := r.phone(app), r.phone(r.app(sscc.AppRequest{Name: "other"}))
	revoked := r.phone(app)
	mine := revoked.account(protocol.ModePlain)
	r.admin(func(tok sscc.Token) { r.must(r.RevokeDevice(bg, tok, app, revoked.peer.Device)) })
	wrongKey := p.peer
	wrongKey.Key = point(newKey(t))
	texts := map[string]bool{}
	for name, c := range map[string]struct {
		peer protocol.Peer
		user protocol.ID
	}{
		"unknown user": {p.peer, newID()}, "removed user": {p.peer, gone.user}, "another device's": {foreign.peer, a.user},
		"another app's": {stranger.peer, a.user}, "revoked device": {revoked.peer, mine.user}, "another key": {wrongKey, a.user},
		"unknown device": {protocol.Peer{App: app, Device: newID(), Key: p.peer.Key}, a.user},
	} {
		att := newID()
		_, fetchErr := r.Fetch(bg, c.peer, protocol.FetchRequest{User: c.user, Gen: 1, Attempt: att})
		_, evalErr := r.Evaluate(bg, c.peer, protocol.EvaluateRequest{User: c.user, Gen: 1, Attempt: att, Blinded: p.peer.Key})
		_, polErr := r.Policy(bg, c.peer, protocol.PolicyRequest{User: c.user})
		_, statErr := r.Status(bg, c.peer, protocol.StatusRequest{User: c.user})
		_, confErr := r.Confirm(bg, c.peer, protocol.ConfirmRequest{User: c.user, Gen: 1, Entries: []protocol.SeqTag{{Seq: 1}}})
		for _, err := range []error{fetchErr, evalErr, polErr, statErr, confErr,
			r.Unbind(bg, c.peer, protocol.RemoveRequest{User: c.user, Gen: 1}), r.Rebind(bg, c.peer, protocol.RebindRequest{User: c.user, Gen: 1, Holder: "recovery"})} {
			if core.CodeOf(err) != core.Refused {
				t.Errorf("%s: %v", name, err)
				continue
			}
			texts[err.Error()] = true
		}
	}
	if len(texts) != 1 {
		t.Errorf("refusals are told apart: %v", texts)
	}
	r.admin(func(tok sscc.Token) { r.must(r.RevokeApp(bg, tok, app)) })
	_, err := a.fetch()
	want(t, err, core.Refused)
}

// Who is refused costs the backend the same reads, whatever the reason (I8).
func TestRefusalsReadAlike(t *testing.T) {
	r := newRealm(t)
	app := r.app(sscc.AppRequest{})
	a := r.phone(app).account(protocol.ModeHardened)
	foreign, revoked, gone := r.phone(app), r.phone(app), r.phone(r.app(sscc.AppRequest{Name: "gone"}))
	mine := revoked.account(protocol.ModeHardened)
	r.admin(func(tok sscc.Token) {
		r.must(r.RevokeDevice(bg, tok, app, revoked.peer.Device))
		r.must(r.RevokeApp(bg, tok, gone.peer.App))
	})
	r.verify()
	ask := map[string]func(p protocol.Peer, u protocol.ID) error{
		"fetch": func(p protocol.Peer, u protocol.ID) error {
			_, err := r.Fetch(bg, p, protocol.FetchRequest{User: u, Gen: 1, Attempt: newID()})
			return err
		},
		"policy": func(p protocol.Peer, u protocol.ID) error {
			_, err := r.Policy(bg, p, protocol.PolicyRequest{User: u})
			return err
		},
		"status": func(p protocol.Peer, u protocol.ID) error {
			_, err := r.Status(bg, p, protocol.StatusRequest{User: u})
			return err
		},
		"confirm": func(p protocol.Peer, u protocol.ID) error {
			_, err := r.Confirm(bg, p, protocol.ConfirmRequest{User: u, Gen: 1, Entries: []protocol.SeqTag{{Seq: 1}}})
			return err
		},
		"unbind": func(p protocol.Peer, u protocol.ID) error {
			return r.Unbind(bg, p, protocol.RemoveRequest{User: u, Gen: 1})
		},
	}
	for op, fn := range ask {
		var first []int
		for name, c := range map[string]struct {
			peer protocol.Peer
			user protocol.ID
		}{
			"unknown user": {a.peer, newID()}, "foreign user": {foreign.peer, a.user}, "revoked device": {revoked.peer, mine.user},
			"revoked app": {gone.peer, a.user}, "unknown device": {protocol.Peer{App: app, Device: newID()}, a.user},
		} {
			r.b.mu.Lock()
			r.b.reads = nil
			r.b.mu.Unlock()
			want(t, fn(c.peer, c.user), core.Refused)
			r.b.mu.Lock()
			got := r.b.reads
			r.b.mu.Unlock()
			if first == nil {
				first = got
			}
			if !slices.Equal(got, first) {
				t.Errorf("%s, %s: reads %v, others %v", op, name, got, first)
			}
		}
	}
	// The recovery's checks read alike for a user there is and one there is not.
	var reads [2][]int
	for i, u := range []protocol.ID{a.user, newID()} {
		b := *a
		b.phone, b.user = foreign, u
		q := b.rebindRequest(newKey(t), "recovery")
		_ = r.Rebind(bg, foreign.peer, q) // fills the cache
		r.b.mu.Lock()
		r.b.reads = nil
		r.b.mu.Unlock()
		want(t, r.Rebind(bg, foreign.peer, q), core.Refused)
		r.b.mu.Lock()
		reads[i] = r.b.reads
		r.b.mu.Unlock()
	}
	if !slices.Equal(reads[0], reads[1]) {
		t.Errorf("rebind reads %v for a user there is, %v for none", reads[0], reads[1])
	}
}

// Confirmations of tries made elsewhere stay: only the own are forgiven.
func TestForeignTriesStay(t *testing.T) {
	r := newRealm(t)
	app := r.app(sscc.AppRequest{})
	a := r.phone(app).account(protocol.ModeHardened)
	for range 2 {
		_, err := a.evaluate()
		r.must(err)
	}
	old := a.phone
	a.phone = r.phone(app)
	r.must(a.rebind())
	ans, err := a.evaluate()
	r.must(err)
	if ans.Tries.Used != 3 || ans.Tries.Held[0].Device != old.peer.Device || ans.Tries.Held[2].Device != a.peer.Device {
		t.Fatalf("after the rebind %+v", ans.Tries)
	}
	c, err := r.Confirm(bg, a.peer, a.confirm(held(ans.Tries)...))
	r.must(err)
	if c.Tries.Used != 2 {
		t.Fatalf("%d tries held, want the two of the old device", c.Tries.Used)
	}
	_, err = r.Fetch(bg, old.peer, protocol.FetchRequest{User: a.user, Gen: 1, Attempt: newID()})
	want(t, err, core.Refused)
	// The next Commit must be a revoke.
	q, _ := a.replace(nil)
	_, err = r.Prepare(bg, a.peer, q)
	want(t, err, core.Policy)
	a.epoch, a.conf = 1, a.before
	q, commit := a.replace(func(a *account) { a.pol.MKGen++ })
	_, err = r.Prepare(bg, a.peer, q)
	r.must(err)
	_, err = r.Commit(bg, a.peer, commit)
	r.must(err)
	if used := a.status().Tries.Used; used != 0 {
		t.Fatalf("%d tries after the revoke with a new oprf key", used)
	}
	q, commit = a.replace(nil)
	_, err = r.Prepare(bg, a.peer, q)
	r.must(err)
	_, err = r.Commit(bg, a.peer, commit)
	r.must(err)
}

// rebindRequest asks for a challenge and signs with the recovery key.
func (a *account) rebindRequest(k *sm.PrivateKey, holder string) protocol.RebindRequest {
	a.r.t.Helper()
	c, err := a.r.Challenge(bg, a.peer, protocol.ChallengeRequest{User: a.user})
	a.r.must(err)
	q := protocol.RebindRequest{User: a.user, Gen: a.epoch, Holder: holder, Challenge: c.Challenge}
	q.Sig = a.sign(k, protocol.RebindMessage(a.r.id, a.peer.App, a.user, q.Gen, holder, a.peer.Key, q.Challenge), protocol.RebindID)
	return q
}

func (a *account) rebind() error { return a.r.Rebind(bg, a.peer, a.rebindRequest(a.rec, "recovery")) }

// Rebind and RecoverPolicy want a fresh challenge, the recovery holder and its key.
func TestRebindRefuses(t *testing.T) {
	r := newRealm(t)
	app := r.app(sscc.AppRequest{})
	a := r.phone(app).account(protocol.ModeHardened)
	a.phone = r.phone(app)
	good := a.rebindRequest(a.rec, "recovery")
	pol, err := r.RecoverPolicy(bg, a.peer, good)
	r.must(err)
	if pol.Gen != 1 || len(pol.Policy) == 0 {
		t.Fatalf("recovered %+v", pol)
	}
	_, err = a.evaluate()
	want(t, err, core.Refused) // reading is not binding
	other := r.phone(app)
	for name, q := range map[string]protocol.RebindRequest{
		"another key":    a.rebindRequest(newKey(t), "recovery"),
		"device holder":  a.rebindRequest(a.key, "device"),
		"unknown holder": a.rebindRequest(a.rec, "nobody"),
		"old generation": func() protocol.RebindRequest { q := good; q.Gen = 0; return q }(),
		"no challenge":   func() protocol.RebindRequest { q := good; q.Challenge = protocol.Hash{}; return q }(),
	} {
		if err := r.Rebind(bg, a.peer, q); core.CodeOf(err) != core.Refused {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := r.RecoverPolicy(bg, a.peer, q); core.CodeOf(err) != core.Refused {
			t.Errorf("%s: recovered, %v", name, err)
		}
	}
	want(t, r.Rebind(bg, other.peer, good), core.Refused)
	r.clock.move(3 * time.Minute)
	want(t, r.Rebind(bg, a.peer, good), core.Refused)
	r.must(a.rebind())
	r.must(a.rebind())
	_, err = a.evaluate()
	r.must(err)
}
