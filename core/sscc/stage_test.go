package sscc_test

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/oprf"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sscc"
)

// A lost answer to Commit is asked for again: the same user id, one record.
// req: K-7.1-D1, K-7.1-09a
func TestCommitIsIdempotent(t *testing.T) {
	r := newRealm(t)
	p := r.phone(r.app(sscc.AppRequest{}))
	a := p.newAccount(protocol.ModePlain)
	q := a.prepare()
	c := a.commit(q, a.conf)
	_, err := r.Commit(bg, p.peer, c)
	want(t, err, core.NotFound)
	one, err := r.Prepare(bg, p.peer, q)
	r.must(err)
	r.clock.move(time.Minute)
	two, err := r.Prepare(bg, p.peer, q)
	r.must(err)
	if one != two {
		t.Fatal("the same Prepare was staged twice")
	}
	first, err := r.Commit(bg, p.peer, c)
	r.must(err)
	if first.User.IsZero() || first.Gen != 1 {
		t.Fatalf("answer %+v", first)
	}
	for range 3 {
		again, err := r.Commit(bg, p.peer, c)
		r.must(err)
		if again != first {
			t.Fatalf("a repeat answers %+v, the first %+v", again, first)
		}
		r.clock.move(48 * time.Hour)
	}
	// Another user of the same device does not make the first one's repeat fail.
	other := p.account(protocol.ModePlain)
	again, err := r.Commit(bg, p.peer, c)
	r.must(err)
	if again != first || other.user == first.User {
		t.Fatal("the two users of one device were mixed up")
	}
	// Several replicas, the same Commit at the same moment.
	b := p.newAccount(protocol.ModePlain)
	q = b.prepare()
	c = b.commit(q, b.conf)
	_, err = r.Prepare(bg, p.peer, q)
	r.must(err)
	servers := []*sscc.Server{r.Server, r.replica(), r.replica()}
	ids := make([]protocol.ID, 12)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			ans, err := servers[i%3].Commit(bg, p.peer, c)
			if err != nil {
				t.Error(err)
			}
			ids[i] = ans.User
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatal("one Commit made several users")
		}
	}
	n := 0
	r.admin(func(tok sscc.Token) {
		us, next, err := r.Users(bg, tok, nil, 100)
		r.must(err)
		if n = len(us); next != nil {
			t.Fatal("a short list goes on")
		}
	})
	if n != 3 {
		t.Fatalf("%d users, want 3", n)
	}
}

// What is staged is not served, expires, is replaced by the device's next
// Prepare, and its key cannot be used for other bytes.
func TestStaging(t *testing.T) {
	r := newRealm(t)
	p := r.phone(r.app(sscc.AppRequest{}))
	a := p.account(protocol.ModePlain)
	served := bytes.Clone(a.blob)
	q, c := a.replace(nil)
	_, err := r.Prepare(bg, p.peer, q)
	r.must(err)
	got, err := r.Fetch(bg, p.peer, protocol.FetchRequest{User: a.user, Gen: 1, Attempt: newID()})
	r.must(err)
	if !bytes.Equal(got.Sealed, served) {
		t.Fatal("a staged record is served")
	}
	other := q
	other.Sealed = []byte("other")
	_, err = r.Prepare(bg, p.peer, other)
	want(t, err, core.Invalid)
	r.clock.move(25 * time.Hour)
	_, err = r.Commit(bg, p.peer, c)
	want(t, err, core.NotFound)
	if a.status().Pending {
		t.Fatal("an expired record is shown as pending")
	}
	_, err = r.Prepare(bg, p.peer, q)
	r.must(err)
	newer := q
	newer.Idem = newID()
	_, err = r.Prepare(bg, p.peer, newer)
	r.must(err)
	_, err = r.Commit(bg, p.peer, c)
	want(t, err, core.NotFound)
	// A device sees only what it staged itself.
	stranger := r.phone(p.peer.App)
	_, err = r.Commit(bg, stranger.peer, protocol.CommitRequest{Idem: newer.Idem, Proof: c.Proof})
	want(t, err, core.NotFound)
}

// Every rule of Prepare, by one wrong request each.
func TestPrepareRefuses(t *testing.T) {
	r := newRealm(t)
	p := r.phone(r.app(sscc.AppRequest{}))
	plain, hard := p.account(protocol.ModePlain), p.account(protocol.ModeHardened)
	other := r.phone(p.peer.App)
	k, err := oprf.GenerateKey(nil)
	r.must(err)
	for _, c := range []struct {
		name string
		a    *account
		edit func(*account, *protocol.PrepareRequest)
		pol  func(*account)
		want core.Code
	}{
		{"no idempotency key", plain, func(_ *account, q *protocol.PrepareRequest) { q.Idem = protocol.ID{} }, nil, core.Invalid},
		{"no sealed keys", plain, func(_ *account, q *protocol.PrepareRequest) { q.Sealed = nil }, nil, core.Invalid},
		{"sealed keys too long", plain, func(_ *account, q *protocol.PrepareRequest) { q.Sealed = make([]byte, protocol.MaxSealed+1) }, nil, core.TooLarge},
		{"policy too long", plain, func(_ *account, q *protocol.PrepareRequest) { q.Policy = make([]byte, protocol.MaxPolicy+1) }, nil, core.TooLarge},
		{"policy malformed", plain, func(_ *account, q *protocol.PrepareRequest) { q.Policy = q.Policy[1:] }, nil, core.Policy},
		{"init with a user", plain, func(_ *account, q *protocol.PrepareRequest) { q.Init = true }, nil, core.Invalid},
		{"replace without old generation", plain, func(_ *account, q *protocol.PrepareRequest) { q.OldGen = 0 }, nil, core.Invalid},
		{"stale generation", plain, func(_ *account, q *protocol.PrepareRequest) { q.OldGen = 7; q.NewGen = 9 }, func(a *account) { a.pol.Epoch = 9 }, core.State},
		{"generation is not the epoch", plain, func(_ *account, q *protocol.PrepareRequest) { q.NewGen++ }, nil, core.Invalid},
		{"generation goes back", plain, func(_ *account, q *protocol.PrepareRequest) { q.OldGen = 1; q.NewGen = 1 }, func(a *account) { a.pol.Epoch = 1 }, core.Invalid},
		{"another realm", plain, nil, func(a *account) { a.pol.Escrow.Realms[0].ID = newID() }, core.Invalid},
		{"another device", plain, nil, func(a *account) { a.pol.Anchor[0].P = other.peer.Key }, core.Invalid},
		{"public keys not the policy's", plain, func(_ *account, q *protocol.PrepareRequest) { q.Pubs.Sign = point(newKey(t)) }, nil, core.Invalid},
		{"P_M changed", plain, nil, func(a *account) {
			a.pubs.Sign = point(newKey(t))
			a.pol.Pubs = protocol.Hash(sum(a.pubs.Encode()))
		}, core.Policy},
		{"key id changed", plain, nil, func(a *account) { a.pol.KeyID = newID() }, core.Policy},
		{"mk generation jumps", plain, nil, func(a *account) { a.pol.MKGen += 2 }, core.Policy},
		{"mk generation goes back", plain, nil, func(a *account) { a.pol.MKGen = 7 }, core.Policy},
		{"P_conf is no point", plain, nil, func(a *account) { a.pol.PConf = protocol.Point{9} }, core.Policy},
		{"plain with an oprf key", plain, func(_ *account, q *protocol.PrepareRequest) { q.OPRFKey = make([]byte, 32) }, nil, core.Invalid},
		{"another oprf key", hard, func(_ *account, q *protocol.PrepareRequest) { q.OPRFKey = k.Bytes().Bytes() }, nil, core.Invalid},
		{"no oprf key for a new K", hard, func(_ *account, q *protocol.PrepareRequest) { q.OPRFKey = nil }, nil, core.Invalid},
		{"short oprf key", hard, func(_ *account, q *protocol.PrepareRequest) { q.OPRFKey = q.OPRFKey[1:] }, nil, core.Invalid},
		{"hardened becomes plain", hard, func(_ *account, q *protocol.PrepareRequest) { q.OPRFKey = nil }, func(a *account) {
			a.pol.Escrow = mf.Escrow{Mode: protocol.ModePlain, T: 1, N: 1, Realms: []mf.Realm{{ID: r.id, Index: 1}}}
		}, core.Policy},
	} {
		t.Run(c.name, func(t *testing.T) {
			keep, pol := *c.a, *c.a.pol
			esc := pol.Escrow
			esc.Realms = append([]mf.Realm(nil), esc.Realms...)
			defer func() { pol.Escrow = esc; *c.a.pol = pol; keep.pol = c.a.pol; *c.a = keep }()
			q, _ := c.a.replace(c.pol)
			if c.edit != nil {
				c.edit(c.a, &q)
			}
			_, err := r.Prepare(bg, p.peer, q)
			want(t, err, c.want)
		})
	}
	q, _ := plain.replace(nil)
	_, err = r.Prepare(bg, other.peer, q)
	want(t, err, core.Refused)
	unknown := q
	unknown.User = newID()
	_, err = r.Prepare(bg, p.peer, unknown)
	want(t, err, core.Refused)
}

// The proof of a replacement is the confirm key in force, of an initialisation
// the new one; every field is under it.
// req: K-15-01a
func TestCommitProof(t *testing.T) {
	r := newRealm(t)
	p := r.phone(r.app(sscc.AppRequest{}))
	a := p.account(protocol.ModePlain)
	old := a.conf
	q, c := a.replace(nil)
	_, err := r.Prepare(bg, p.peer, q)
	r.must(err)
	wrong := a.commit(q, a.conf) // signed by the new key
	_, err = r.Commit(bg, p.peer, wrong)
	want(t, err, core.Refused)
	for _, edit := range []func(*protocol.PrepareRequest){
		func(q *protocol.PrepareRequest) { q.OldGen++ }, func(q *protocol.PrepareRequest) { q.NewGen++ },
		func(q *protocol.PrepareRequest) { q.Sealed = []byte{1} }, func(q *protocol.PrepareRequest) { q.Policy = []byte{1} },
		func(q *protocol.PrepareRequest) { q.OPRFKey = []byte{1} }, func(q *protocol.PrepareRequest) { q.User = protocol.ID{} },
	} {
		x := q
		edit(&x)
		bad := a.commit(x, old)
		bad.User, bad.Idem = q.User, q.Idem
		_, err = r.Commit(bg, p.peer, bad)
		want(t, err, core.Refused)
	}
	if a.status().Gen != 1 {
		t.Fatal("a refused Commit changed the record")
	}
	_, err = r.Commit(bg, p.peer, c)
	r.must(err)
	if a.status().Gen != 2 {
		t.Fatal("the Commit is not served")
	}
	n := p.newAccount(protocol.ModePlain)
	q = n.prepare()
	_, err = r.Prepare(bg, p.peer, q)
	r.must(err)
	_, err = r.Commit(bg, p.peer, n.commit(q, a.conf))
	want(t, err, core.Refused)
}

// What a Commit does to the count: a new OPRF key starts a new one, everything
// else keeps it (I4); plain may become hardened.
func TestCommitAndCount(t *testing.T) {
	r := newRealm(t)
	p := r.phone(r.app(sscc.AppRequest{}))
	do := func(a *account, edit func(*account), keep bool) {
		t.Helper()
		q, c := a.replace(edit)
		if keep {
			q.OPRFKey = nil
			c = a.commit(q, a.before)
		}
		_, err := r.Prepare(bg, p.peer, q)
		r.must(err)
		_, err = r.Commit(bg, p.peer, c)
		r.must(err)
	}
	plain := p.account(protocol.ModePlain)
	for range 3 {
		_, err := plain.fetch()
		r.must(err)
	}
	do(plain, nil, false)
	if used := plain.status().Tries.Used; used != 3 {
		t.Fatalf("a plain replacement leaves %d tries, want 3", used)
	}
	do(plain, func(a *account) { a.harden() }, false)
	st := plain.status()
	if st.Tries.Used != 0 || st.Mode != protocol.ModeHardened || st.Tries.Seq != 3 {
		t.Fatalf("after the change to hardened %+v", st)
	}
	hard := p.account(protocol.ModeHardened)
	for range 5 {
		_, err := hard.evaluate()
		r.must(err)
	}
	_, err := hard.evaluate()
	want(t, err, core.Locked)
	key := hard.oprf
	do(hard, func(a *account) { a.setOPRF(key) }, true)
	if st := hard.status(); st.Tries.Used != 5 || !st.Tries.Locked {
		t.Fatalf("a V-only replacement changed the count: %+v", st.Tries)
	}
	do(hard, nil, false)
	if st := hard.status(); st.Tries.Used != 0 || st.Tries.Locked || st.Tries.Seq != 5 {
		t.Fatalf("a new oprf key did not start a new count: %+v", st.Tries)
	}
	_, err = hard.evaluate()
	r.must(err)
}
