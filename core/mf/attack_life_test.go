package mf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// change runs one edit: replaced and new factors come from u.secrets after
// alter ran, kept ones from the secrets before.
func (u *user) change(s *state, opened []string, ch Change, alter func()) *state {
	u.t.Helper()
	op := u.open(s, opened...)
	defer op.Wipe()
	before := u.with("", nil)
	x := EditParams{Slot: "device-1", OPRF: hmacOPRF{}, Evaluate: func(_ context.Context, in *secret.Buffer) ([]byte, error) {
		return hmacOPRF{}.FullEvaluate(s.sealed.OPRFKey.Bytes(), in.Bytes())
	}}
	ed, err := op.Edit(ch, x, u.rand)
	if err != nil {
		u.t.Fatal(err)
	}
	defer ed.Wipe()
	if alter != nil {
		alter()
	}
	for _, n := range ed.Needs {
		switch n.How {
		case NeedEnrol:
			u.fill(ed, n.Label)
		case NeedEnter:
			if err := ed.Enter(n.Label, secret.Copy(before[n.Label])); err != nil {
				u.t.Fatal(err)
			}
		}
	}
	sealed, err := ed.Seal(context.Background(), u.kdf, u.kdf)
	if err != nil {
		u.t.Fatal(err)
	}
	return &state{sealed: sealed, blob: s.blob}
}

// revoke runs a whole revoke.
func (u *user) revoke(op *Opened, blob []byte, text string, mode protocol.Mode) *state {
	u.t.Helper()
	b, err := op.OpenBlob(blob)
	if err != nil {
		u.t.Fatal(err)
	}
	defer b.Wipe()
	u.newDevice()
	x := u.params(text, mode, 1)
	e, err := op.Revoke(x, u.rand)
	if err != nil {
		u.t.Fatal(err)
	}
	defer e.Wipe()
	u.fill(e, e.Missing()...)
	s, err := e.Seal(context.Background(), u.kdf, b)
	if err != nil {
		u.t.Fatal(err)
	}
	return &state{sealed: s, blob: s.Blob}
}

func (u *user) fails(s *state, secrets map[string][]byte, have ...string) {
	u.t.Helper()
	if _, err := u.attempt(s, u.check(s), have, secrets, false); !errors.Is(err, core.Auth) {
		u.t.Errorf("%v: %v, want auth", have, err)
	}
}

// req: K-17.1-D1
func TestAttack19Change(t *testing.T) {
	for _, mode := range []protocol.Mode{protocol.ModePlain, protocol.ModeHardened} {
		u := newUser(t, "19")
		s := u.enrol(u.params(wrapped3, mode, 1))
		old := u.with("", nil)
		n := u.change(s, []string{"gesture", "face"}, Change{Replace: []string{"pin"}}, func() { u.secrets["pin"] = []byte("8642097") })
		u.open(n, "pin", "face").Wipe()
		u.open(n, "pin", "gesture").Wipe()
		u.open(n, "gesture", "face").Wipe()
		u.fails(n, old, "pin", "face")
		p, q := mustParse(t, s.sealed.Policy), mustParse(t, n.sealed.Policy)
		if q.Epoch != p.Epoch+1 || q.MKGen != p.MKGen || q.PPol != p.PPol || q.PConf != p.PConf || n.sealed.Blob != nil {
			t.Errorf("%s: epoch %d→%d, mkGen %d→%d; want only the epoch to rise, key and blob to stay", mode, p.Epoch, q.Epoch, p.MKGen, q.MKGen)
		}
		for i := range p.Sets {
			if p.Sets[i].Salt == q.Sets[i].Salt || p.Sets[i].W == q.Sets[i].W {
				t.Errorf("%s: set %d was not wrapped anew", mode, i)
			}
		}
		if f, g := p.Factor("pin"), q.Factor("pin"); g.Rev != f.Rev+1 || g.Salt == f.Salt {
			t.Error("the changed factor kept its revision or salt")
		}
		if mode == protocol.ModeHardened && *p.Escrow.Realms[0].K == *q.Escrow.Realms[0].K {
			t.Error("the OPRF key was not dealt anew")
		}
		// A slip in what is entered again is noticed, not sealed in. (Planted:
		// without the check the same slip would be sealed.)
		op := u.open(n, "pin", "face")
		checks := 0
		ed, err := op.Edit(Change{}, EditParams{Slot: "device-1", OPRF: hmacOPRF{}, Evaluate: func(_ context.Context, in *secret.Buffer) ([]byte, error) {
			checks++
			return hmacOPRF{}.FullEvaluate(n.sealed.OPRFKey.Bytes(), in.Bytes())
		}}, u.rand)
		if err != nil {
			t.Fatal(err)
		}
		if err := ed.Enter("gesture", secret.Copy([]byte("slip"))); err != nil {
			t.Fatal(err)
		}
		if _, err := ed.Seal(context.Background(), u.kdf, u.kdf); !errors.Is(err, core.Auth) {
			t.Errorf("%s: a slip: %v, want auth", mode, err)
		}
		if mode == protocol.ModeHardened && checks != 1 {
			t.Errorf("%d evaluations, want one counted try", checks)
		}
		ed.checks = nil
		if _, err := ed.Seal(context.Background(), u.kdf, u.kdf); err != nil {
			t.Errorf("the planted variant without the check notices the slip: %v", err)
		}
	}
}

func TestAttack20Revoke(t *testing.T) {
	u := newUser(t, "20")
	u.code, _ = NewRecoveryCode(u.rand)
	s := u.enrol(u.params(wrapped3, protocol.ModePlain, 1))
	oldDevice, oldSecrets, oldCode := u.device, u.with("", nil), u.code
	op := u.open(s, "pin", "gesture")
	defer op.Wipe()
	// Reuse of a holder is refused: its keeper knows the old anchor.
	for name, tune := range map[string]func(x *Params){
		"device secret": func(x *Params) { x.Device.Key = mustKey(t).Public(); x.Recovery = nil },
		"device key":    func(x *Params) { x.Device.Secret = secret.Copy(make([]byte, 32)); x.Recovery = nil },
		"recovery code": func(x *Params) {
			x.Device.Secret, x.Device.Key = secret.Copy(make([]byte, 32)), mustKey(t).Public()
		},
		"other app": func(x *Params) {
			x.Device.Secret, x.Device.Key, x.Recovery, x.App = secret.Copy(make([]byte, 32)), mustKey(t).Public(), nil, protocol.ID{9}
		},
	} {
		x := u.params(wrapped3, protocol.ModePlain, 1)
		tune(&x)
		if _, err := op.Revoke(x, u.rand); !errors.Is(err, core.Usage) {
			t.Errorf("revoke with the old %s: %v, want usage", name, err)
		}
	}
	u.code, _ = NewRecoveryCode(u.rand)
	u.secrets, u.helpers = map[string][]byte{"pin": []byte("new pin 1")}, map[string][]byte{}
	n := u.revoke(op, s.blob, wrapped3, protocol.ModeHardened)
	u.open(n, "pin", "face").Wipe()
	p, q := mustParse(t, s.sealed.Policy), mustParse(t, n.sealed.Policy)
	if q.MKGen != p.MKGen+1 || q.Epoch != p.Epoch+1 || q.KeyID != p.KeyID || q.Pubs != p.Pubs || q.PPol == p.PPol || q.PConf == p.PConf {
		t.Error("want a new generation of every key but the user's own")
	}
	// Nothing old opens the new, in any mixture.
	newDevice, newSecrets := u.device, u.secrets
	u.fails(n, oldSecrets, "pin", "face")
	u.device = oldDevice
	u.fails(n, newSecrets, "pin", "face")
	u.fails(n, oldSecrets, "pin", "face")
	u.device = newDevice
	o, err := NewOpener(u.check(n), RecoveryHolder, oldCode.Secret())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.run(o, n, []string{"pin", "face"}, newSecrets, false); !errors.Is(err, core.Auth) {
		t.Errorf("the old code: %v, want auth", err)
	}
	// The old blob is dead under the new policy, the new one under the old.
	op2 := u.open(n, "pin", "face")
	defer op2.Wipe()
	if _, err := op2.OpenBlob(s.blob); !errors.Is(err, core.Corrupt) {
		t.Errorf("old blob: %v", err)
	}
	if _, err := op2.Revoke(u.params(wrapped3, protocol.ModePlain, 1), u.rand); !errors.Is(err, core.Policy) {
		t.Errorf("hardened to plain: %v, want policy", err)
	}
	// Planted: a "revoke" that only rewraps (an edit) leaves the old device useful.
	w := u.change(n, []string{"pin", "face"}, Change{}, nil)
	u.open(w, "pin", "face").Wipe()
}

func mustKey(t testing.TB) *sm.PrivateKey {
	t.Helper()
	k, err := sm.GenerateKey(&stream{seed: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Attack 21 at this level: SS-CC's compare-and-set and the trust record in
// either order of a crash. Exactly one generation opens, never none.
func TestAttack21CrashBetween(t *testing.T) {
	u := newUser(t, "21")
	s := u.enrol(u.params(wrapped3, protocol.ModePlain, 1))
	oldPIN := u.secrets["pin"]
	n := u.change(s, []string{"pin", "face"}, Change{Replace: []string{"pin"}}, func() { u.secrets["pin"] = []byte("2222222") })
	old := u.with("pin", oldPIN)
	for _, c := range []struct {
		name    string
		served  *state
		slots   []*Slot
		opens   bool
		promote bool
		secrets map[string][]byte
	}{
		{"before prepare", s, []*Slot{&s.sealed.Slot}, true, false, old},
		{"pending written, server old", s, []*Slot{&s.sealed.Slot, &n.sealed.Slot}, true, false, old},
		{"pending written, server new", n, []*Slot{&s.sealed.Slot, &n.sealed.Slot}, true, true, u.secrets},
		{"promoted", n, []*Slot{&n.sealed.Slot}, true, true, u.secrets},
		{"planted: promoted before the commit", s, []*Slot{&n.sealed.Slot}, false, false, old},
		{"planted: committed before pending", n, []*Slot{&s.sealed.Slot}, false, false, u.secrets},
	} {
		x := expect(c.served)
		x.Slots = c.slots
		chk, err := Check(c.served.sealed.Policy, x)
		if (err == nil) != c.opens {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil {
			continue
		}
		if (chk.Slot == &n.sealed.Slot) != c.promote {
			t.Errorf("%s: matched the wrong slot", c.name)
		}
		if _, err := u.attempt(c.served, chk, []string{"pin", "face"}, c.secrets, false); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		wrong := u.secrets
		if c.promote {
			wrong = old
		}
		if _, err := u.attempt(c.served, chk, []string{"pin", "face"}, wrong, false); !errors.Is(err, core.Auth) {
			t.Errorf("%s: the other generation's PIN: %v, want auth", c.name, err)
		}
	}
}

// Attack 28: biometrics survive every change but a revoke, without being
// enrolled again and, with boxes, without being presented.
func TestAttack28BiometricsSurvive(t *testing.T) {
	raised := cheap(3)
	for _, boxes := range []bool{true, false} {
		u := newUser(t, "28")
		x := u.params("pin & (face | fingerprint)", protocol.ModePlain, 1)
		x.NoBoxes = !boxes
		s := u.enrol(x)
		face, finger := bytes.Clone(u.secrets["face"]), bytes.Clone(u.secrets["fingerprint"])
		for name, ch := range map[string]Change{
			"raise cost":  {KDF: &raised},
			"changed PIN": {Replace: []string{"pin"}},
			"add":         {Tree: tree(t, "pin & (face | fingerprint | gesture)"), Factors: []FactorSpec{{Label: "gesture", Kind: core.KindKnowledge}}},
			"remove":      {Tree: tree(t, "pin & face")},
		} {
			pl, err := mustParse(t, s.sealed.Policy).Plan(ch, []string{"pin", "face"})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for _, n := range pl.Needs {
				if n.Kind == core.KindBiometric && (n.How == NeedEnrol || boxes && n.How != NeedNothing) {
					t.Errorf("%s (boxes %v): %s of %s asked for", name, boxes, n.How, n.Label)
				}
			}
			n := u.change(s, []string{"pin", "face"}, ch, nil)
			u.open(n, "pin", "face").Wipe()
			if slices.Contains(n.mustTree(t), "fingerprint") {
				u.open(n, "pin", "fingerprint").Wipe()
			}
			if !bytes.Equal(face, u.secrets["face"]) || !bytes.Equal(finger, u.secrets["fingerprint"]) {
				t.Fatal("a biometric was enrolled again")
			}
			p, q := mustParse(t, s.sealed.Policy).Factor("face"), mustParse(t, n.sealed.Policy).Factor("face")
			if p.Salt != q.Salt || !bytes.Equal(p.Helper, q.Helper) || p.Rev != q.Rev {
				t.Errorf("%s: the face's record changed", name)
			}
		}
		op := u.open(s, "pin", "face")
		code, _ := NewRecoveryCode(u.rand)
		r, err := op.AddRecovery(code, "device-1", u.rand)
		if err != nil {
			t.Fatal(err)
		}
		u.open(&state{sealed: r, blob: s.blob}, "pin", "fingerprint").Wipe()
		if _, err := op.c.Policy.Plan(Change{Tree: tree(t, "pin & face & fingerprint")}, nil); !errors.Is(err, core.Policy) || !strings.Contains(err.Error(), "revoke") {
			t.Errorf("tightening: %v, want a revoke", err)
		}
		op.Wipe()
	}
	// Planted: a bind key that takes the policy's core changes with every change.
	u := newUser(t, "28p")
	s := u.enrol(u.params("pin & (face | fingerprint)", protocol.ModePlain, 1))
	n := u.change(s, []string{"pin", "face"}, Change{KDF: &raised}, nil)
	if mustParse(t, s.sealed.Policy).coreHash() == mustParse(t, n.sealed.Policy).coreHash() {
		t.Error("the core did not change: this test could not notice the planted variant")
	}
}

func (s *state) mustTree(t testing.TB) []string { return mustParse(t, s.sealed.Policy).Tree.Labels() }

// req: X-03
func TestAttack29RecoverySheet(t *testing.T) {
	u := newUser(t, "29")
	u.code, _ = NewRecoveryCode(u.rand)
	s := u.enrol(u.params(wrapped3, protocol.ModeHardened, 1))
	usr, server := protocol.ID{7}, protocol.Point(u.key.Public().Compressed())
	sh, err := NewSheet(u.code, s.sealed.Policy, usr, testRealm, server, "host:1", false)
	if err != nil {
		t.Fatal(err)
	}
	payload := string(sh.Payload().Bytes())
	// Checksum: every changed, missing or doubled character is noticed.
	for i := range payload {
		for _, bad := range []string{payload[:i] + "A" + payload[i+1:], payload[:i] + payload[i+1:], payload[:i] + "A" + payload[i:]} {
			if bad == payload {
				continue
			}
			if x, err := ParseSheet([]byte(bad)); err == nil {
				t.Fatalf("accepted with character %d wrong: %+v", i, x)
			}
		}
	}
	words := strings.Fields(string(u.code.Words().Bytes()))
	wrong := 0
	for i := range words {
		for j := range i {
			sw := slices.Clone(words)
			sw[i], sw[j] = sw[j], sw[i]
			if _, err := ParseWords([]byte(strings.Join(sw, " "))); err == nil && words[i] != words[j] {
				wrong++
			}
		}
	}
	if wrong > 0 {
		t.Errorf("%d swaps of two words passed", wrong)
	}
	loud := strings.ToUpper(strings.Join(words, "-")) + "\n"
	if c, err := ParseWords([]byte(loud)); err != nil || !c.b.Equal(u.code.b) {
		t.Errorf("words in capitals with hyphens: %v", err)
	}
	details, err := ParseDetails([]byte(strings.ToLower(sh.Details())), u.code)
	if err != nil || details.KeyID != sh.KeyID || details.Bind != sh.Bind {
		t.Errorf("details and words: %v", err)
	}
	got, err := ParseSheet([]byte(strings.ToLower(payload[:20]) + " \n" + payload[20:]))
	if err != nil {
		t.Fatal(err)
	}
	// A new terminal: policy by sheet, anchor by code, then a revoke.
	pubs := u.bundle.Pubs()
	x := expect(s)
	x.Slots, x.Pubs = nil, &pubs
	c, err := CheckSheet(s.sealed.Policy, got, x)
	if err != nil {
		t.Fatal(err)
	}
	o, err := NewOpener(c, RecoveryHolder, got.Code.Secret())
	if err != nil {
		t.Fatal(err)
	}
	op, err := u.run(o, s, []string{"pin", "gesture"}, u.secrets, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := op.Edit(Change{}, EditParams{}, u.rand); !errors.Is(err, core.Policy) {
		t.Errorf("an edit after recovery: %v, want only a revoke", err)
	}
	old := s
	u.code, _ = NewRecoveryCode(u.rand)
	n := u.revoke(op, s.blob, wrapped3, protocol.ModeHardened)
	u.open(n, "pin", "face").Wipe()
	// The used sheet opens the new generation's policy no more: one-time.
	if _, err := CheckSheet(n.sealed.Policy, got, x); !errors.Is(err, core.Policy) {
		t.Errorf("the used sheet on the new policy: %v", err)
	}
	// The new sheet refuses the old policy.
	sh2, err := NewSheet(u.code, n.sealed.Policy, usr, testRealm, server, "host:1", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := CheckSheet(old.sealed.Policy, sh2, x); !errors.Is(err, core.Policy) {
		t.Errorf("the old policy on the new sheet: %v", err)
	}
	if _, err := NewSheet(got.Code, n.sealed.Policy, usr, testRealm, server, "host:1", false); !errors.Is(err, core.Usage) {
		t.Errorf("a sheet with a foreign code: %v", err)
	}
	// A wrong code of the right shape is noticed only by the mac.
	bad, _ := NewRecoveryCode(u.rand)
	o, err = NewOpener(c, RecoveryHolder, bad.Secret())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.run(o, old, []string{"pin", "gesture"}, u.secrets, false); !errors.Is(err, core.Auth) {
		t.Errorf("wrong code: %v, want auth", err)
	}
	// Planted: a sheet without the digest would take any policy of the key id.
	if p, q := mustParse(t, old.sealed.Policy), mustParse(t, n.sealed.Policy); p.KeyID != q.KeyID {
		t.Error("the planted variant refuses: this test could not notice it")
	}
}

func TestAddRecoveryIsFinal(t *testing.T) {
	u := newUser(t, "addrec")
	for _, text := range []string{"pin", wrapped3} {
		u.code = nil
		s := u.enrol(u.params(text, protocol.ModeHardened, 1))
		have := mustParse(t, s.sealed.Policy).Tree.MinimalSets()[0]
		op := u.open(s, have...)
		code, _ := NewRecoveryCode(u.rand)
		calls := u.kdf.calls.Load()
		r, err := op.AddRecovery(code, "device-1", u.rand)
		if err != nil {
			t.Fatal(err)
		}
		if u.kdf.calls.Load() != calls {
			t.Error("adding a holder cost a slow call")
		}
		n := &state{sealed: r, blob: s.blob}
		n.sealed.OPRFKey = s.sealed.OPRFKey // key and count stay
		op2 := u.open(n, have...)
		if _, err := op2.AddRecovery(code, "device-1", u.rand); !errors.Is(err, core.Conflict) {
			t.Errorf("a second code: %v, want conflict", err)
		}
		if p := mustParse(t, r.Policy); fmt.Sprint(p.Sets) != fmt.Sprint(mustParse(t, s.sealed.Policy).Sets) {
			t.Error("the sets changed")
		}
	}
}
