package sscc_test

import (
	"bytes"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/oprf"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sscc"
)

// A user's whole life in plain mode.
// req: X-13, S-18, S-19
func TestPlainFlow(t *testing.T) {
	r := newRealm(t)
	a := r.phone(r.app(sscc.AppRequest{})).account(protocol.ModePlain)
	pol, err := r.Policy(bg, a.peer, protocol.PolicyRequest{User: a.user})
	r.must(err)
	if pol.Gen != 1 || pol.Pubs != a.pubs || pol.Tries.Used != 0 {
		t.Fatalf("policy answer %+v", pol)
	}
	got, err := a.fetch()
	r.must(err)
	if !bytes.Equal(got.Sealed, a.blob) || got.Seq != 1 || got.Tries.Used != 1 || len(got.Tries.Since) != 1 {
		t.Fatalf("fetch answer %+v", got)
	}
	conf, err := r.Confirm(bg, a.peer, a.confirm(held(got.Tries)...))
	r.must(err)
	if conf.Tries.Used != 0 || conf.Tries.Seq != 1 {
		t.Fatalf("confirm answer %+v", conf)
	}
	st := a.status()
	if st.Mode != protocol.ModePlain || len(st.Reads) != 1 || st.Reads[0].Device != a.peer.Device || st.Pending {
		t.Fatalf("status %+v", st)
	}
	q, c := a.replace(nil)
	_, err = r.Prepare(bg, a.peer, q)
	r.must(err)
	if !a.status().Pending {
		t.Fatal("a staged record is not shown")
	}
	_, err = r.Commit(bg, a.peer, c)
	r.must(err)
	got, err = a.fetch()
	r.must(err)
	if !bytes.Equal(got.Sealed, a.blob) || got.Seq != 2 {
		t.Fatalf("after the replacement %+v", got)
	}
	r.must(r.Deregister(bg, a.peer, a.removal(true)))
	r.must(r.Deregister(bg, a.peer, a.removal(true)))
	_, err = a.fetch()
	want(t, err, core.Refused)
	want(t, r.Unbind(bg, a.peer, a.removal(false)), core.Refused)
}

// Hardened mode gives what the client's OPRF expects, with and without proof.
func TestHardenedFlow(t *testing.T) {
	r := newRealm(t)
	a := r.phone(r.app(sscc.AppRequest{})).account(protocol.ModeHardened)
	in := []byte("factors")
	b, err := oprf.Blind(nil, in)
	r.must(err)
	q := protocol.EvaluateRequest{User: a.user, Gen: 1, Attempt: newID(), Blinded: b.Element()}
	ans, err := r.Evaluate(bg, a.peer, q)
	r.must(err)
	u, err := b.Finalize(ans.Evaluated)
	r.must(err)
	full, err := oprf.FullEvaluate(a.oprf, in)
	r.must(err)
	if !u.Equal(full) || ans.Tries.Used != 1 || !bytes.Equal(ans.Sealed, a.blob) {
		t.Fatal("the evaluation is not the local one")
	}
	q.WantProof = true
	again, err := r.Evaluate(bg, a.peer, q)
	r.must(err)
	if again.Evaluated != ans.Evaluated || again.Seq != ans.Seq || again.Tries.Used != 1 {
		t.Fatal("the same attempt got another answer")
	}
	r.must(oprf.VerifyProof(*a.pol.Escrow.Realms[0].K, q.Blinded, again.Evaluated, [64]byte(again.Proof)))
	_, err = r.Fetch(bg, a.peer, protocol.FetchRequest{User: a.user, Gen: 1, Attempt: newID()})
	want(t, err, core.State)
	for _, bad := range []protocol.Point{{}, {5}, {4, 1}} {
		q.Blinded, q.Attempt = bad, newID()
		_, err = r.Evaluate(bg, a.peer, q)
		want(t, err, core.Invalid)
	}
	if used := a.status().Tries.Used; used != 1 {
		t.Fatalf("malformed elements were counted: %d", used)
	}
}
