package mstcc_test

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
)

// ppd is what a person gives, by label.
type ppd map[string]string

// but returns p with one answer changed.
func (p ppd) but(label, v string) ppd {
	out := maps.Clone(p)
	out[label] = v
	return out
}

// a person answers entries from one map and enrolments from another, and
// remembers what was asked.
type person struct {
	enter, enrol ppd
	asked        []string // "enter pin", "enrol face"
}

func (h *person) Ask(_ context.Context, p core.Prompt) (core.Sample, error) {
	from, how := h.enter, "enter "
	if p.Purpose != core.PurposeRecover {
		from, how = h.enrol, "enrol "
	}
	h.asked = append(h.asked, how+p.Label)
	v, ok := from[p.Label]
	if !ok {
		return core.Sample{}, core.Errorf(core.Canceled, "test", "nobody expected to be asked to %s%s", how, p.Label)
	}
	return core.NewSample(p.Kinds[0], []byte(v)), nil
}

var alice = ppd{"pin": "135790", "gesture": "1-2-3-6", "face": "a face", "fingerprint": "a finger", "pin:work": "8642"}

func parse(t testing.TB, text string) *policy.Tree {
	t.Helper()
	tree, err := policy.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// started returns a terminal with alice initialised under the policy.
func started(t *testing.T, text string, mode protocol.Mode) (*terminal, *mstcc.Module) {
	t.Helper()
	x := newTerminal(t)
	x.prof.Mode = mode
	m := x.open()
	if _, err := m.Initialize(ctx, request(t, text), &person{enrol: alice}); err != nil {
		t.Fatal(err)
	}
	return x, m
}

// opensWith signs with the factors named.
func opensWith(m *mstcc.Module, who ppd, factors ...string) error {
	_, _, err := m.Sign(ctx, []byte("m"), nil, mstcc.OpenOptions{Factors: factors}, &person{enter: who})
	return err
}

var modes = []protocol.Mode{protocol.ModePlain, protocol.ModeHardened}

// A changed PIN: the new one opens, the old one does not, and no biometric is
// enrolled or even presented beyond the open itself (attack test 28).
// req: K-17.1-D1
func TestChangePIN(t *testing.T) {
	for _, mode := range modes {
		x, m := started(t, "pin & (face | fingerprint)", mode)
		open := mstcc.OpenOptions{Factors: []string{"pin", "face"}}
		req := mstcc.ChangeRequest{Replace: []string{"pin"}}
		pl, err := m.PlanChange(ctx, req, open)
		if err != nil || pl.Revoke || !slices.Equal(pl.Open, []string{"face", "pin"}) {
			t.Fatalf("%s: plan %+v, %v", mode, pl, err)
		}
		for _, n := range pl.Needs {
			if want := map[string]mf.NeedHow{"pin": mf.NeedEnrol}[n.Label]; n.How != want {
				t.Errorf("%s: %s of %s, want %s", mode, n.How, n.Label, want)
			}
		}
		fresh := alice.but("pin", "111222")
		h := &person{enter: alice, enrol: fresh}
		got, err := m.Change(ctx, req, open, h)
		if err != nil || got.Epoch != 2 || got.MKGen != 1 {
			t.Fatalf("%s: %+v, %v", mode, got, err)
		}
		slices.Sort(h.asked)
		if want := []string{"enrol pin", "enter face", "enter pin"}; !slices.Equal(h.asked, want) {
			t.Errorf("%s: asked %v, want %v", mode, h.asked, want)
		}
		if f := x.bio["fingerprint"]; f.enrolled != 1 || f.captured != 0 || x.bio["face"].enrolled != 1 {
			t.Errorf("%s: finger enrolled %d times, presented %d; face enrolled %d", mode, f.enrolled, f.captured, x.bio["face"].enrolled)
		}
		if err := opensWith(m, fresh, "pin", "fingerprint"); err != nil {
			t.Errorf("%s: new PIN and the untouched finger: %v", mode, err)
		}
		if err := opensWith(m, alice, "pin", "face"); !errors.Is(err, core.Auth) {
			t.Errorf("%s: the old PIN: %v, want auth", mode, err)
		}
		if m.State() != mstcc.User {
			t.Errorf("%s: state %s", mode, m.State())
		}
	}
}

// Each change of the list keeps the biometrics, asks exactly what its plan
// says, and leaves a policy that opens every way it should.
func TestChanges(t *testing.T) {
	raised := core.NewParams("cheap-test", core.Param{Key: "i", N: 4096})
	for _, c := range []struct {
		name   string
		req    mstcc.ChangeRequest
		policy string
		ways   [][]string
	}{
		{"raise cost", mstcc.ChangeRequest{KDF: &raised}, "pin & (face | fingerprint)", [][]string{{"pin", "face"}, {"pin", "fingerprint"}}},
		{"add", mstcc.ChangeRequest{Tree: parse(t, "pin & (face | fingerprint | gesture)")}, "pin & (face | fingerprint | gesture)",
			[][]string{{"pin", "face"}, {"pin", "fingerprint"}, {"pin", "gesture"}}},
		{"remove", mstcc.ChangeRequest{Tree: parse(t, "pin & face")}, "face & pin", [][]string{{"pin", "face"}}},
		{"set tree", mstcc.ChangeRequest{Tree: parse(t, "2 of (pin, face, fingerprint)")}, "2 of (face, fingerprint, pin)",
			[][]string{{"pin", "face"}, {"fingerprint", "face"}}},
		{"another finger", mstcc.ChangeRequest{Replace: []string{"fingerprint"}}, "pin & (face | fingerprint)", [][]string{{"pin", "fingerprint"}}},
		{"nothing", mstcc.ChangeRequest{}, "pin & (face | fingerprint)", [][]string{{"pin", "fingerprint"}}},
	} {
		for _, mode := range modes {
			t.Run(c.name+"/"+mode.String(), func(t *testing.T) {
				x, m := started(t, "pin & (face | fingerprint)", mode)
				open := mstcc.OpenOptions{Factors: []string{"pin", "face"}}
				pl, err := m.PlanChange(ctx, c.req, open)
				if err != nil || pl.Revoke {
					t.Fatalf("plan %+v, %v", pl, err)
				}
				want := []string{"enter face", "enter pin"}
				for _, n := range pl.Needs {
					if n.How != mf.NeedNothing {
						want = append(want, n.How.String()+" "+n.Label)
					}
				}
				h := &person{enter: alice, enrol: alice}
				got, err := m.Change(ctx, c.req, open, h)
				if err != nil {
					t.Fatal(err)
				}
				slices.Sort(want)
				slices.Sort(h.asked)
				if !slices.Equal(h.asked, want) {
					t.Errorf("asked %v, want %v", h.asked, want)
				}
				if parse(t, got.Policy).String() != parse(t, c.policy).String() {
					t.Errorf("policy %s, want %s", got.Policy, c.policy)
				}
				for _, way := range c.ways {
					if err := opensWith(m, alice, way...); err != nil {
						t.Errorf("%v: %v", way, err)
					}
				}
				again := 1
				if c.name == "another finger" {
					again = 2
				}
				if x.bio["face"].enrolled != 1 || x.bio["fingerprint"].enrolled != again {
					t.Errorf("face enrolled %d times, finger %d", x.bio["face"].enrolled, x.bio["fingerprint"].enrolled)
				}
				if c.req.KDF != nil {
					if st, _ := m.Status(ctx, true); st.KDF != raised.String() {
						t.Errorf("kdf %s", st.KDF)
					}
				}
			})
		}
	}
}

// Without boxes (level 2) a biometric that stays is presented once and never
// enrolled again; a slip in what is entered again is Auth and stores nothing.
// req: X-26
func TestChangeWithoutBoxes(t *testing.T) {
	for _, mode := range modes {
		x := newTerminal(t)
		x.prof.Level, x.prof.Mode = 2, mode
		m := x.open()
		if _, err := m.Initialize(ctx, request(t, "pin & (face | fingerprint)"), &person{enrol: alice}); err != nil {
			t.Fatal(err)
		}
		req, open := mstcc.ChangeRequest{Replace: []string{"pin"}}, mstcc.OpenOptions{Factors: []string{"pin", "face"}}
		fresh := alice.but("pin", "424242")
		slip := alice.but("fingerprint", "another finger")
		if _, err := m.Change(ctx, req, open, &person{enter: slip, enrol: fresh}); !errors.Is(err, core.Auth) {
			t.Fatalf("%s: a slip: %v, want auth", mode, err)
		}
		if n := x.srv.asked("prepare"); n != 1 {
			t.Errorf("%s: %d prepares, want only the initialisation's", mode, n)
		}
		if st, _ := m.Status(ctx, false); st.Used != 1 {
			t.Errorf("%s: %d tries used after the slip, want 1", mode, st.Used)
		}
		h := &person{enter: alice, enrol: fresh}
		if _, err := m.Change(ctx, req, open, h); err != nil {
			t.Fatal(err)
		}
		if f := x.bio["fingerprint"]; f.enrolled != 1 || f.captured != 2 {
			t.Errorf("%s: finger enrolled %d times, presented %d", mode, f.enrolled, f.captured)
		}
		if err := opensWith(m, fresh, "pin", "fingerprint"); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
	}
}

// The rules refuse before anybody is asked: a direct root and a tightened tree
// must run as a revoke, a lower cost and another KDF not at all.
func TestPlanSaysRevoke(t *testing.T) {
	x, m := started(t, "pin & gesture", protocol.ModePlain) // one set: direct
	pl, err := m.PlanChange(ctx, mstcc.ChangeRequest{Replace: []string{"pin"}}, mstcc.OpenOptions{})
	if err != nil || !pl.Revoke || pl.Why == "" || len(pl.Needs) != 2 {
		t.Fatalf("direct: %+v, %v", pl, err)
	}
	h := &person{enter: alice, enrol: alice}
	if _, err := m.Change(ctx, mstcc.ChangeRequest{Replace: []string{"pin"}}, mstcc.OpenOptions{}, h); !errors.Is(err, core.Policy) {
		t.Errorf("a change of a direct root: %v, want policy", err)
	}
	if slices.ContainsFunc(h.asked, func(s string) bool { return s[:5] == "enrol" }) || x.srv.asked("prepare") != 1 {
		t.Errorf("asked %v", h.asked)
	}
	_, w := started(t, "pin & (face | fingerprint)", protocol.ModePlain)
	if pl, err := w.PlanChange(ctx, mstcc.ChangeRequest{Tree: parse(t, "pin & face & fingerprint")}, mstcc.OpenOptions{}); err != nil || !pl.Revoke {
		t.Errorf("a tightened tree: %+v, %v", pl, err)
	}
	low, other := core.NewParams("cheap-test", core.Param{Key: "i", N: 512}), core.NewParams("other-test", core.Param{Key: "i", N: 4096})
	if _, err := w.PlanChange(ctx, mstcc.ChangeRequest{KDF: &low}, mstcc.OpenOptions{}); !errors.Is(err, core.Policy) {
		t.Errorf("a lower cost: %v, want policy", err)
	}
	if _, err := w.PlanChange(ctx, mstcc.ChangeRequest{KDF: &other}, mstcc.OpenOptions{}); !errors.Is(err, core.Unsupported) {
		t.Errorf("another kdf: %v, want unsupported", err)
	}
	if _, err := w.PlanChange(ctx, mstcc.ChangeRequest{Replace: []string{"retina"}}, mstcc.OpenOptions{}); !errors.Is(err, core.Usage) {
		t.Errorf("an unknown factor: %v, want usage", err)
	}
}

// sheet returns a request for a sheet, and where it is kept.
func sheet(t *testing.T) (mstcc.NewSheet, **mf.Sheet) {
	t.Helper()
	code, err := mf.NewRecoveryCode(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	kept := new(*mf.Sheet)
	return mstcc.NewSheet{Code: code, Endpoint: "escrow.test:7443", Show: func(_ context.Context, s *mf.Sheet) (err error) {
		text := s.Payload()
		defer text.Wipe()
		*kept, err = mf.ParseSheet(text.Bytes())
		return err
	}}, kept
}

// A sheet that was not confirmed is no holder; a second code is a revoke. With
// either root the blob, the OPRF key and the count stay.
func TestAddRecovery(t *testing.T) {
	for _, text := range []string{"pin & gesture", "pin & (face | fingerprint)"} {
		for _, mode := range modes {
			x, m := started(t, text, mode)
			open := mstcc.OpenOptions{}
			n, kept := sheet(t)
			show := n.Show
			n.Show = func(context.Context, *mf.Sheet) error { return core.Errorf(core.Canceled, "test", "no paper") }
			if _, err := m.AddRecovery(ctx, n, open, &person{enter: alice}); !errors.Is(err, core.Canceled) || x.srv.asked("prepare") != 1 {
				t.Fatalf("not confirmed: %v, %d prepares", err, x.srv.asked("prepare"))
			}
			n.Show = show
			oprfKey, sealed := x.srv.rec.oprf, x.srv.rec.sealed
			got, err := m.AddRecovery(ctx, n, open, &person{enter: alice})
			if err != nil || !got.Recovery || got.Epoch != 2 || got.MKGen != 1 || (*kept).User != x.srv.user {
				t.Fatalf("%+v, %v", got, err)
			}
			if !slices.Equal(oprfKey, x.srv.rec.oprf) || !slices.Equal(sealed, x.srv.rec.sealed) {
				t.Error("adding a holder touched the OPRF key or the sealed keys")
			}
			if err := opensWith(m, alice); err != nil {
				t.Error(err)
			}
			n2, _ := sheet(t)
			if _, err := m.AddRecovery(ctx, n2, open, &person{enter: alice}); !errors.Is(err, core.Conflict) {
				t.Errorf("a second code: %v, want conflict", err)
			}
		}
	}
}

// A revoke makes everything new but the user's keys; the old device key, the
// old factors and the old sheet open nothing.
// req: K-17.1-D1
func TestRevoke(t *testing.T) {
	for _, text := range []string{"pin & gesture", "pin & (face | fingerprint)"} {
		x, m := started(t, text, protocol.ModePlain)
		n, kept := sheet(t)
		if _, err := m.AddRecovery(ctx, n, mstcc.OpenOptions{}, &person{enter: alice}); err != nil {
			t.Fatal(err)
		}
		old, oldKey, oldPubs := *kept, x.device(1), x.srv.rec.pubs
		fresh := alice.but("pin", "777000").but("face", "the same face, again")
		n2, kept2 := sheet(t)
		got, err := m.Revoke(ctx, mstcc.RevokeRequest{Mode: protocol.ModeHardened, Sheet: &n2}, mstcc.OpenOptions{}, &person{enter: alice, enrol: fresh})
		if err != nil || got.MKGen != 2 || got.Epoch != 3 || !got.Recovery {
			t.Fatalf("%s: %+v, %v", text, got, err)
		}
		if x.srv.rec.pubs != oldPubs {
			t.Error("the user's keys changed")
		}
		if x.device(1) == oldKey || x.srv.bound != x.device(1).Compressed() || x.srv.devices[oldKey.Compressed()] || !x.device(2).IsZero() {
			t.Error("the device key was not replaced")
		}
		if err := opensWith(m, fresh); err != nil {
			t.Errorf("%s: after the revoke: %v", text, err)
		}
		if err := opensWith(m, alice); !errors.Is(err, core.Auth) {
			t.Errorf("%s: the old factors: %v, want auth", text, err)
		}
		if _, err := (link{x.srv, oldKey.Compressed()}).Policy(ctx, protocol.PolicyRequest{User: x.srv.user}); !errors.Is(err, core.Refused) {
			t.Errorf("the old device key: %v, want refused", err)
		}
		_ = m.Close()
		m = x.open()
		if err := opensWith(m, fresh); err != nil {
			t.Errorf("%s: after reopening: %v", text, err)
		}
		if st, _ := m.Status(ctx, false); st.Profile.Mode != protocol.ModeHardened || st.Pending {
			t.Errorf("profile %+v, pending %v", st.Profile, st.Pending)
		}
		if _, err := m.Revoke(ctx, mstcc.RevokeRequest{Mode: protocol.ModePlain}, mstcc.OpenOptions{}, &person{enter: fresh, enrol: fresh}); !errors.Is(err, core.Policy) {
			t.Errorf("hardened to plain: %v, want policy", err)
		}
		y := x.second()
		if _, err := y.open().Recover(ctx, mstcc.RecoverRequest{Sheet: old}, mstcc.OpenOptions{}, &person{enter: alice, enrol: alice}); err == nil {
			t.Error("the old sheet recovers")
		}
		z := x.second()
		z.prof.Mode = protocol.ModeHardened
		if _, err := z.open().Recover(ctx, mstcc.RecoverRequest{Sheet: *kept2}, mstcc.OpenOptions{}, &person{enter: fresh, enrol: fresh}); err != nil {
			t.Errorf("the new sheet: %v", err)
		}
	}
}

// A new terminal takes over with sheet and factors; the old one is bound no
// more, and the sheet is spent.
// req: K-17.1-D1
func TestRecover(t *testing.T) {
	for _, mode := range modes {
		x, m := started(t, "pin & (face | fingerprint)", mode)
		n, kept := sheet(t)
		if _, err := m.AddRecovery(ctx, n, mstcc.OpenOptions{}, &person{enter: alice}); err != nil {
			t.Fatal(err)
		}
		pubs := x.srv.rec.pubs
		y := x.second()
		y.prof.Mode = mode
		r := y.open()
		n2, kept2 := sheet(t)
		req := mstcc.RecoverRequest{Sheet: *kept, Then: mstcc.RevokeRequest{Sheet: &n2}}
		wrong := alice.but("pin", "000000")
		if _, err := r.Recover(ctx, req, mstcc.OpenOptions{}, &person{enter: wrong, enrol: alice}); !errors.Is(err, core.Auth) {
			t.Fatalf("%s: wrong PIN: %v, want auth", mode, err)
		}
		if r.State() != mstcc.Init || len(x.srv.tries.Held) != 1 {
			t.Errorf("%s: state %s, %d tries held", mode, r.State(), len(x.srv.tries.Held))
		}
		_ = r.Close()
		r = y.open() // the counter of the interrupted run is found again
		fresh := alice.but("pin", "314159")
		seen := ""
		req.Policy = func(t *policy.Tree) []string { seen = t.String(); return []string{"pin", "fingerprint"} }
		res, err := r.Recover(ctx, req, mstcc.OpenOptions{}, &person{enter: alice, enrol: fresh})
		if err != nil || res.User != x.srv.user || seen == "" {
			t.Fatalf("%s: %+v, %v", mode, res, err)
		}
		if x.srv.rec.pubs != pubs || protocol.Point(res.Sign.Compressed()) != pubs.Sign {
			t.Error("the user's keys changed")
		}
		if len(x.srv.tries.Held) != 0 {
			t.Errorf("%s: %d tries still held", mode, len(x.srv.tries.Held))
		}
		if err := opensWith(r, fresh, "pin", "face"); err != nil {
			t.Errorf("%s: on the new terminal: %v", mode, err)
		}
		if err := opensWith(m, alice); !errors.Is(err, core.Refused) {
			t.Errorf("%s: the old terminal: %v, want refused", mode, err)
		}
		z := x.second()
		z.prof.Mode = mode
		if _, err := z.open().Recover(ctx, mstcc.RecoverRequest{Sheet: *kept}, mstcc.OpenOptions{}, &person{enter: alice, enrol: alice}); err == nil {
			t.Errorf("%s: the used sheet recovers", mode)
		}
		_ = r.Close()
		if err := opensWith(y.open(), fresh, "pin", "face"); err != nil {
			t.Errorf("%s: reopened: %v", mode, err)
		}
		if *kept2 == nil || (*kept2).User != res.User {
			t.Error("no new sheet was shown")
		}
	}
}

// A policy that is not the sheet's is refused before anything is bound or asked.
func TestRecoverHoldsThePolicyAgainstTheSheet(t *testing.T) {
	x, m := started(t, "pin & gesture", protocol.ModePlain)
	n, kept := sheet(t)
	if _, err := m.AddRecovery(ctx, n, mstcc.OpenOptions{}, &person{enter: alice}); err != nil {
		t.Fatal(err)
	}
	x.srv.tamper = func(a *protocol.PolicyAnswer) { a.Policy[len(a.Policy)/2] ^= 1 }
	y, h := x.second(), &person{enter: alice, enrol: alice}
	r := y.open()
	if _, err := r.Recover(ctx, mstcc.RecoverRequest{Sheet: *kept}, mstcc.OpenOptions{}, h); !errors.Is(err, core.Policy) {
		t.Errorf("a changed policy: %v, want policy", err)
	}
	if len(h.asked) != 0 || x.srv.asked("rebind") != 0 {
		t.Errorf("asked %v, %d rebinds", h.asked, x.srv.asked("rebind"))
	}
	x.srv.tamper = nil
	other := newTerminal(t)
	if _, err := other.open().Recover(ctx, mstcc.RecoverRequest{Sheet: *kept}, mstcc.OpenOptions{}, h); !errors.Is(err, core.Policy) {
		t.Errorf("another SS-CC: %v, want policy", err)
	}
	if _, err := m.Recover(ctx, mstcc.RecoverRequest{Sheet: *kept}, mstcc.OpenOptions{}, h); !errors.Is(err, core.State) {
		t.Errorf("where a user is: %v, want state", err)
	}
	if _, err := r.Recover(ctx, mstcc.RecoverRequest{Sheet: *kept}, mstcc.OpenOptions{}, h); err != nil {
		t.Errorf("control: %v", err)
	}
}
