package sscc_test

import (
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sscc"
)

// A store that says it was restored freezes its users once, whoever opens it,
// and also when SS-CC is killed while it does.
// req: X-15
func TestRestored(t *testing.T) {
	r := killable(t)
	a := r.phone(r.app(sscc.AppRequest{})).account(protocol.ModeHardened)
	r.must(r.Close())
	m := sscc.RestoredMark()
	res, err := r.b.CommitMany(bg, []core.Mutation{{Key: m.Key, Op: core.OpPut, Hot: m.Hot}})
	r.must(err)
	r.must(res[0].Err)
	r.dies("restore.frozen", func() { r.Server = r.start(); _ = r.Unseal(bg, password(adminPassword)) })
	_, err = a.evaluate()
	want(t, err, core.Locked)
	var freezes uint32
	r.admin(func(tok sscc.Token) {
		u, err := r.FindUser(bg, tok, a.user)
		r.must(err)
		if u.State != "frozen" {
			t.Fatalf("state %s", u.State)
		}
		d, err := r.Describe(bg, tok)
		r.must(err)
		freezes = d.Freezes
		r.must(r.UnlockUser(bg, tok, a.phone.peer.App, a.user))
	})
	_, err = a.evaluate()
	r.must(err)
	r.must(r.Close())
	r.Server = r.replica()
	r.admin(func(tok sscc.Token) {
		d, err := r.Describe(bg, tok)
		r.must(err)
		if d.Freezes != freezes {
			t.Fatalf("frozen %d times, %d before: the mark stayed", d.Freezes, freezes)
		}
	})
	if !has(r.audit(), "rollback") {
		t.Fatal("the log does not tell the restore")
	}
	id, err := sscc.BootRealm(must1(r.b.GetMany(bg, []core.Key{sscc.BootKey()}, core.ReadOpts{}))[0])
	r.must(err)
	if id != r.id {
		t.Fatal("the boot record tells another realm")
	}
}

func must1[A any](a A, err error) A {
	if err != nil {
		panic(err)
	}
	return a
}
