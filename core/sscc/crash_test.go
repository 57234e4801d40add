package sscc_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sscc"
)

// killed is what a step panics with in place of a kill -9: nothing after the
// point runs, and a new process opens the same backend.
type killed string

// dies runs fn, which must not come past the step named at.
func (r *realm) dies(at string, fn func()) {
	r.t.Helper()
	r.kill = at
	defer func() {
		r.kill = ""
		switch x := recover().(type) {
		case killed:
			r.Server = r.replica()
		case nil:
			r.t.Fatalf("step %s was not reached", at)
		default:
			panic(x)
		}
	}()
	fn()
}

// killable is a realm whose steps can kill it.
func killable(t *testing.T) *realm {
	var r *realm
	r = newRealm(t, func(c *sscc.Config) {
		c.Step = func(name string) {
			if r != nil && r.kill == name {
				panic(killed(name))
			}
		}
	})
	return r
}

// A crash on the way of a try: before the count nothing happened, after it the
// same attempt gets its answer and is counted once (I1, I2).
func TestCrashInTry(t *testing.T) {
	for at, used := range map[string]uint32{"try.before": 0, "try.counted": 1} {
		r := killable(t)
		a := r.phone(r.app(sscc.AppRequest{})).account(protocol.ModePlain)
		att := newID()
		r.dies(at, func() { _, _ = a.fetchAs(att) })
		if n := a.status().Tries.Used; n != used {
			t.Fatalf("%s: %d tries counted, want %d", at, n, used)
		}
		ans, err := a.fetchAs(att)
		r.must(err)
		if ans.Seq != 1 || ans.Tries.Used != 1 {
			t.Fatalf("%s: the repeat got try %d of %d", at, ans.Seq, ans.Tries.Used)
		}
	}
}

// A crash at each step of storing leaves exactly one usable record, and the
// same requests again end in the same user.
// req: K-6.2-02a, K-7.1-09b, K-17.1-D1
func TestCrashInStore(t *testing.T) {
	for _, at := range []string{"prepare.stored", "commit.stored", "commit.marked"} {
		for _, replace := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s replace=%v", at, replace), func(t *testing.T) {
				r := killable(t)
				p := r.phone(r.app(sscc.AppRequest{}))
				a := p.newAccount(protocol.ModeHardened)
				q := a.prepare()
				c := a.commit(q, a.conf)
				if replace {
					a = p.account(protocol.ModeHardened)
					_, err := a.evaluate()
					r.must(err)
					q, c = a.replace(nil)
				}
				run := func() protocol.CommitAnswer {
					_, err := r.Prepare(bg, p.peer, q)
					r.must(err)
					ans, err := r.Commit(bg, p.peer, c)
					r.must(err)
					return ans
				}
				r.dies(at, func() { run() })
				if replace { // whichever generation is served, it is served whole
					pol, err := r.Policy(bg, p.peer, protocol.PolicyRequest{User: a.user})
					r.must(err)
					if (pol.Gen == 2) != bytes.Equal(pol.Policy, q.Policy) {
						t.Fatalf("generation %d with another policy", pol.Gen)
					}
				}
				ans := run()
				a.user = ans.User
				if again := run(); again != ans {
					t.Fatalf("a repeat answers %+v, before %+v", again, ans)
				}
				got, err := a.evaluate()
				r.must(err)
				if !bytes.Equal(got.Sealed, a.blob) || ans.Gen != a.epoch {
					t.Fatal("the committed record is not the one served")
				}
				r.admin(func(tok sscc.Token) {
					us, _, err := r.Users(bg, tok, nil, 10)
					r.must(err)
					if len(us) != 1 {
						t.Fatalf("%d records, want one", len(us))
					}
				})
			})
		}
	}
}

// A crash in a removal or a confirmation: the repeat ends it.
func TestCrashInRemoval(t *testing.T) {
	r := killable(t)
	p := r.phone(r.app(sscc.AppRequest{}))
	a := p.account(protocol.ModePlain)
	_, err := a.fetch()
	r.must(err)
	c := a.confirm(held(a.status().Tries)...)
	r.dies("confirm.applied", func() { _, _ = r.Confirm(bg, p.peer, c) })
	ans, err := r.Confirm(bg, p.peer, c)
	r.must(err)
	if ans.Tries.Used != 0 {
		t.Fatalf("%d tries held", ans.Tries.Used)
	}
	r.dies("remove.stored", func() { _ = r.Unbind(bg, p.peer, a.removal(false)) })
	r.must(r.Unbind(bg, p.peer, a.removal(false)))
	_, err = a.fetch()
	want(t, err, core.Refused)
}

// A crash between the ticket's use and the device's record: the same request
// again makes it good, another device gets nothing.
func TestCrashInEnrolment(t *testing.T) {
	r := killable(t)
	et := r.ticket(r.app(sscc.AppRequest{}))
	id, key := newID(), newKey(t)
	q := r.enrolRequest(et, id, key)
	r.dies("enrol.claimed", func() { _, _ = r.Enrol(bg, q) })
	_, err := r.Enrol(bg, r.enrolRequest(et, newID(), newKey(t)))
	want(t, err, core.Refused)
	_, err = r.Enrol(bg, q)
	r.must(err)
}

// A backend that loses compare-and-sets, answers late or leaves outcomes open
// costs time, never an error or a count (I3).
func TestUnsteadyBackend(t *testing.T) {
	r := newRealm(t)
	a := r.phone(r.app(sscc.AppRequest{Limit: 10})).account(protocol.ModePlain)
	n := 0
	r.b.fault = func(core.Mutation) error {
		n++
		switch n % 4 {
		case 0:
			return core.Errorf(core.Conflict, "table", "lost")
		case 1:
			return core.Errorf(core.Indeterminate, "table", "not sent, perhaps")
		}
		return nil
	}
	r.b.after = func(core.Mutation) error {
		if n%3 == 0 {
			return core.Errorf(core.Indeterminate, "table", "applied, perhaps")
		}
		return nil
	}
	for i := range 8 {
		ans, err := a.fetch()
		r.must(err)
		if ans.Seq != uint32(i+1) || ans.Tries.Used != uint32(i+1) {
			t.Fatalf("try %d was counted as %d of %d", i+1, ans.Seq, ans.Tries.Used)
		}
	}
	r.b.after = nil
	r.b.fault = func(core.Mutation) error { return core.Errorf(core.Unavailable, "table", "down") }
	_, err := a.fetch()
	want(t, err, core.Unavailable)
	r.b.fault = nil
	if used := a.status().Tries.Used; used != 8 {
		t.Fatalf("%d tries, want 8: an unavailable backend counted", used)
	}
}

// Two fetches of the sealed keys never race the count: with the backend down
// after the count nothing leaves, and the repeat gets it.
func TestNoAnswerWithoutCount(t *testing.T) {
	r := newRealm(t)
	a := r.phone(r.app(sscc.AppRequest{})).account(protocol.ModePlain)
	open := func(core.Mutation) error { return core.Errorf(core.Indeterminate, "table", "applied, perhaps") }
	r.b.after = func(m core.Mutation) error {
		r.b.fault = open
		return open(m)
	}
	att := newID()
	ans, err := a.fetchAs(att)
	if err == nil || ans.Sealed != nil {
		t.Fatal("an answer left while the count was open")
	}
	r.b.after, r.b.fault = nil, nil
	ans, err = a.fetchAs(att)
	r.must(err)
	if ans.Seq != 1 {
		t.Fatalf("the repeat is try %d", ans.Seq)
	}
}
