package mf

import (
	"bytes"
	"errors"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

func TestAttack09Signature(t *testing.T) {
	u := newUser(t, "09")
	s := u.enrol(u.params("pin", protocol.ModePlain, 1))
	mallory, _ := sm.GenerateKey(&stream{seed: "mallory"})
	for name, c := range map[string]struct {
		k   *sm.PrivateKey
		own bool
	}{"missing": {}, "by another key": {mallory, false}, "by another key, named in the policy": {mallory, true}, "by d_M": {u.bundle.Sign, false}, "by d_M, named": {u.bundle.Sign, true}} {
		p := mustParse(t, s.sealed.Policy)
		p.Sig = protocol.Sig{}
		b := EncodePolicy(p)
		if c.k != nil {
			b = resign(t, p, c.k, c.own)
		}
		// The digest is granted: only the signature stands.
		sl := s.sealed.Slot
		sl.Policy = sm.SM3(b)
		x := expect(s)
		x.Slots = []*Slot{&sl}
		if _, err := Check(b, x); !errors.Is(err, ErrPolicy) {
			t.Errorf("%s: %v, want policy", name, err)
		}
		if c.own {
			// Planted: verifying under the policy's own field accepts it.
			q := mustParse(t, b)
			pub, _ := sm.ParsePoint(q.PPol[:])
			if !sm.Verify(pub, b[:len(b)-64], enc.Str(protocol.PolicyID), q.Sig) {
				t.Errorf("%s: the planted variant refuses", name)
			}
		}
	}
}

// Attack 10 at this level: a refused policy leaves nothing to open with, and
// neither the KDF nor its check was asked. (The spy on sources is mstcc's.)
func TestAttack10NothingTouched(t *testing.T) {
	u := newUser(t, "10")
	s := u.enrol(u.params("pin", protocol.ModePlain, 1))
	before := u.kdf.calls.Load()
	b := bytes.Clone(s.sealed.Policy)
	b[len(b)/2] ^= 1
	asked := 0
	x := expect(s)
	x.Validate = func(core.Params) error { asked++; return nil }
	c, err := Check(b, x)
	if c != nil || !errors.Is(err, ErrPolicy) || asked != 0 || u.kdf.calls.Load() != before {
		t.Errorf("checked %v, %v, validate asked %d, %d slow calls", c, err, asked, u.kdf.calls.Load()-before)
	}
	// Planted: deriving first and checking the mac last costs a slow call.
	weak, err := bypass(EncodePolicy(func() *Policy { p := mustParse(t, s.sealed.Policy); p.Epoch = 9; return p }()), &s.sealed.Slot)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = u.attempt(s, weak, []string{"pin"}, u.secrets, false)
	if u.kdf.calls.Load() == before {
		t.Error("the planted variant touched nothing: this test could not notice it")
	}
}
