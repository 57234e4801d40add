package mstcc_test

import (
	"context"
	"errors"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/oprf"
	"github.com/keposs/keposs/core/protocol"
)

// liar is an SS-CC that answers Evaluate and Policy as it likes.
type liar struct {
	mstcc.Escrow
	evaluate func(protocol.EvaluateRequest, protocol.EvaluateAnswer) protocol.EvaluateAnswer
	policy   func(protocol.PolicyAnswer) protocol.PolicyAnswer
	counted  int // Evaluate calls without a proof
}

func (l *liar) Evaluate(ctx context.Context, r protocol.EvaluateRequest) (protocol.EvaluateAnswer, error) {
	if !r.WantProof {
		l.counted++
	}
	a, err := l.Escrow.Evaluate(ctx, r)
	if err == nil && l.evaluate != nil {
		a = l.evaluate(r, a)
	}
	return a, err
}

func (l *liar) Policy(ctx context.Context, r protocol.PolicyRequest) (protocol.PolicyAnswer, error) {
	a, err := l.Escrow.Policy(ctx, r)
	if err == nil && l.policy != nil {
		a = l.policy(a)
	}
	return a, err
}

// lied is a terminal of a hardened user whose SS-CC is turned into l.
func lied(t *testing.T, l *liar) (*terminal, *mstcc.Module) {
	t.Helper()
	x, m := started(t, "pin", protocol.ModeHardened)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	cfg := x.config()
	cfg.OPRF = mstcc.NewOPRF()
	dial := cfg.Dial
	cfg.Dial = func(ctx context.Context) (e mstcc.Escrow, err error) {
		l.Escrow, err = dial(ctx)
		return l, err
	}
	m, err := mstcc.Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return x, m
}

// An SS-CC that evaluates with another key, sends what is no element, or keeps
// its proof back is Refused, never told as a wrong factor, and the terminal
// takes its own count back; once it is honest the user signs.
// req
func TestMaliciousEvaluate(t *testing.T) {
	other, err := oprf.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Wipe()
	with := func(k *oprf.Key, prove bool) func(protocol.EvaluateRequest, protocol.EvaluateAnswer) protocol.EvaluateAnswer {
		return func(r protocol.EvaluateRequest, a protocol.EvaluateAnswer) protocol.EvaluateAnswer {
			e, proof, err := oprf.EvaluateWithProof(nil, k, r.Blinded)
			if err != nil {
				t.Error(err)
			}
			a.Evaluated, a.Proof = e, nil
			if prove && r.WantProof {
				a.Proof = proof[:]
			}
			return a
		}
	}
	sends := func(e protocol.Point) func(protocol.EvaluateRequest, protocol.EvaluateAnswer) protocol.EvaluateAnswer {
		return func(_ protocol.EvaluateRequest, a protocol.EvaluateAnswer) protocol.EvaluateAnswer {
			a.Evaluated = e
			return a
		}
	}
	off := protocol.Point{0: 2, 32: 5}
	for x := byte(0); ; x++ { // the first x that is on no point
		off[32] = x
		if _, err := oprf.Evaluate(other, off); err != nil {
			break
		}
	}
	big := protocol.Point{0: 2}
	for i := 1; i < len(big); i++ {
		big[i] = 0xff
	}
	honest := 0
	for _, c := range []struct {
		name string
		lie  func(protocol.EvaluateRequest, protocol.EvaluateAnswer) protocol.EvaluateAnswer
	}{
		{"another key, its own proof", with(other, true)},
		{"another key, no proof", with(other, false)},
		{"off the curve", sends(off)},
		{"not canonical", sends(big)},
		{"the identity", sends(protocol.Point{})},
		{"right when asked for a proof only", func(r protocol.EvaluateRequest, a protocol.EvaluateAnswer) protocol.EvaluateAnswer {
			if r.WantProof {
				return a
			}
			return with(other, false)(r, a)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &liar{evaluate: c.lie}
			_, m := lied(t, l)
			err := opensWith(m, alice, "pin")
			if !errors.Is(err, core.Refused) || errors.Is(err, core.Auth) {
				t.Errorf("%v, want refused", err)
			}
			st, err := m.Status(ctx, false)
			if err != nil || st.Used != 0 {
				t.Errorf("%d tries used here, want 0 (%v)", st.Used, err)
			}
			if l.counted != 1 {
				t.Errorf("%d counted tries, want 1", l.counted)
			}
			l.evaluate = nil
			if err := opensWith(m, alice, "pin"); err != nil {
				t.Errorf("once SS-CC is honest: %v", err)
			}
			honest++
		})
	}
	if honest == 0 {
		t.Error("nothing was tried")
	}
}

// An honest proof leaves a wrong PIN what it is: Auth, and counted.
// req: K-15.4-L2b
func TestHonestProofIsAuth(t *testing.T) {
	_, m := lied(t, &liar{})
	if err := opensWith(m, alice.but("pin", "000111"), "pin"); !errors.Is(err, core.Auth) {
		t.Errorf("%v, want auth", err)
	}
	if st, err := m.Status(ctx, false); err != nil || st.Used != 1 {
		t.Errorf("%d tries used, want 1 (%v)", st.Used, err)
	}
}

// A swapped policy, another user's or another key in it, ends before anything
// is asked or counted.
// req: K-7.2-02, X-25
func TestMaliciousPolicy(t *testing.T) {
	y, _ := started(t, "pin", protocol.ModeHardened)
	foreign := y.srv.rec.policy
	for name, swap := range map[string]func([]byte) []byte{
		"another user's": func([]byte) []byte { return foreign },
		"none":           func([]byte) []byte { return nil },
	} {
		l := &liar{policy: func(a protocol.PolicyAnswer) protocol.PolicyAnswer {
			a.Policy = swap(a.Policy)
			return a
		}}
		_, m := lied(t, l)
		h := &person{enter: alice}
		_, _, err := m.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{}, h)
		if !errors.Is(err, core.Policy) || len(h.asked) != 0 || l.counted != 0 {
			t.Errorf("%s: %v, asked %v, %d tries", name, err, h.asked, l.counted)
		}
	}
}
