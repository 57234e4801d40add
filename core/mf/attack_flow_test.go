package mf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// outcome is what somebody watching an attempt sees: the error, the slow
// calls, and the sequence of stages.
func outcome(u *user, s *state, have []string, secrets map[string][]byte) string {
	var seq []string
	traceX = func(_ []byte, label string, _ []byte, n int) { seq = append(seq, fmt.Sprintf("%s/%d", label, n)) }
	defer func() { traceX = nil }()
	before := u.kdf.calls.Load()
	_, err := u.attempt(s, u.check(s), have, secrets, false)
	return fmt.Sprintf("%v | %d slow | %v", err, u.kdf.calls.Load()-before, seq)
}

// req: G-7.4-07
func TestAttack11NoFactorOracle(t *testing.T) {
	for _, mode := range []protocol.Mode{protocol.ModePlain, protocol.ModeHardened} {
		u := newUser(t, "11")
		s := u.enrol(u.params("pin & gesture & face & fingerprint", mode, 1))
		have := []string{"pin", "gesture", "face", "fingerprint"}
		var first string
		for _, l := range have {
			got := outcome(u, s, have, u.with(l, []byte("0000000000000000000000000000000000")))
			if first == "" {
				first = got
			}
			if got != first {
				t.Errorf("%s: wrong %s looks like\n%s\nnot like\n%s", mode, l, got, first)
			}
		}
		// A wrong device secret and a wrong OPRF answer look the same too.
		right := u.device
		u.device = secret.Copy(bytes.Repeat([]byte{1}, DeviceSecret))
		if got := outcome(u, s, have, u.secrets); got != first {
			t.Errorf("%s: wrong device looks like\n%s\nnot like\n%s", mode, got, first)
		}
		u.device = right
	}
	// Planted: a hash kept per factor is checked before the slow call.
	weak := func(secrets map[string]string) string {
		for _, l := range []string{"pin", "gesture"} {
			if secrets[l] != "right" {
				return "wrong " + l
			}
		}
		return "ok"
	}
	if weak(map[string]string{"pin": "x", "gesture": "right"}) == weak(map[string]string{"pin": "right", "gesture": "x"}) {
		t.Error("the planted variant is no oracle: this test could not notice it")
	}
}

// Attack 13 at this level: a helper unmasked with a wrong anchor looks like
// one unmasked with the right one, byte for byte in distribution, when the
// source's helper is uniform. (Real templates: the sources' own tests.)
func TestAttack13UnmaskingTellsNothing(t *testing.T) {
	u := newUser(t, "13")
	const n = 4096
	u.knows("face")
	u.helpers["face"] = make([]byte, n)
	if _, err := u.rand.Read(u.helpers["face"]); err != nil {
		t.Fatal(err)
	}
	chi := func(b []byte) (x float64) {
		var count [256]float64
		for _, v := range b {
			count[v]++
		}
		for _, c := range count {
			x += (c - n/256.0) * (c - n/256.0) / (n / 256.0)
		}
		return x
	}
	const limit = 377 // chi-square, 255 degrees of freedom, p = 10^-6
	unmask := func(s *state, device *secret.Buffer) []byte {
		o, err := NewOpener(u.check(s), "device", device)
		if err != nil {
			t.Fatal(err)
		}
		in, err := o.RecoverInputs("face")
		if err != nil {
			t.Fatal(err)
		}
		return in.Helper
	}
	s := u.enrol(u.params("pin & face", protocol.ModePlain, 1))
	wrong := secret.Copy(bytes.Repeat([]byte{1}, DeviceSecret))
	right, other := unmask(s, u.device), unmask(s, wrong)
	if !bytes.Equal(right, u.helpers["face"]) {
		t.Fatal("the right device does not unmask")
	}
	for name, b := range map[string][]byte{"right": right, "wrong": other, "stored": mustParse(t, s.sealed.Policy).Factor("face").Helper} {
		if x := chi(b); x > limit {
			t.Errorf("%s key: chi-square %.0f, want below %d", name, x, limit)
		}
	}
	// Planted: a helper with a constant part (a magic, a tag, a mean) tells.
	copy(u.helpers["face"], make([]byte, n/2))
	s = u.enrol(u.params("pin & face", protocol.ModePlain, 1))
	if chi(unmask(s, u.device)) <= limit || chi(unmask(s, wrong)) > limit {
		t.Error("a planted constant part is not noticed")
	}
}

func TestAttack14HelperTampering(t *testing.T) {
	u := newUser(t, "14")
	s := u.enrol(u.params("pin & face", protocol.ModePlain, 1))
	p := mustParse(t, s.sealed.Policy)
	f := p.Factor("face")
	good := factorSecret(p.KeyID, f, u.secrets["face"])
	for i := range f.Helper {
		f.Helper[i] ^= 1
		b := EncodePolicy(p)
		if _, err := Check(b, expect(s)); !errors.Is(err, ErrPolicy) {
			t.Fatalf("byte %d: %v", i, err)
		}
		// Behind digest and signature, even if the source corrects the error
		// and recovers the same secret: auth.
		c, err := bypass(b, &s.sealed.Slot)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := u.attempt(s, c, []string{"pin", "face"}, u.secrets, false); !errors.Is(err, core.Auth) {
			t.Fatalf("byte %d behind digest and signature: %v", i, err)
		}
		if factorSecret(p.KeyID, f, u.secrets["face"]).Equal(good) {
			t.Fatalf("byte %d: fs does not depend on the helper", i)
		}
		f.Helper[i] ^= 1
	}
	// Planted: fs without the helper's digest (as for knowledge) does not notice.
	k := *f
	k.Kind = core.KindPossession
	before := factorSecret(p.KeyID, &k, u.secrets["face"])
	k.Helper = append([]byte{1}, k.Helper...)
	if !factorSecret(p.KeyID, &k, u.secrets["face"]).Equal(before) {
		t.Error("the planted variant notices: this test could not")
	}
}

// req: X-03, K-5.3-01a
func TestAttack15BadSources(t *testing.T) {
	u := newUser(t, "15")
	e := u.begin(u.params("pin & face", protocol.ModePlain, 1))
	defer e.Wipe()
	for name, c := range map[string]struct {
		label string
		en    core.Enrollment
	}{
		"empty":           {"pin", core.Enrollment{Secret: secret.New(0), Format: 1}},
		"nil":             {"pin", core.Enrollment{Format: 1}},
		"huge":            {"pin", core.Enrollment{Secret: secret.New(MaxSecret + 1), Format: 1}},
		"no format":       {"pin", core.Enrollment{Secret: secret.Copy([]byte("1234567"))}},
		"short biometric": {"face", core.Enrollment{Secret: secret.New(31), Format: 1}},
		"huge helper":     {"face", core.Enrollment{Secret: secret.New(32), Helper: make([]byte, MaxHelper+1), Format: 1}},
	} {
		if err := e.SetFactor(c.label, c.en); !errors.Is(err, core.Policy) {
			t.Errorf("enrol %s: %v, want policy", name, err)
		}
	}
	s := u.enrol(u.params("pin & face", protocol.ModePlain, 1))
	have := []string{"pin", "face"}
	first := outcome(u, s, have, u.with("face", nil))
	for name, b := range map[string][]byte{"constant": make([]byte, 32), "short": {1}, "huge": make([]byte, 1<<20)} {
		if got := outcome(u, s, have, u.with("face", b)); got != first {
			t.Errorf("derive with a %s answer looks like %s, not like an empty one %s", name, got, first)
		}
	}
	// A source that crashed after its sample.
	o, err := NewOpener(u.check(s), "device", u.device)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Wipe()
	if _, err := o.Choose(have); err != nil {
		t.Fatal(err)
	}
	if err := o.Stretch(context.Background(), u.kdf); !errors.Is(err, core.State) {
		t.Errorf("a missing factor: %v, want state", err)
	}
	pin := secret.Copy(u.secrets["pin"])
	if err := errors.Join(o.SetFactor("pin", pin), o.SetLost("face", u.rand), o.Stretch(context.Background(), u.kdf)); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Finish(nil); !errors.Is(err, core.Auth) {
		t.Errorf("a lost factor: %v, want auth", err)
	}
	// Planted: a combiner that leaves empty answers out gives an enrolment with
	// an empty face the key of the PIN alone. Ours cannot: fs is never empty.
	weak := func(secrets ...[]byte) []byte {
		return enc.Join(slices.DeleteFunc(secrets, func(b []byte) bool { return len(b) == 0 })...)
	}
	if !bytes.Equal(weak([]byte("1234567"), nil), weak([]byte("1234567"))) {
		t.Error("the planted variant is not weak: this test could not notice it")
	}
	p := mustParse(t, s.sealed.Policy)
	if fs := factorSecret(p.KeyID, p.Factor("face"), nil); fs.Len() != 32 || bytes.Equal(fs.Bytes(), make([]byte, 32)) {
		t.Error("an empty answer gives an empty factor")
	}
}

// req, K-5.1-01
func TestAttack16ConstantKDF(t *testing.T) {
	u := newUser(t, "16")
	u.kdf.constant = true
	s := u.enrol(u.params("pin & face", protocol.ModePlain, 1))
	u.open(s, "pin", "face").Wipe()
	for _, l := range []string{"pin", "face"} {
		if _, err := u.attempt(s, u.check(s), []string{"pin", "face"}, u.with(l, []byte("wrong wrong wrong wrong wrong wrong!")), false); !errors.Is(err, core.Auth) {
			t.Errorf("constant kdf, wrong %s: %v, want auth", l, err)
		}
	}
	right := u.device
	u.device = secret.Copy(bytes.Repeat([]byte{1}, DeviceSecret))
	if _, err := u.attempt(s, u.check(s), []string{"pin", "face"}, u.secrets, false); !errors.Is(err, core.Auth) {
		t.Errorf("constant kdf, wrong anchor: %v, want auth", err)
	}
	u.device = right
	// Planted: without the post-mix g = t, and every input gives the same key.
	weak := func(pin string) (t [32]byte) {
		_ = u.kdf.Derive(context.Background(), cheap(1), []byte(pin), []byte("salt"), t[:])
		return t
	}
	if weak("1") != weak("2") {
		t.Error("the planted variant depends on the factors: this test could not notice it")
	}
}

// req: K-7.1-D4, K-15-02
func TestAttack18WrongKeysInside(t *testing.T) {
	u := newUser(t, "18")
	s := u.enrol(u.params("pin", protocol.ModePlain, 1))
	op := u.open(s, "pin")
	defer op.Wipe()
	// Somebody who reached MK seals another pair under the same policy.
	other, _ := NewBundle(u.rand)
	blob, err := sealBlob(op.rk.Bytes(), op.c.Policy, testApp, other, u.rand)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := op.OpenBlob(blob); !errors.Is(err, core.Integrity) {
		t.Errorf("other keys inside: %v, want integrity", err)
	}
	// Swapped pairs are other keys too.
	blob, err = sealBlob(op.rk.Bytes(), op.c.Policy, testApp, &Bundle{Sign: u.bundle.Enc, Enc: u.bundle.Sign}, u.rand)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := op.OpenBlob(blob); !errors.Is(err, core.Integrity) {
		t.Errorf("swapped keys: %v, want integrity", err)
	}
	// Planted: opening without the compare takes them.
	if _, err := openBlob(op.rk.Bytes(), op.c.Policy, testApp, blob); err != nil {
		t.Errorf("the planted variant refuses: %v", err)
	}
}

// Attack 30: labels are distinct, a traced enrolment and derive use no other,
// and none yields two lengths of one stream.
// req: K-3-01, X-17
func TestAttack30Labels(t *testing.T) {
	labels := []string{labelHolder, labelAnchor, labelFactor, labelBind, labelTransform, labelHelper, labelOPRF, labelSetKey, labelWrap, labelRoot,
		labelBox, labelMK, labelPolicyMAC, labelPolicySign, labelConfirm, labelRebind, labelTrust, labelFails, labelJournal, labelProfile,
		headSecret, headSet, headSetSalt, headCore, headSSP, headSheet, headSheetOK, headFile, headWords, bundleHead, domain, sheetPrefix, detailsPrefix}
	if repeated(labels) != "" {
		t.Errorf("label %q is used twice", repeated(labels))
	}
	if repeated(append(slices.Clone(labels), labelWrap)) == "" {
		t.Error("a planted duplicate is not noticed")
	}
	type use struct {
		key, ctx string
		n        int
	}
	uses := map[string]map[use]bool{}
	traceX = func(k []byte, label string, ctx []byte, n int) {
		if uses[label] == nil {
			uses[label] = map[use]bool{}
		}
		h := sm.SM3(k)
		uses[label][use{string(h[:]), string(ctx), n}] = true
	}
	defer func() { traceX = nil }()
	u := newUser(t, "30")
	u.code, _ = NewRecoveryCode(u.rand)
	// One set at a time: the tracer is not for concurrent use.
	s := u.enrol(u.params("pin & face", protocol.ModeHardened, 1))
	op := u.open(s, "pin", "face")
	conf, err := op.ConfirmKey()
	if err != nil {
		t.Fatal(err)
	}
	conf.Wipe()
	op.Wipe()
	if _, err := SealFile(FileFails, "device-1", u.device, nil); err != nil {
		t.Fatal(err)
	}
	for label, us := range uses {
		if !slices.Contains(labels, label) {
			t.Errorf("label %q is not in the list", label)
		}
		for x := range us {
			for y := range us {
				if x.key == y.key && x.ctx == y.ctx && x.n != y.n {
					t.Errorf("label %s gives %d and %d bytes of one stream", label, x.n, y.n)
				}
			}
		}
	}
	for _, want := range []string{labelBind, labelTransform, labelHelper, labelOPRF, labelSetKey, labelRoot, labelMK, labelRebind, labelFails} {
		if uses[want] == nil {
			t.Errorf("label %s was never used: the trace misses a stage", want)
		}
	}
}

func repeated(ls []string) string {
	seen := map[string]bool{}
	for _, l := range ls {
		if seen[l] {
			return l
		}
		seen[l] = true
	}
	return ""
}

// Attack 32: deriving is without effect on anything public.
func TestAttack32DerivesLeaveNoTrace(t *testing.T) {
	n := 500
	if testing.Short() {
		n = 50
	}
	if level() > 0 {
		n = 10_000
	}
	u := newUser(t, "32")
	s := u.enrol(u.params(wrapped3, protocol.ModePlain, 1))
	policy, blob := bytes.Clone(s.sealed.Policy), bytes.Clone(s.blob)
	c := u.check(s)
	for i := range n {
		secrets := u.secrets
		if i%2 == 1 {
			secrets = u.with("pin", []byte(fmt.Sprint(i)))
		}
		op, err := u.attempt(s, c, []string{"pin", "face"}, secrets, false)
		if (err == nil) != (i%2 == 0) {
			t.Fatalf("derive %d: %v", i, err)
		}
		if err == nil {
			if i%100 == 0 {
				b, err := op.OpenBlob(blob)
				if err != nil {
					t.Fatal(err)
				}
				b.Wipe()
			}
			op.Wipe()
		}
	}
	if !bytes.Equal(policy, s.sealed.Policy) || !bytes.Equal(blob, s.blob) || !bytes.Equal(EncodePolicy(c.Policy), policy) {
		t.Error("something public changed")
	}
	// Planted: a parsed policy that is written to is noticed by the same compare.
	c.Policy.Factors[0].Salt[0] ^= 1
	if bytes.Equal(EncodePolicy(c.Policy), policy) {
		t.Error("a planted change is not noticed")
	}
}

// Attack 34 at this level: only the key from RK confirms. (Adapters refuse
// reserved ids; that is tested where they are.)
// req: K-7.2-D3
func TestAttack34ForgedConfirm(t *testing.T) {
	u := newUser(t, "34")
	s := u.enrol(u.params("pin", protocol.ModePlain, 1))
	op := u.open(s, "pin")
	defer op.Wipe()
	p := mustParse(t, s.sealed.Policy)
	pconf, err := sm.ParsePoint(p.PConf[:])
	if err != nil {
		t.Fatal(err)
	}
	msg := protocol.ConfirmMessage(testRealm, testApp, protocol.ID{1}, 1, []protocol.SeqTag{{Seq: 1}})
	id := enc.Str(protocol.ConfirmID)
	conf, err := op.ConfirmKey()
	if err != nil {
		t.Fatal(err)
	}
	defer conf.Wipe()
	pol, err := policyKey(op.rk.Bytes(), p.KeyID)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		k  *sm.PrivateKey
		id []byte
		ok bool
	}{"d_conf": {conf, id, true}, "d_M": {u.bundle.Sign, id, false}, "encryption key": {u.bundle.Enc, id, false}, "device key": {u.key, id, false},
		"d_pol": {pol, id, false}, "d_conf under another id": {conf, enc.Str(protocol.DefaultUserID), false}} {
		sig, err := c.k.Sign(u.rand, msg, c.id)
		if err != nil {
			t.Fatal(err)
		}
		if got := sm.Verify(pconf, msg, id, sig); got != c.ok {
			t.Errorf("confirm by %s: accepted %v, want %v", name, got, c.ok)
		}
	}
	// Planted: were P_conf the user's signing key, any signing API would forge it.
	sig, _ := u.bundle.Sign.Sign(u.rand, msg, id)
	if !sm.Verify(u.bundle.Sign.Public(), msg, id, sig) {
		t.Error("the planted variant refuses")
	}
}
