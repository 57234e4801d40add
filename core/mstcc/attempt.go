package mstcc

import (
	"context"
	"errors"
	"io"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

// An attempt is one run of the derive of clause 7.2: one set of factors, one
// counted try. It is wiped on every path.
type attempt struct {
	id       protocol.ID // of the counted try
	user     protocol.ID
	checked  *mf.Checked
	srcs     []boundSource
	captures []core.Capture
	opener   *mf.Opener
	slow     core.KDF
	noKDF    error // why there is no slow
	opened   *mf.Opened
	sealed   []byte
	after    protocol.Tries // SS-CC's counter as of the counted try
	tag      protocol.Tag
	blinded  protocol.Point // hardened: what the counted try sent
	approved bool
	keep     bool // the factors entered stay with opened: a change needs them
}

func (a *attempt) wipe() {
	a.closeCaptures()
	a.opener.Wipe()
	a.opened.Wipe()
}

// closeCaptures wipes the samples.
func (a *attempt) closeCaptures() {
	for _, c := range a.captures {
		if c != nil {
			_ = c.Close()
		}
	}
	a.captures = nil
}

// OpenOptions picks what an attempt uses.
type OpenOptions struct {
	// Factors are the labels the person will give; the first authorised set
	// within them is used. Empty = the first set of the policy.
	Factors []string
}

// policyFor is step 0: fetch the public policy and hold it against the trust
// record, the profile and the KDF, all before any source or prompt is touched.
// req: K-7.2-02, K-7.2-03, X-25
func (m *Module) policyFor(ctx context.Context) (*attempt, error) {
	conn, err := m.connect(ctx)
	if err != nil {
		return nil, err
	}
	if _, _, err := m.resume(ctx, conn); err != nil {
		return nil, err
	}
	if conn, err = m.connect(ctx); err != nil { // a revoke ends the old device key's session
		return nil, err
	}
	var ans protocol.PolicyAnswer
	err = again(ctx, func() (err error) {
		ans, err = conn.Policy(ctx, protocol.PolicyRequest{User: m.trust.User, Seen: m.tries.seen})
		return err
	})
	if err != nil {
		return nil, err
	}
	a := &attempt{user: m.trust.User}
	x := m.expect(ctx, a, ans)
	x.Slots, x.Floor, x.KDFs = []*mf.Slot{m.trust.Current, m.trust.Pending}, m.trust.Floor, []string{m.trust.Floor.Name}
	a.checked, err = mf.Check(ans.Policy, x)
	if err != nil {
		return nil, err
	}
	if a.slow == nil {
		return nil, a.noKDF
	}
	if a.checked.Slot == m.trust.Pending {
		if err := m.promote(ctx, m.trust.User); err != nil {
			return nil, err
		}
		if _, err := m.connect(ctx); err != nil {
			return nil, err
		}
	}
	if err := m.raiseMode(ctx, a.checked.Policy.Escrow.Mode); err != nil {
		return nil, err
	}
	return a, m.mergeTries(ctx, ans.Tries)
}

// approvedFunction says whether k computes an approved function. Its own word
// counts because its image is signed, or the answer does not matter. A key made
// with another function is of another key space: the KDF's name and cost enter
// the core that every key is derived from.
// req: G-7.2-02, G-7.2-03
func approvedFunction(ctx context.Context, k core.KDF) bool {
	info, err := k.Describe(ctx)
	return err == nil && info.Approved
}

// expect is what this terminal accepts of a served policy, whatever its
// generation, and fills in a's KDF or why there is none. Naming the KDF from the unverified policy
// only picks which check to run.
func (m *Module) expect(ctx context.Context, a *attempt, ans protocol.PolicyAnswer) mf.Expect {
	x := mf.Expect{Pubs: &ans.Pubs, App: m.cfg.Binding.App, Realm: m.cfg.Binding.Realm}
	if m.profile.Mode == protocol.ModeHardened {
		x.Modes = []protocol.Mode{protocol.ModeHardened}
	}
	p, err := mf.ParsePolicy(ans.Policy)
	if err != nil {
		return x // the check says what is wrong with it
	}
	slow, ok, err := m.cfg.KDF(ctx, p.KDF.Name)
	if err != nil {
		a.noKDF = err // told once the policy is known to be the right one
		return x
	}
	a.slow, a.approved = slow, ok && approvedFunction(ctx, slow)
	x.KDFs = []string{p.KDF.Name}
	x.Validate = func(q core.Params) error { return slow.Validate(q, core.Limits{}) }
	return x
}

// raiseMode seals hardened mode into the profile once a revoke left plain mode
// behind; there is no way back.
func (m *Module) raiseMode(ctx context.Context, mode protocol.Mode) error {
	if mode == m.profile.Mode || mode != protocol.ModeHardened {
		return nil
	}
	m.profile.Mode = mode
	return m.writeLocal(ctx, mf.FileProfile, m.slot(), m.profile.marshal())
}

// mergeTries takes in SS-CC's counter; a history that does not chain is an
// alarm, and at level 2 an end (I7).
func (m *Module) mergeTries(ctx context.Context, t protocol.Tries) error {
	err := m.takeTries(t)
	return errors.Join(err, m.saveTries(ctx))
}

// takeTries is mergeTries for a caller that makes the counter durable later.
func (m *Module) takeTries(t protocol.Tries) error {
	was := m.tries.alarm
	if m.tries.merge(t, nextHead) && !was {
		m.emit(Progress{Flow: "alarm", Text: "SS-CC's try counter went backwards or does not chain: it was restored or changed; ask the operator"})
	}
	if m.tries.alarm && m.profile.Level >= 2 {
		return core.Errorf(core.Integrity, "mstcc", "SS-CC's try counter is not the one this terminal remembers; level 2 stops here")
	}
	return nil
}

func nextHead(h protocol.Head, seq uint32, tag protocol.Tag) protocol.Head {
	return sm.SM3(protocol.TryHeadInput(h, seq, tag))
}

func tryTag(attempt protocol.ID, blinded []byte) (tag protocol.Tag) {
	sum := sm.SM3(protocol.TryTagInput(attempt, sm.SM3(blinded)))
	copy(tag[:], sum[:])
	return tag
}

// capture is step 1: every source of the chosen set takes its samples. A
// cancel here costs no try.
func (m *Module) capture(ctx context.Context, a *attempt, o OpenOptions, p core.Prompter) (err error) {
	if a.opener == nil {
		if a.opener, err = m.opener(ctx, a.checked); err != nil {
			return err
		}
	}
	if a.keep {
		a.opener.Keep()
	}
	have := o.Factors
	if len(have) == 0 {
		have = a.checked.Policy.Tree.MinimalSets()[0]
	}
	set, err := a.opener.Choose(have)
	if err != nil {
		return err
	}
	if a.srcs, err = m.sources(ctx, set); err != nil {
		return err
	}
	for _, s := range a.srcs {
		a.approved = a.approved && s.approved
	}
	if err := m.profile.space(a.approved); err != nil {
		return err // before anybody is asked
	}
	a.captures = make([]core.Capture, len(a.srcs))
	for i, s := range a.srcs {
		format, params, err := a.checked.CaptureParams(s.label)
		if err != nil {
			return err
		}
		a.captures[i], err = s.src.Capture(ctx, core.CaptureRequest{Label: s.label, Format: format, Params: params}, p)
		if err != nil {
			return err
		}
	}
	return nil
}

// opener opens the anchor with the device secret of the slot in force.
func (m *Module) opener(ctx context.Context, c *mf.Checked) (*mf.Opener, error) {
	key, err := m.deviceSecret(ctx, c.Slot.Secret)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	return mf.NewOpener(c, m.holderID(c.Policy), key)
}

// holderID is the anchor holder of this device.
func (m *Module) holderID(p *mf.Policy) string {
	own := protocol.Point(m.cfg.Device.Compressed())
	for _, h := range p.Anchor {
		if h.Kind == mf.HolderDevice && h.P == own {
			return h.ID
		}
	}
	return ""
}

// derive is steps 2 and 3: the counter goes up and is durable before the try
// is made; then the counted call, Recover, the slow KDF, and the policy's mac.
// In plain mode the counted call and the derivation overlap.
func (m *Module) derive(ctx context.Context, a *attempt) error {
	if _, err := io.ReadFull(m.cfg.Rand, a.id[:]); err != nil {
		return core.Errorf(core.Internal, "mstcc", "%w", err)
	}
	if a.checked.Policy.Escrow.Mode == protocol.ModeHardened {
		return m.deriveHardened(ctx, a)
	}
	if err := m.countTry(ctx, a, nil); err != nil {
		return err
	}
	req := protocol.FetchRequest{User: a.user, Gen: a.checked.Policy.Epoch, Attempt: a.id, Seen: m.tries.seen}
	conn, fetched := m.conn, make(chan error, 1)
	var ans protocol.FetchAnswer
	go func() {
		err := again(ctx, func() (err error) {
			ans, err = conn.Fetch(ctx, req)
			return err
		})
		if err == nil { // nothing else reports a step while the KDF runs
			m.entryStep(4, "sealed keys received from SS-CC")
		}
		fetched <- err
	}()
	stretchErr := m.stretch(ctx, a)
	if err := <-fetched; err != nil {
		return m.untry(ctx, a, err)
	}
	a.sealed, a.after = ans.Sealed, ans.Tries
	if err := m.takeTries(ans.Tries); err != nil {
		return err
	}
	if stretchErr != nil {
		return stretchErr
	}
	return m.finish(a, nil)
}

// countTry persists the higher counter and the try's tag before anything is sent.
// req: X-15, K-15.4-L2b, F-29
func (m *Module) countTry(ctx context.Context, a *attempt, blinded []byte) error {
	a.tag = tryTag(a.id, blinded)
	m.tries.used++
	m.tries.addOwn(a.tag)
	if err := m.saveTries(ctx); err != nil {
		return err
	}
	m.cfg.Step.At("sign.counted")
	m.entryStep(3, "user id sent to SS-CC, one try counted")
	return nil
}

// untry gives the count back when the try was certainly not applied, and notes
// a lock SS-CC tells of.
func (m *Module) untry(ctx context.Context, a *attempt, err error) error {
	switch core.CodeOf(err) {
	case core.Unavailable, core.Throttled, core.Refused, core.Invalid, core.State:
		m.tries.used--
		m.tries.dropOwn(map[protocol.Tag]bool{a.tag: true})
		return errors.Join(err, m.saveTries(ctx))
	case core.Locked:
		m.tries.used = max(m.tries.used, m.profile.Limit)
		m.tries.dropOwn(map[protocol.Tag]bool{a.tag: true})
		return errors.Join(err, m.saveTries(ctx))
	}
	return err
}

// stretch recovers every factor and runs the slow KDF. A source that fails
// after its sample was taken is a wrong factor, not an error (attack test 15).
func (m *Module) stretch(ctx context.Context, a *attempt) error {
	for i, s := range a.srcs {
		if err := m.recoverFactor(ctx, a, i); err != nil {
			if ctx.Err() != nil {
				return core.Errorf(core.Canceled, "mstcc", "%w", ctx.Err())
			}
			if err := a.opener.SetLost(s.label, m.cfg.Rand); err != nil {
				return err
			}
		}
	}
	return a.opener.Stretch(ctx, a.slow)
}

func (m *Module) recoverFactor(ctx context.Context, a *attempt, i int) error {
	in, err := a.opener.RecoverInputs(a.srcs[i].label)
	if err != nil {
		return err
	}
	defer in.Wipe()
	s, err := a.captures[i].Recover(ctx, core.RecoverRequest{Helper: in.Helper, BindKey: in.TransformKey})
	if err != nil {
		return err
	}
	defer s.Wipe()
	return a.opener.SetFactor(a.srcs[i].label, s)
}

// finish reaches RK or fails with the one Auth error.
func (m *Module) finish(a *attempt, u []byte) (err error) {
	a.opened, err = a.opener.Finish(u)
	a.opener.Wipe()
	return err
}
