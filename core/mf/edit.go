package mf

import (
	"context"
	"io"
	"slices"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
)

// EditParams is what a change needs from the terminal.
type EditParams struct {
	Slot    string // key-store slot of the device secret, unchanged by an edit
	NoBoxes bool
	OPRF    OPRF // hardened mode
	// Evaluate is the counted try that proves factors entered again in hardened
	// mode; the caller confirms it. input is lent, the 32 bytes returned are
	// wiped here. Not used in plain mode.
	Evaluate func(ctx context.Context, input *secret.Buffer) ([]byte, error)
}

// An Edit is one change of an opened, wrapped policy: RK, MK, the blob and
// every holder stay; all sets are wrapped anew with fresh salts. It is used by
// one goroutine. Wipe it on every path.
type Edit struct {
	*Plan
	b   *Enrolment
	old *Opened
	x   EditParams
	fs  []*secret.Buffer // of the old policy's factors, entered or from boxes
}

// Edit starts a change. Factors entered for this open are reused when the
// opener kept them (Opener.Keep). The Opened is lent until Seal.
func (o *Opened) Edit(ch Change, x EditParams, rand io.Reader) (*Edit, error) {
	old := o.c.Policy
	if o.c.Slot == nil {
		return nil, core.Errorf(core.Policy, "mf: edit", "opened by a recovery sheet: this ends in a revoke")
	}
	pl, err := old.Plan(ch, o.kept())
	if err != nil {
		return nil, err
	}
	e := &Edit{Plan: pl, old: o, x: x, fs: make([]*secret.Buffer, len(old.Factors))}
	e.b = &Enrolment{rand: rand, anchor: o.anchor.Clone(), rk: o.rk.Clone(), pubs: o.c.Pubs, p: &Policy{
		Suite: old.Suite, KeyID: old.KeyID, MKGen: old.MKGen, Epoch: old.Epoch + 1, Root: old.Root, KDF: old.KDF,
		Escrow: old.Escrow, Anchor: slices.Clone(old.Anchor), Tree: pl.tree,
	}}
	e.b.x = Params{Root: old.Root, Mode: old.Escrow.Mode, Realm: old.Escrow.Realms[0].ID, App: o.c.App, Tree: pl.tree,
		NoAnchor: !old.Approved(), NoBoxes: x.NoBoxes, OPRF: x.OPRF, Device: DeviceHolder{Slot: x.Slot}}
	if ch.KDF != nil {
		e.b.p.KDF = *ch.KDF
	}
	e.b.x.KDF = e.b.p.KDF
	if err := e.start(); err != nil {
		e.Wipe()
		return nil, err
	}
	return e, nil
}

// start fills the new policy's factors and takes what needs no person.
func (e *Edit) start() error {
	old := e.old.c.Policy
	for i := range old.Factors {
		switch f := &old.Factors[i]; {
		case i < len(e.old.fs) && e.old.fs[i] != nil:
			e.fs[i] = e.old.fs[i].Clone()
		case len(f.Box) > 0:
			fs, err := openBox(e.old.rk.Bytes(), f)
			if err != nil {
				return err
			}
			e.fs[i] = fs
		}
	}
	for _, l := range e.tree.Labels() {
		f := old.Factor(l)
		if f == nil || slices.Contains(e.change.Replace, l) {
			spec, rev := FactorSpec{Label: l}, uint32(1)
			if f != nil {
				spec.Source, spec.Kind, rev = f.Source, f.Kind, f.Rev+1
			} else {
				spec = e.change.Factors[slices.IndexFunc(e.change.Factors, func(s FactorSpec) bool { return s.Label == l })]
			}
			n, err := e.b.newFactor(spec, rev)
			if err != nil {
				return err
			}
			e.b.p.Factors = append(e.b.p.Factors, n)
			continue
		}
		e.b.p.Factors = append(e.b.p.Factors, *f)
	}
	e.b.parts = make([]part, len(e.b.p.Factors))
	if err := e.b.drawSets(); err != nil {
		return err
	}
	return e.b.precheck("mf: edit")
}

// need finds the plan's entry for a label.
func (e *Edit) need(label string, how NeedHow) error {
	i := slices.IndexFunc(e.Needs, func(n Need) bool { return n.Label == label && n.How == how })
	if i < 0 {
		return core.Errorf(core.Usage, "mf: edit", "this change does not ask to %s factor %s", how, label)
	}
	return nil
}

// TransformKey and SetFactor serve the factors to be enrolled, as at a first
// enrolment.
func (e *Edit) TransformKey(label string) (*secret.Buffer, error) {
	if err := e.need(label, NeedEnrol); err != nil {
		return nil, err
	}
	return e.b.TransformKey(label)
}

// SetFactor takes a new or replaced factor's enrolment (lent).
func (e *Edit) SetFactor(label string, en core.Enrollment) error {
	if err := e.need(label, NeedEnrol); err != nil {
		return err
	}
	return e.b.SetFactor(label, en)
}

// CaptureParams is Checked.CaptureParams of the old policy.
func (e *Edit) CaptureParams(label string) (uint32, []byte, error) {
	return e.old.c.CaptureParams(label)
}

// RecoverInputs serves the factors to be entered again, as for an open.
func (e *Edit) RecoverInputs(label string) (*RecoverInputs, error) {
	if err := e.need(label, NeedEnter); err != nil {
		return nil, err
	}
	return (&Opener{c: e.old.c, anchor: e.old.anchor}).RecoverInputs(label)
}

// Enter takes what a source recovered for a factor that stays (lent).
func (e *Edit) Enter(label string, s *secret.Buffer) error {
	if err := e.need(label, NeedEnter); err != nil {
		return err
	}
	old := e.old.c.Policy
	i := slices.IndexFunc(old.Factors, func(f Factor) bool { return f.ID == label })
	e.fs[i].Wipe()
	e.fs[i] = factorSecret(old.KeyID, &old.Factors[i], s.Bytes())
	return nil
}

// Seal checks what was entered again against the old policy (one slow call per
// check, and in hardened mode one counted try; a wrong entry is Auth), wraps
// every set anew and confirms the result by a local derive of every set. Blob
// stays nil: the stored one still opens.
func (e *Edit) Seal(ctx context.Context, slow, oldSlow core.KDF) (*Sealed, error) {
	const op = "mf: seal change"
	old := e.old.c.Policy
	for _, n := range e.Needs {
		i := slices.IndexFunc(old.Factors, func(f Factor) bool { return f.ID == n.Label })
		if n.How == NeedEnter && e.fs[i] == nil {
			return nil, core.Errorf(core.State, op, "factor %s was not entered", n.Label)
		}
	}
	for _, set := range e.checks {
		if err := e.prove(ctx, oldSlow, set); err != nil {
			return nil, err
		}
	}
	for i := range e.b.p.Factors {
		f := &e.b.p.Factors[i]
		j := slices.IndexFunc(old.Factors, func(o Factor) bool { return o.ID == f.ID })
		if e.b.parts[i].fs == nil && e.stays(f.ID) && j >= 0 && e.fs[j] != nil {
			e.b.parts[i].fs = e.fs[j].Clone()
		}
	}
	if missing := e.b.Missing(); len(missing) > 0 || e.b.done {
		return nil, core.Errorf(core.State, op, "want every factor set (missing %v), and one call", missing)
	}
	return e.b.seal(ctx, slow, nil)
}

// prove opens the old policy with one of its sets.
func (e *Edit) prove(ctx context.Context, slow core.KDF, set int) error {
	c := e.old.c
	o := &Opener{c: c, anchor: e.old.anchor.Clone(), set: set, fs: make([]*secret.Buffer, len(e.fs))}
	defer o.Wipe()
	for i := range e.fs {
		if e.fs[i] != nil {
			o.fs[i] = e.fs[i].Clone()
		}
	}
	if err := o.Stretch(ctx, slow); err != nil {
		return err
	}
	var u []byte
	if c.Policy.Escrow.Mode == protocol.ModeHardened {
		if e.x.Evaluate == nil {
			return core.Errorf(core.Usage, "mf: seal change", "hardened mode needs an evaluation to check what was entered again")
		}
		in := o.OPRFInput()
		defer in.Wipe()
		var err error
		if u, err = e.x.Evaluate(ctx, in); err != nil {
			return err
		}
		defer secret.Zero(u)
	}
	opened, err := o.Finish(u)
	if err != nil {
		return err
	}
	opened.Wipe()
	return nil
}

// Wipe wipes everything secret of the edit; the Opened is the caller's.
func (e *Edit) Wipe() {
	if e == nil {
		return
	}
	e.b.Wipe()
	secret.WipeAll(e.fs...)
}

// AddRecovery adds the recovery code as a holder: the one change that touches
// only the anchor's V, possible with either root, asking for nothing. Key,
// count, sets and blob stay. A policy that has a code already refuses: its old
// holder would keep knowing the anchor, so a new code is a revoke.
func (o *Opened) AddRecovery(code *RecoveryCode, slot string, rand io.Reader) (*Sealed, error) {
	const op = "mf: add recovery"
	old := o.c.Policy
	if o.c.Slot == nil {
		return nil, core.Errorf(core.Policy, op, "opened by a recovery sheet: this ends in a revoke")
	}
	if !old.Approved() {
		return nil, core.Errorf(core.Policy, op, "a policy without an anchor has no recovery")
	}
	if old.Holder(RecoveryHolder) != nil {
		return nil, core.Errorf(core.Conflict, op, "there is a recovery code already; a new one is a revoke")
	}
	p := *old
	p.Anchor = slices.Clone(old.Anchor)
	p.Epoch++
	e := &Enrolment{rand: rand, p: &p, anchor: o.anchor.Clone(), rk: o.rk.Clone(), pubs: o.c.Pubs}
	e.x = Params{App: o.c.App, Recovery: code, Device: DeviceHolder{Slot: slot}}
	defer e.Wipe()
	if err := e.addRecovery(code); err != nil {
		return nil, err
	}
	conf, err := e.sign()
	if err != nil {
		return nil, err
	}
	s := &Sealed{Policy: EncodePolicy(&p), Confirm: conf}
	s.Slot = e.slot(s.Policy)
	c, err := Check(s.Policy, Expect{Slots: []*Slot{&s.Slot}, App: o.c.App, KDFs: []string{p.KDF.Name}})
	if err == nil && c.core != o.c.core {
		err = core.Errorf(core.Internal, op, "the structure changed")
	}
	if err == nil {
		err = e.confirmHolders(c.Policy)
	}
	if err != nil {
		s.Wipe()
		return nil, err
	}
	return s, nil
}

// Revoke starts a generation in which everything is new: RK, anchor, device
// secret and key, recovery code, every salt, every factor captured again; mkGen
// rises, the key id and the bundle stay. It protects against everyone but an
// SS-CC or thief that kept the old record. It is how a direct root changes,
// how a tree is tightened or plain mode left, and how every recovery ends.
// Seal it with the bundle OpenBlob gave.
func (o *Opened) Revoke(x Params, rand io.Reader) (*Enrolment, error) {
	const op = "mf: revoke"
	old := o.c.Policy
	if old.Escrow.Mode == protocol.ModeHardened && x.Mode != protocol.ModeHardened {
		return nil, core.Errorf(core.Policy, op, "hardened mode is never left: it would give up the counted tries")
	}
	if x.App != o.c.App {
		return nil, core.Errorf(core.Usage, op, "the app may not change")
	}
	if err := o.unused(x); err != nil {
		return nil, err
	}
	e, err := newEnrolment(x, old.KeyID, old.MKGen+1, old.Epoch+1, rand)
	if err != nil {
		return nil, err
	}
	e.keep = old.Pubs
	return e, nil
}

// unused refuses holders the old generation knew: whoever holds one knows the
// old anchor, and would know the new one.
func (o *Opened) unused(x Params) error {
	const op = "mf: revoke"
	for i := range o.c.Policy.Anchor {
		h := &o.c.Policy.Anchor[i]
		if h.Kind == HolderDevice && x.Device.Secret.Len() == DeviceSecret {
			a := holderPad(o.c.Policy.KeyID, h, x.Device.Secret.Bytes(), h.V[:])
			same := a.Equal(o.anchor)
			a.Wipe()
			if same {
				return core.Errorf(core.Usage, op, "the device secret must be new")
			}
		}
		if h.Kind == HolderDevice && !x.Device.Key.IsZero() && x.Device.Key.Compressed() == h.P {
			return core.Errorf(core.Usage, op, "the device key must be new")
		}
		if h.Kind == HolderRecovery && x.Recovery != nil {
			k, err := x.Recovery.RebindKey(o.c.Policy.KeyID)
			if err != nil {
				return err
			}
			same := k.Public().Compressed() == h.P
			k.Wipe()
			if same {
				return core.Errorf(core.Usage, op, "the recovery code must be new")
			}
		}
	}
	return nil
}
