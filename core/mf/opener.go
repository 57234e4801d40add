package mf

import (
	"context"
	"crypto/subtle"
	"io"
	"slices"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// An Opener derives one attempt: step 3 of clause 7.2 as the design numbers
// it. It is used by one goroutine, in the order of its methods, once.
type Opener struct {
	c      *Checked
	anchor *secret.Buffer
	set    int // index of the chosen set, -1 before Choose
	fs     []*secret.Buffer
	g      *secret.Buffer
	keep   bool
}

// NewOpener opens the anchor with a holder's secret (lent): the device's 32
// bytes or the recovery code's 16. A wrong secret is not noticed here, nor
// anywhere before Finish. With a policy without an anchor, holder is "" and
// the secret nil.
func NewOpener(c *Checked, holder string, holderSecret *secret.Buffer) (*Opener, error) {
	const op = "mf: new opener"
	o := &Opener{c: c, set: -1, fs: make([]*secret.Buffer, len(c.Policy.Factors))}
	if !c.Policy.Approved() {
		if holder != "" {
			return nil, core.Errorf(core.Usage, op, "the policy has no anchor holder")
		}
		o.anchor = secret.New(0)
		return o, nil
	}
	h := c.Policy.Holder(holder)
	if h == nil {
		return nil, core.Errorf(core.NotFound, op, "the policy has no anchor holder %q", holder)
	}
	if n := holderSecretSize(h.Kind); holderSecret.Len() != n {
		return nil, core.Errorf(core.Usage, op, "a %s secret has %d bytes", h.Kind, n)
	}
	o.anchor = holderPad(c.Policy.KeyID, h, holderSecret.Bytes(), h.V[:])
	return o, nil
}

func holderSecretSize(k HolderKind) int {
	if k == HolderRecovery {
		return RecoverySecret
	}
	return DeviceSecret
}

// Choose fixes the set to open: the minimal set among the labels at hand. It
// returns the labels that will be used, sorted. Code Usage when they open nothing.
func (o *Opener) Choose(have []string) ([]string, error) {
	set, i, ok := o.c.Policy.Tree.Choose(have)
	if !ok {
		return nil, core.Errorf(core.Usage, "mf: choose", "these factors open nothing; the policy is %s", o.c.Policy.Tree)
	}
	o.set = i
	return set, nil
}

// Keep makes the Opened remember the factors entered, so that a change does
// not ask for them again. For changes only: an open for use wipes them.
func (o *Opener) Keep() { o.keep = true }

// RecoverInputs is what a source's Recover takes.
type RecoverInputs struct {
	Format       uint32
	Helper       []byte         // knowledge: parameters; biometric: unmasked, plausible whatever the anchor was
	TransformKey *secret.Buffer // keys the feature transform; nil for knowledge and possession. Owned by the caller
}

// Wipe wipes the transform key and the unmasked helper.
func (in *RecoverInputs) Wipe() {
	in.TransformKey.Wipe()
	secret.Zero(in.Helper)
}

// RecoverInputs unmasks a factor's helper and derives its transform key. To be
// called after the samples are taken.
func (o *Opener) RecoverInputs(label string) (*RecoverInputs, error) {
	_, f, err := o.factor(label)
	if err != nil {
		return nil, err
	}
	in := &RecoverInputs{Format: f.Format}
	if f.Kind != core.KindBiometric {
		in.Helper = slices.Clone(f.Helper)
		return in, nil
	}
	bk := bindKey(o.anchor.Bytes(), o.c.Policy.KeyID, f)
	defer bk.Wipe()
	if in.Helper, err = maskHelper(bk, f.Helper); err != nil {
		return nil, err
	}
	in.TransformKey = transformKey(bk)
	return in, nil
}

func (o *Opener) factor(label string) (int, *Factor, error) {
	i := slices.IndexFunc(o.c.Policy.Factors, func(f Factor) bool { return f.ID == label })
	if i < 0 {
		return 0, nil, core.Errorf(core.NotFound, "mf: factor", "no factor %s in the policy", label)
	}
	return i, &o.c.Policy.Factors[i], nil
}

// SetFactor takes what a source recovered (lent): any bytes of any length, a
// wrong one is noticed only by Finish.
func (o *Opener) SetFactor(label string, s *secret.Buffer) error {
	i, f, err := o.factor(label)
	if err != nil {
		return err
	}
	o.fs[i].Wipe()
	o.fs[i] = factorSecret(o.c.Policy.KeyID, f, s.Bytes())
	return nil
}

// SetLost stands in for a source that failed after its sample was taken: the
// factor becomes 32 random bytes, and the attempt fails like any wrong one.
func (o *Opener) SetLost(label string, rand io.Reader) error {
	s, err := secret.Read(rand, 32)
	if err != nil {
		return core.Errorf(core.Internal, "mf: lost factor", "%w", err)
	}
	defer s.Wipe()
	return o.SetFactor(label, s)
}

// Stretch runs the one slow call of the attempt. Every factor of the chosen
// set must be set. The factors are wiped afterwards unless kept.
func (o *Opener) Stretch(ctx context.Context, slow core.KDF) error {
	const op = "mf: stretch"
	if o.set < 0 || o.g != nil {
		return core.Errorf(core.State, op, "want one stretch after Choose")
	}
	p := o.c.Policy
	s := p.Sets[o.set]
	for i := range p.Factors {
		if s.Members>>i&1 == 1 && o.fs[i] == nil {
			return core.Errorf(core.State, op, "factor %s is not set", p.Factors[i].ID)
		}
	}
	ikm := p.setInput(s, o.anchor.Bytes(), o.fs)
	defer ikm.Wipe()
	g, err := stretch(ctx, slow, p.KDF, o.c.core[:], s, ikm)
	if err != nil {
		return err
	}
	if !o.keep {
		secret.WipeAll(o.fs...)
		clear(o.fs)
	}
	o.g = g
	return nil
}

// OPRFInput returns the 32 bytes to be blinded and evaluated in hardened mode;
// nil before Stretch and in plain mode. The caller owns the buffer.
func (o *Opener) OPRFInput() *secret.Buffer {
	if o.g == nil || o.c.Policy.Escrow.Mode != protocol.ModeHardened {
		return nil
	}
	return o.c.Policy.oprfInput(o.c.Policy.Sets[o.set], o.g)
}

func (p *Policy) oprfInput(s Set, g *secret.Buffer) *secret.Buffer {
	return derive(g.Bytes(), labelOPRF, p.setIDs(s), 32)
}

// Finish reaches RK and checks the policy's mac under it. u is the OPRF output
// in hardened mode (32 bytes) and empty in plain mode. The one error of a
// wrong factor, anchor or u has code Auth and says no more.
func (o *Opener) Finish(u []byte) (*Opened, error) {
	const op = "mf: open"
	if o.g == nil {
		return nil, core.Errorf(core.State, op, "want Stretch before Finish")
	}
	p := o.c.Policy
	want := 0
	if p.Escrow.Mode == protocol.ModeHardened {
		want = oprfOutput
	}
	if len(u) != want {
		return nil, core.Errorf(core.Usage, op, "oprf output of %d bytes, want %d in %s mode", len(u), want, p.Escrow.Mode)
	}
	ks := setKey(o.g, u)
	defer ks.Wipe()
	rk := p.rootKey(p.Sets[o.set], ks, o.c.core[:])
	mac := policyMAC(rk.Bytes(), o.c.body)
	if subtle.ConstantTimeCompare(mac[:], p.MAC[:]) != 1 {
		rk.Wipe()
		return nil, core.Errorf(core.Auth, op, "something entered was wrong")
	}
	out := &Opened{c: o.c, rk: rk, anchor: o.anchor.Clone(), fs: make([]*secret.Buffer, len(o.fs))}
	for i := range o.fs {
		if o.keep && p.Sets[o.set].Members>>i&1 == 1 {
			out.fs[i] = o.fs[i].Clone()
		}
	}
	return out, nil
}

// oprfOutput is the length of u.
const oprfOutput = 32

// rootKey is RK as one set sees it.
func (p *Policy) rootKey(s Set, ks *secret.Buffer, coreHash []byte) *secret.Buffer {
	if p.Root == RootDirect {
		return derive(ks.Bytes(), labelRoot, coreHash, 32)
	}
	return p.wrapRoot(s, ks, s.W[:])
}

// Wipe wipes the attempt. It may be called at any time and repeatedly.
func (o *Opener) Wipe() {
	if o == nil {
		return
	}
	o.anchor.Wipe()
	o.g.Wipe()
	secret.WipeAll(o.fs...)
}

// An Opened holds RK and the anchor of a policy that opened.
type Opened struct {
	c      *Checked
	rk     *secret.Buffer
	anchor *secret.Buffer
	fs     []*secret.Buffer // by factor; nil unless the opener kept them
}

// kept lists the factors remembered.
func (o *Opened) kept() []string {
	var out []string
	for i, f := range o.c.Policy.Factors {
		if i < len(o.fs) && o.fs[i] != nil {
			out = append(out, f.ID)
		}
	}
	return out
}

// Checked returns the policy that was opened.
func (o *Opened) Checked() *Checked { return o.c }

// OpenBlob opens the sealed keys and compares their public halves with those
// the trust record expects. A changed blob has code Corrupt, a bundle of other
// keys Integrity. The caller owns the bundle.
func (o *Opened) OpenBlob(blob []byte) (*Bundle, error) {
	b, err := openBlob(o.rk.Bytes(), o.c.Policy, o.c.App, blob)
	if err != nil {
		return nil, err
	}
	if pubs := b.Pubs(); pubsHash(pubs) != o.c.Policy.Pubs || o.c.Slot != nil && pubs != o.c.Pubs {
		b.Wipe()
		return nil, core.Errorf(core.Integrity, "mf: open blob", "the sealed keys are not this user's")
	}
	return b, nil
}

// ConfirmKey returns d_conf, which signs Confirm, Commit and removals under
// the id protocol.ConfirmID. The caller owns it. It comes from RK, never from
// the user's signing key.
func (o *Opened) ConfirmKey() (*sm.PrivateKey, error) {
	return confirmKey(o.rk.Bytes(), o.c.Policy.KeyID, o.c.Policy.MKGen)
}

// Wipe wipes RK, the anchor and kept factors.
func (o *Opened) Wipe() {
	if o == nil {
		return
	}
	o.rk.Wipe()
	o.anchor.Wipe()
	secret.WipeAll(o.fs...)
}
