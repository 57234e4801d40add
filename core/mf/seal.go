package mf

import (
	"bytes"
	"context"
	"crypto/subtle"
	"runtime"
	"sync"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// seal builds and confirms the generation. bundle is nil when MK and blob stay.
func (e *Enrolment) seal(ctx context.Context, slow core.KDF, bundle *Bundle) (_ *Sealed, err error) {
	e.done = true
	out := &Sealed{}
	defer func() {
		if err != nil {
			out.Wipe()
		}
	}()
	p := e.p
	if p.Escrow.Mode == protocol.ModeHardened {
		if out.OPRFKey, err = e.dealOPRF(); err != nil {
			return nil, err
		}
	}
	p.Pubs = pubsHash(e.pubs)
	keys, err := e.setKeys(ctx, slow, out.OPRFKey)
	defer secret.WipeAll(keys...)
	if err != nil {
		return nil, err
	}
	if err := e.root(keys); err != nil {
		return nil, err
	}
	if err := e.boxes(); err != nil {
		return nil, err
	}
	if out.Confirm, err = e.sign(); err != nil {
		return nil, err
	}
	out.Policy = EncodePolicy(p)
	if bundle != nil {
		if out.Blob, err = sealBlob(e.rk.Bytes(), p, e.x.App, bundle, e.rand); err != nil {
			return nil, err
		}
	}
	out.Slot = e.slot(out.Policy)
	if err := e.confirm(ctx, slow, out); err != nil {
		return nil, err
	}
	return out, nil
}

// slot is the trust record's entry for the stored policy.
func (e *Enrolment) slot(stored []byte) Slot {
	return Slot{Policy: sm.SM3(stored), Epoch: e.p.Epoch, MKGen: e.p.MKGen, PPol: e.p.PPol, Pubs: e.pubs, Secret: e.x.Device.Slot}
}

// dealOPRF draws this generation's OPRF key; its public half enters the core.
func (e *Enrolment) dealOPRF() (*secret.Buffer, error) {
	k, err := sm.GenerateKey(e.rand)
	if err != nil {
		return nil, err
	}
	defer k.Wipe()
	if err := sm.PairTest(k); err != nil {
		return nil, err
	}
	pub := protocol.Point(k.Public().Compressed())
	e.p.Escrow = Escrow{Mode: protocol.ModeHardened, OPRF: OPRFSM2, T: 1, N: 1,
		Realms: []Realm{{ID: e.p.Escrow.Realms[0].ID, Index: 1, K: &pub}}}
	return k.Scalar(), nil
}

// forSets runs fn for every set, a few at a time: one slow call each.
func (e *Enrolment) forSets(fn func(i int) error) error {
	var (
		wg    sync.WaitGroup
		errs  = make([]error, len(e.p.Sets))
		slots = make(chan struct{}, min(4, runtime.GOMAXPROCS(0)))
	)
	for i := range e.p.Sets {
		slots <- struct{}{}
		wg.Add(1)
		go func() {
			defer func() { <-slots; wg.Done() }()
			errs[i] = fn(i)
		}()
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// setKeys computes K_S of every set.
func (e *Enrolment) setKeys(ctx context.Context, slow core.KDF, oprfKey *secret.Buffer) ([]*secret.Buffer, error) {
	p := e.p
	coreHash := p.coreHash()
	fs := make([]*secret.Buffer, len(e.parts))
	for i := range e.parts {
		fs[i] = e.parts[i].fs
	}
	keys := make([]*secret.Buffer, len(p.Sets))
	err := e.forSets(func(i int) error {
		s := p.Sets[i]
		ikm := p.setInput(s, e.anchor.Bytes(), fs)
		defer ikm.Wipe()
		g, err := stretch(ctx, slow, p.KDF, coreHash[:], s, ikm)
		if err != nil {
			return err
		}
		defer g.Wipe()
		u, err := e.evaluate(oprfKey, s, g)
		defer secret.Zero(u)
		if err == nil {
			keys[i] = setKey(g, u)
		}
		return err
	})
	return keys, err
}

// evaluate is u, with the key being dealt; empty in plain mode.
func (e *Enrolment) evaluate(oprfKey *secret.Buffer, s Set, g *secret.Buffer) ([]byte, error) {
	if oprfKey == nil {
		return nil, nil
	}
	in := e.p.oprfInput(s, g)
	defer in.Wipe()
	u, err := e.x.OPRF.FullEvaluate(oprfKey.Bytes(), in.Bytes())
	if err == nil && len(u) != oprfOutput {
		err = core.Errorf(core.Internal, "mf: seal", "the oprf gave %d bytes, want %d", len(u), oprfOutput)
	}
	return u, err
}

// root fixes RK and masks it under every set.
func (e *Enrolment) root(keys []*secret.Buffer) error {
	p := e.p
	if p.Root == RootDirect {
		coreHash := p.coreHash()
		e.rk.Wipe()
		e.rk = p.rootKey(p.Sets[0], keys[0], coreHash[:])
		return nil
	}
	if e.rk == nil {
		e.rk = secret.New(32)
		if err := e.draw(e.rk.Bytes()); err != nil {
			return err
		}
	}
	for i := range p.Sets {
		w := p.wrapRoot(p.Sets[i], keys[i], e.rk.Bytes())
		copy(p.Sets[i].W[:], w.Bytes())
		w.Wipe()
	}
	return nil
}

// boxes keeps every biometric factor's fs under RK, so that another factor can
// change without the finger.
func (e *Enrolment) boxes() (err error) {
	for i := range e.p.Factors {
		f := &e.p.Factors[i]
		f.Box = nil
		if f.Kind == core.KindBiometric && e.p.Root == RootWrapped && !e.x.NoBoxes {
			if f.Box, err = sealBox(e.rk.Bytes(), f, e.parts[i].fs, e.rand); err != nil {
				return err
			}
		}
	}
	return nil
}

// sign fills P_pol, P_conf, mac and sig, and returns d_conf.
func (e *Enrolment) sign() (*sm.PrivateKey, error) {
	p := e.p
	pol, err := policyKey(e.rk.Bytes(), p.KeyID)
	if err != nil {
		return nil, err
	}
	defer pol.Wipe()
	conf, err := confirmKey(e.rk.Bytes(), p.KeyID, p.MKGen)
	if err != nil {
		return nil, err
	}
	p.PPol, p.PConf = pol.Public().Compressed(), conf.Public().Compressed()
	body := packBody(p)
	p.MAC = policyMAC(e.rk.Bytes(), body)
	if p.Sig, err = pol.Sign(e.rand, append(body, p.MAC[:]...), enc.Str(protocol.PolicyID)); err != nil {
		conf.Wipe()
		return nil, err
	}
	return conf, nil
}

// confirm derives every set again from the stored bytes and compares RK; with
// a blob it opens it and compares the keys.
func (e *Enrolment) confirm(ctx context.Context, slow core.KDF, s *Sealed) error {
	const op = "mf: confirm"
	c, err := Check(s.Policy, Expect{Slots: []*Slot{&s.Slot}, App: e.x.App, KDFs: []string{e.p.KDF.Name}, AllowNoAnchor: e.x.NoAnchor})
	if err != nil {
		return core.Errorf(core.Internal, op, "the new policy does not pass its own check: %w", err)
	}
	if err := e.confirmHolders(c.Policy); err != nil {
		return err
	}
	return e.forSets(func(i int) error {
		o, err := e.reopen(ctx, slow, c, i, s.OPRFKey)
		if err != nil {
			return core.Errorf(core.Internal, op, "set %d does not open again: %w", i+1, err)
		}
		defer o.Wipe()
		if subtle.ConstantTimeCompare(o.rk.Bytes(), e.rk.Bytes()) != 1 {
			return core.Errorf(core.Internal, op, "set %d gives another key", i+1)
		}
		if s.Blob == nil || i > 0 {
			return nil
		}
		b, err := o.OpenBlob(s.Blob)
		if err != nil {
			return core.Errorf(core.Internal, op, "the sealed keys do not open again: %w", err)
		}
		b.Wipe()
		return nil
	})
}

// confirmHolders checks that every holder whose secret is at hand opens the anchor.
func (e *Enrolment) confirmHolders(p *Policy) error {
	for i := range p.Anchor {
		h := &p.Anchor[i]
		s := e.x.Device.Secret
		if h.Kind == HolderRecovery {
			s = nil
			if e.x.Recovery != nil {
				s = e.x.Recovery.Secret()
			}
		}
		if s.Len() == 0 {
			continue
		}
		a := holderPad(p.KeyID, h, s.Bytes(), h.V[:])
		same := a.Equal(e.anchor)
		a.Wipe()
		if !same {
			return core.Errorf(core.Internal, "mf: confirm", "anchor holder %s does not open the anchor", h.ID)
		}
	}
	return nil
}

// reopen runs the derive of set i from the stored policy. Factors whose secret
// the builder never saw (they came from a box) enter as their fs.
func (e *Enrolment) reopen(ctx context.Context, slow core.KDF, c *Checked, i int, oprfKey *secret.Buffer) (*Opened, error) {
	o := &Opener{c: c, anchor: e.anchor.Clone(), set: i, fs: make([]*secret.Buffer, len(c.Policy.Factors))}
	defer o.Wipe()
	for j, f := range c.Policy.Factors {
		if c.Policy.Sets[i].Members>>j&1 == 0 {
			continue
		}
		pt := e.parts[j]
		if pt.secret == nil {
			o.fs[j] = pt.fs.Clone()
			continue
		}
		in, err := o.RecoverInputs(f.ID)
		if err != nil {
			return nil, err
		}
		same := bytes.Equal(in.Helper, pt.helper)
		in.Wipe()
		if !same {
			return nil, core.Errorf(core.Internal, "mf: confirm", "the helper of factor %s does not unmask", f.ID)
		}
		if err := o.SetFactor(f.ID, pt.secret); err != nil {
			return nil, err
		}
	}
	if err := o.Stretch(ctx, slow); err != nil {
		return nil, err
	}
	var u []byte
	if in := o.OPRFInput(); in != nil {
		in.Wipe()
		var err error
		if u, err = e.evaluate(oprfKey, c.Policy.Sets[i], o.g); err != nil {
			return nil, err
		}
		defer secret.Zero(u)
	}
	return o.Finish(u)
}
