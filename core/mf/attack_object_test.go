package mf

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// The attack tests of the design, by number. Each runs one attack against the
// real schedule, where it must fail, and against a planted weak variant, where
// it must succeed: a test that cannot notice the flaw proves nothing.

const wrapped3 = "2 of (pin, gesture, face)"

// bypass takes a policy as if its digest and signature had been right: what is
// left is what the keys themselves hold.
func bypass(b []byte, slot *Slot) (*Checked, error) {
	p, err := ParsePolicy(b)
	if err != nil {
		return nil, err
	}
	return &Checked{Policy: p, Slot: slot, Pubs: slot.Pubs, App: testApp, core: p.coreHash(), body: b[:len(b)-len(p.MAC)-len(p.Sig)]}, nil
}

// resign is what an attacker with a key of their own does to a changed policy.
func resign(t testing.TB, p *Policy, k *sm.PrivateKey, own bool) []byte {
	t.Helper()
	if own {
		p.PPol = k.Public().Compressed()
	}
	b := EncodePolicy(p)
	sig, err := k.Sign(&stream{seed: "attacker"}, b[:len(b)-len(p.Sig)], enc.Str(protocol.PolicyID))
	if err != nil {
		t.Fatal(err)
	}
	p.Sig = sig
	return EncodePolicy(p)
}

func mustParse(t testing.TB, b []byte) *Policy {
	t.Helper()
	p, err := ParsePolicy(b)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// req: K-15.5-01b
func TestAttack01SwapAndCancel(t *testing.T) {
	u := newUser(t, "01")
	s := u.enrol(u.params("pin & gesture", protocol.ModePlain, 1))
	c := u.check(s)
	swapped := map[string][]byte{"pin": u.secrets["gesture"], "gesture": u.secrets["pin"]}
	if _, err := u.attempt(s, c, []string{"pin", "gesture"}, swapped, false); !errors.Is(err, core.Auth) {
		t.Errorf("swapped factors: %v, want auth", err)
	}
	// Equal values of two factors do not cancel: another equal pair fails.
	u.secrets["pin"], u.secrets["gesture"] = []byte("5555555"), []byte("5555555")
	s = u.enrol(u.params("pin & gesture", protocol.ModePlain, 1))
	other := map[string][]byte{"pin": []byte("7777777"), "gesture": []byte("7777777")}
	if _, err := u.attempt(s, u.check(s), []string{"pin", "gesture"}, other, false); !errors.Is(err, core.Auth) {
		t.Errorf("another equal pair: %v, want auth", err)
	}
	// Planted: factors hashed and XORed.
	weak := func(a, b []byte) (out [32]byte) {
		x, y := sm.SM3(a), sm.SM3(b)
		for i := range out {
			out[i] = x[i] ^ y[i]
		}
		return out
	}
	if weak([]byte("1"), []byte("2")) != weak([]byte("2"), []byte("1")) || weak([]byte("5"), []byte("5")) != weak([]byte("7"), []byte("7")) {
		t.Error("the planted variant is not weak: this test could not notice it")
	}
}

// survivors flips every bit position class of every byte and returns the
// bytes whose change is accepted.
func survivors(b []byte, accept func([]byte) bool) (out []int) {
	for i := range b {
		for _, m := range []byte{1, 0x80} {
			x := bytes.Clone(b)
			x[i] ^= m
			if accept(x) {
				out = append(out, i)
			}
		}
	}
	return out
}

// req: K-15-01a, K-7.1-06
func TestAttack02FlipEveryByte(t *testing.T) {
	u := newUser(t, "02")
	s := u.enrol(u.params(wrapped3, protocol.ModePlain, 1))
	slot := &s.sealed.Slot
	opens := func(c *Checked, err error) bool {
		if err != nil {
			if !errors.Is(err, ErrPolicy) {
				t.Fatalf("code %v, want policy", core.CodeOf(err))
			}
			return false
		}
		_, err = u.attempt(s, c, []string{"pin", "face"}, u.secrets, false)
		if err != nil && !errors.Is(err, core.Auth) && !errors.Is(err, core.NotFound) && !errors.Is(err, core.Usage) { // a label was hit: there is nothing to ask for
			t.Fatalf("error %v, want auth", err)
		}
		return err == nil
	}
	// Three walls, each alone: the digest, the signature, the mac under RK.
	digest := func(b []byte) bool { c, err := Check(b, expect(s)); return opens(c, err) }
	signature := func(b []byte) bool {
		sl := *slot
		sl.Policy = sm.SM3(b)
		x := expect(s)
		x.Slots = []*Slot{&sl}
		c, err := Check(b, x)
		return opens(c, err)
	}
	mac := func(b []byte) bool { c, err := bypass(b, slot); return opens(c, err) }
	pol := s.sealed.Policy
	if got := survivors(pol, digest); len(got) != 0 {
		t.Errorf("digest lets pass changes at %v", got)
	}
	if got := survivors(pol, signature); len(got) != 0 {
		t.Errorf("signature lets pass changes at %v", got)
	}
	if got := survivors(pol[:len(pol)-protocol.SigSize], func(b []byte) bool { return mac(append(b, pol[len(b):]...)) }); len(got) != 0 {
		t.Errorf("mac lets pass changes at %v", got)
	}
	// Planted: a mac over the core only.
	c0 := mustParse(t, pol).coreHash()
	weak := func(b []byte) bool { p, err := ParsePolicy(b); return err == nil && p.coreHash() == c0 }
	if len(survivors(pol, weak)) == 0 {
		t.Error("the planted variant covers everything: this test could not notice it")
	}
	// The blob: every byte matters.
	op := u.open(s, "pin", "face")
	defer op.Wipe()
	if got := survivors(s.blob, func(b []byte) bool {
		_, err := op.OpenBlob(b)
		if err != nil && !errors.Is(err, core.Corrupt) {
			t.Fatalf("blob: %v, want corrupt", err)
		}
		return err == nil
	}); len(got) != 0 {
		t.Errorf("blob lets pass changes at %v", got)
	}
	// The trust record: a bad tag is integrity, whatever was changed.
	rec := &TrustRecord{Realm: testRealm, Server: u.key.Public().Compressed(), Floor: cheap(1), Current: slot}
	tr, err := rec.Encode("device-1", u.device)
	if err != nil {
		t.Fatal(err)
	}
	if got := survivors(tr, func(b []byte) bool {
		_, err := OpenTrustRecord(b, u.device)
		if err != nil && !errors.Is(err, core.Integrity) {
			t.Fatalf("trust record: %v, want integrity", err)
		}
		return err == nil
	}); len(got) != 0 {
		t.Errorf("trust record lets pass changes at %v", got)
	}
}

// req: K-15.5-01b
func TestAttack03FieldBoundary(t *testing.T) {
	u := newUser(t, "03")
	p := mustParse(t, u.enrol(u.params("pin & gesture", protocol.ModePlain, 1)).sealed.Policy)
	// Move bytes between neighbouring fields of a factor, and between factors.
	shift := func(a, b Factor) [2]Factor { return [2]Factor{a, b} }
	variants := [][2]Factor{
		shift(Factor{ID: "gesture", Source: "gesture", Kind: 1, Format: 1}, Factor{ID: "pin", Source: "pin", Kind: 1, Format: 1}),
		shift(Factor{ID: "gestureg", Source: "esture", Kind: 1, Format: 1}, Factor{ID: "pin", Source: "pin", Kind: 1, Format: 1}),
		shift(Factor{ID: "gesture", Source: "gesturep", Kind: 1, Format: 1}, Factor{ID: "in", Source: "pin", Kind: 1, Format: 1}),
		shift(Factor{ID: "gesture", Source: "gesture", Kind: 1, Format: 0x01000000}, Factor{ID: "pin", Source: "pin", Kind: 1, Format: 1}),
	}
	strong, weak := map[string]int{}, map[string]int{}
	for _, v := range variants {
		q := *p
		q.Factors = v[:]
		h := q.coreHash()
		strong[string(h[:])]++
		var joined strings.Builder
		for _, f := range v {
			joined.WriteString(f.ID + f.Source)
		}
		weak[joined.String()]++
	}
	if len(strong) != len(variants) {
		t.Errorf("%d digests for %d structures", len(strong), len(variants))
	}
	if len(weak) == len(variants) {
		t.Error("the planted variant (joined without lengths) does not collide")
	}
}

// req: K-5.3-03, K-15.5-05, X-10, G-7.3-05
func TestAttack04MalformedObjects(t *testing.T) {
	u := newUser(t, "04")
	s := u.enrol(u.params("pin & gesture", protocol.ModePlain, 1))
	good := s.sealed.Policy
	edit := func(f func(p *Policy)) []byte {
		p := mustParse(t, good)
		f(p)
		return EncodePolicy(p)
	}
	tree2 := tree(t, "a | pin")
	cases := map[string][]byte{
		"empty": {}, "trailing": append(bytes.Clone(good), 0), "truncated": good[:len(good)-1], "version 2": append([]byte{2}, good[1:]...),
		"oversize":         append(bytes.Clone(good), make([]byte, protocol.MaxPolicy)...),
		"unknown suite":    edit(func(p *Policy) { p.Suite = 9 }),
		"unknown root":     edit(func(p *Policy) { p.Root = 7 }),
		"unknown mode":     edit(func(p *Policy) { p.Escrow.Mode = 9 }),
		"unknown kind":     edit(func(p *Policy) { p.Factors[0].Kind = 9 }),
		"zero kind":        edit(func(p *Policy) { p.Factors[0].Kind = 0 }),
		"unknown holder":   edit(func(p *Policy) { p.Anchor[0].Kind = 3 }),
		"duplicate holder": edit(func(p *Policy) { p.Anchor = append(p.Anchor, p.Anchor[0]) }),
		"five holders":     edit(func(p *Policy) { p.Anchor = append(p.Anchor, make([]Holder, 4)...) }),
		"duplicate factor": edit(func(p *Policy) { p.Factors[1].ID = p.Factors[0].ID }),
		"unsorted factors": edit(func(p *Policy) { p.Factors[0], p.Factors[1] = p.Factors[1], p.Factors[0] }),
		"a factor more": edit(func(p *Policy) {
			p.Factors = append(p.Factors, Factor{ID: "z", Kind: 1, Source: "z", Format: 1, Rev: 1})
		}),
		"other tree":       edit(func(p *Policy) { p.Tree = tree2 }),
		"two realms":       edit(func(p *Policy) { p.Escrow.Realms = append(p.Escrow.Realms, p.Escrow.Realms[0]); p.Escrow.N = 2 }),
		"T of N":           edit(func(p *Policy) { p.Escrow.T = 2 }),
		"epoch zero":       edit(func(p *Policy) { p.Epoch = 0 }),
		"rev zero":         edit(func(p *Policy) { p.Factors[0].Rev = 0 }),
		"bad label":        edit(func(p *Policy) { p.Factors[0].ID = "Pin" }),
		"long helper":      edit(func(p *Policy) { p.Factors[0].Helper = make([]byte, MaxHelper+1) }),
		"box on knowledge": edit(func(p *Policy) { p.Factors[0].Box = make([]byte, boxSize) }),
		"short box":        edit(func(p *Policy) { p.Factors[0].Box = make([]byte, 5) }),
		"oprf key, plain":  edit(func(p *Policy) { k := p.PPol; p.Escrow.Realms[0].K = &k }),
		"off the curve":    edit(func(p *Policy) { p.PPol = protocol.Point(append([]byte{2}, bytes.Repeat([]byte{0xff}, 32)...)) }),
		"identity":         edit(func(p *Policy) { p.PConf = protocol.Point{} }),
		"kdf not canonical": edit(func(p *Policy) {
			p.KDF = core.Params{Name: "pbkdf2sm3", Values: []core.Param{{Key: "i", N: 1}, {Key: "i", N: 1}}}
		}),
	}
	for name, b := range cases {
		if _, err := ParsePolicy(b); !errors.Is(err, ErrPolicy) {
			t.Errorf("%s: %v, want policy", name, err)
		}
	}
	if _, err := ParsePolicy(good); err != nil {
		t.Errorf("control: %v", err)
	}
	// Planted: a decoder that stops when it has what it wants.
	lenient := func(b []byte) bool {
		r := enc.NewUnpacker(b)
		return r.U8() == Version && r.U32() == SuiteSM && !r.Bad()
	}
	if !lenient(cases["trailing"]) {
		t.Error("the planted variant refuses: this test could not notice it")
	}
}

// req: K-15-03
func TestAttack05TreeAndSetsEdited(t *testing.T) {
	u := newUser(t, "05")
	s := u.enrol(u.params(wrapped3, protocol.ModePlain, 1))
	edits := map[string]func(p *Policy){
		"tree loosened":     func(p *Policy) { p.Tree = tree(t, "face | gesture | pin") },
		"set dropped":       func(p *Policy) { p.Sets = p.Sets[:2] },
		"set doubled":       func(p *Policy) { p.Sets = append(p.Sets, p.Sets[2]) },
		"sets reordered":    func(p *Policy) { p.Sets[0], p.Sets[1] = p.Sets[1], p.Sets[0] },
		"member taken away": func(p *Policy) { p.Sets[0].Members &= p.Sets[0].Members - 1 },
		"W swapped":         func(p *Policy) { p.Sets[0].W, p.Sets[1].W = p.Sets[1].W, p.Sets[0].W },
		"salts swapped":     func(p *Policy) { p.Sets[0].Salt, p.Sets[1].Salt = p.Sets[1].Salt, p.Sets[0].Salt },
	}
	refusedByParse := 0
	for name, f := range edits {
		p := mustParse(t, s.sealed.Policy)
		f(p)
		b := EncodePolicy(p)
		if _, err := Check(b, expect(s)); !errors.Is(err, ErrPolicy) {
			t.Errorf("%s: %v, want policy", name, err)
		}
		c, err := bypass(b, &s.sealed.Slot)
		if err != nil {
			refusedByParse++
			continue
		}
		if _, err := u.attempt(s, c, []string{"face", "gesture"}, u.secrets, false); !errors.Is(err, core.Auth) {
			t.Errorf("%s behind digest and signature: %v, want auth", name, err)
		}
	}
	if refusedByParse != 5 {
		t.Errorf("%d edits refused by the decoder alone, want 5", refusedByParse)
	}
	// Planted: a decoder that takes the sets as they come would accept them.
	p := mustParse(t, s.sealed.Policy)
	edits["set dropped"](p)
	p.Tree = tree(t, "(face & gesture) | (face & pin)") // pretend the tree was never compared
	if p.invalidSets() != "" {
		t.Error("the planted variant refuses: this test could not notice it")
	}
}

func TestAttack06Cost(t *testing.T) {
	u := newUser(t, "06")
	s := u.enrol(u.params("pin | gesture", protocol.ModePlain, 600))
	refuse := func(name string, tune func(x *Expect)) {
		t.Helper()
		x := expect(s)
		allocated := false
		x.Validate = func(core.Params) error { allocated = true; return nil }
		tune(&x)
		if _, err := Check(s.sealed.Policy, x); !errors.Is(err, ErrPolicy) || allocated {
			t.Errorf("%s: %v (kdf asked: %v), want policy before the kdf is asked", name, err, allocated)
		}
	}
	refuse("below the record's floor", func(x *Expect) { x.Floor = cheap(601) })
	refuse("another kdf than the floor's", func(x *Expect) { x.Floor = core.NewParams("other", core.Param{Key: "i", N: 1}) })
	refuse("below the local floor", func(x *Expect) { x.Limits.Floor = map[string]uint64{"i": 1000} })
	refuse("above the ceiling", func(x *Expect) { x.Limits.Ceiling = map[string]uint64{"i": 599} })
	refuse("kdf not on the list", func(x *Expect) { x.KDFs = []string{"argon2id"} })
	refuse("empty list", func(x *Expect) { x.KDFs = nil })
	x := expect(s)
	x.Validate = func(core.Params) error { return core.Errorf(core.Invalid, "kdf", "no") }
	if _, err := Check(s.sealed.Policy, x); !errors.Is(err, ErrPolicy) {
		t.Errorf("the kdf's own check: %v", err)
	}
	// The old cost spliced into the new policy.
	op := u.open(s, "pin")
	defer op.Wipe()
	raised := cheap(700)
	ed, err := op.Edit(Change{KDF: &raised}, EditParams{Slot: "device-1"}, u.rand)
	if err != nil {
		t.Fatal(err)
	}
	defer ed.Wipe()
	if err := ed.Enter("gesture", secret.Copy(u.secrets["gesture"])); err != nil {
		t.Fatal(err)
	}
	sealed, err := ed.Seal(context.Background(), u.kdf, u.kdf)
	if err != nil {
		t.Fatal(err)
	}
	p := mustParse(t, sealed.Policy)
	p.KDF = cheap(600)
	c, err := bypass(EncodePolicy(p), &sealed.Slot)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.attempt(&state{sealed: sealed}, c, []string{"pin"}, u.secrets, false); !errors.Is(err, core.Auth) {
		t.Errorf("old cost spliced in: %v, want auth", err)
	}
	lower := cheap(5)
	if _, err := op.Edit(Change{KDF: &lower}, EditParams{}, u.rand); !errors.Is(err, ErrPolicy) {
		t.Errorf("lowering the cost: %v", err)
	}
	// Planted: a check without a floor takes it.
	x = expect(s)
	if _, err := Check(s.sealed.Policy, x); err != nil {
		t.Errorf("control: %v", err)
	}
}

// req: K-5.3-03
func TestAttack07Downgrade(t *testing.T) {
	u := newUser(t, "07")
	s := u.enrol(u.params("pin & gesture", protocol.ModeHardened, 1))
	attacker, err := sm.GenerateKey(&stream{seed: "mallory"})
	if err != nil {
		t.Fatal(err)
	}
	edits := map[string]func(p *Policy){
		"suite": func(p *Policy) { p.Suite = 2 },
		"root":  func(p *Policy) { p.Root = RootWrapped },
		"mode": func(p *Policy) {
			p.Escrow.Mode, p.Escrow.OPRF, p.Escrow.Realms[0].K = protocol.ModePlain, OPRFNone, nil
		},
		"format": func(p *Policy) { p.Factors[0].Format = 7 },
		"oprf":   func(p *Policy) { k := protocol.Point(attacker.Public().Compressed()); p.Escrow.Realms[0].K = &k },
		"realm":  func(p *Policy) { p.Escrow.Realms[0].ID = protocol.ID{9} },
		"anchor": func(p *Policy) { p.Anchor = nil },
	}
	for name, f := range edits {
		p := mustParse(t, s.sealed.Policy)
		f(p)
		for _, b := range [][]byte{EncodePolicy(p), resign(t, p, attacker, true)} {
			if _, err := Check(b, expect(s)); !errors.Is(err, ErrPolicy) {
				t.Errorf("%s: %v, want policy", name, err)
			}
		}
		c, err := bypass(EncodePolicy(p), &s.sealed.Slot)
		if err != nil {
			continue
		}
		if _, err := u.attempt(s, c, []string{"pin", "gesture"}, u.secrets, false); !errors.Is(err, core.Auth) {
			t.Errorf("%s behind digest and signature: %v, want auth", name, err)
		}
	}
	x := expect(s)
	x.Modes = []protocol.Mode{protocol.ModePlain}
	if _, err := Check(s.sealed.Policy, x); !errors.Is(err, ErrPolicy) {
		t.Errorf("mode not allowed: %v", err)
	}
	// Planted: a core without the escrow mode gives both modes one core.
	p := mustParse(t, s.sealed.Policy)
	weak := func(p *Policy) string {
		h := sm.SM3(enc.Join(p.KeyID[:], p.Tree.Encode()))
		return hex.EncodeToString(h[:])
	}
	before, strong := weak(p), p.coreHash()
	edits["mode"](p)
	if weak(p) != before || p.coreHash() == strong {
		t.Error("the planted variant notices the mode, or the real core does not")
	}
}

func TestAttack08Rollback(t *testing.T) {
	u, v := newUser(t, "08"), newUser(t, "08b")
	s := u.enrol(u.params("pin", protocol.ModePlain, 1))
	op := u.open(s, "pin")
	defer op.Wipe()
	code, _ := NewRecoveryCode(u.rand)
	later, err := op.AddRecovery(code, "device-1", u.rand)
	if err != nil {
		t.Fatal(err)
	}
	twin, err := op.AddRecovery(code, "device-1", u.rand) // same epoch, other salts
	if err != nil {
		t.Fatal(err)
	}
	foreign := v.enrol(v.params("pin", protocol.ModePlain, 1))
	x := expect(&state{sealed: later})
	for name, b := range map[string][]byte{"rollback": s.sealed.Policy, "same epoch, other content": twin.Policy, "another user's": foreign.sealed.Policy} {
		if _, err := Check(b, x); !errors.Is(err, ErrPolicy) {
			t.Errorf("%s: %v, want policy", name, err)
		}
	}
	// While a change is pending, both are accepted and nothing else.
	x.Slots = []*Slot{&s.sealed.Slot, &later.Slot}
	for _, b := range [][]byte{s.sealed.Policy, later.Policy} {
		if _, err := Check(b, x); err != nil {
			t.Errorf("current and pending: %v", err)
		}
	}
	if _, err := Check(twin.Policy, x); !errors.Is(err, ErrPolicy) {
		t.Errorf("a third: %v", err)
	}
	// Planted: a check of signature and epoch alone takes the twin.
	sl := later.Slot
	p := mustParse(t, twin.Policy)
	pub, _ := sm.ParsePoint(sl.PPol[:])
	if p.Epoch < sl.Epoch || !sm.Verify(pub, twin.Policy[:len(twin.Policy)-64], enc.Str(protocol.PolicyID), p.Sig) {
		t.Error("the planted variant refuses: this test could not notice it")
	}
	// Served public keys that are not the record's.
	x = expect(&state{sealed: later})
	other := v.bundle.Pubs()
	x.Pubs = &other
	if _, err := Check(later.Policy, x); !errors.Is(err, ErrPolicy) {
		t.Errorf("foreign public keys: %v", err)
	}
}
