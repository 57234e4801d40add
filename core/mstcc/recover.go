package mstcc

import (
	"context"
	"errors"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// RecoverRequest asks for the user of a sheet on this terminal, which is
// provisioned and holds no user.
type RecoverRequest struct {
	Sheet *mf.Sheet // with its code; lent
	// Then describes the generation the recovery ends in. A recovery always
	// ends in a revoke: the old terminal and the used sheet open nothing after.
	Then RevokeRequest
	// Policy, if set, hears the policy's tree before anything is asked: the
	// person may then choose which factors to give, by label; nil = o's.
	Policy func(t *policy.Tree) []string
}

// Recover brings a user to this terminal: the policy is held against the
// sheet, its code opens the anchor and binds this device, the factors of one
// set are entered, and a revoke follows in which every factor is captured
// again. The old device is bound no more. A crash before Prepare was
// acknowledged starts over; after it the same call completes the Commit. Keys
// stay in the space the sheet names: approved ones are recovered by approved
// functions and images only, and others never become approved.
//
// Policy means that what SS-CC serves is not the sheet's; Refused is all SS-CC
// says when it does not know user, code or device; Auth means that something
// entered, the code included, was wrong, and costs a counted try.
// req: K-17.1-D1, G-7.2-03, X-23
func (m *Module) Recover(ctx context.Context, req RecoverRequest, o OpenOptions, p core.Prompter) (*InitResult, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.faulted()
	m.begin("recover")
	if err := m.checkRecover(req); err != nil {
		return nil, err
	}
	conn, err := m.prepareInit(ctx, "recovery requested")
	if err != nil {
		return nil, err
	}
	res, err := m.resumeInit(ctx, conn, false)
	if err != nil {
		return nil, m.soft(ctx, err)
	}
	if res == nil {
		if res, err = m.recoverAndStore(ctx, conn, req, o, p); err != nil {
			return nil, err
		}
	}
	if err := m.machine.Fire(EvInitDone, GuardAcknowledged); err != nil {
		return nil, core.Errorf(core.Internal, "mstcc: recover", "%w", err)
	}
	m.step(10, "recovered; the old terminal is bound no more")
	return res, nil
}

// checkRecover refuses what needs no connection to refuse.
func (m *Module) checkRecover(req RecoverRequest) error {
	const op = "mstcc: recover"
	if s := m.machine.State(); s != Factory && s != Init {
		return core.Errorf(core.State, op, "a user is already initialised here (state %s): use another folder", s)
	}
	b := m.cfg.Binding
	switch {
	case b == nil:
		return core.Errorf(core.State, op, "not provisioned: run provision with the administrator's file first")
	case req.Sheet == nil || req.Sheet.Code == nil:
		return core.Errorf(core.Usage, op, "want a recovery sheet with its code")
	case req.Sheet.Realm != b.Realm || req.Sheet.Server != protocol.Point(b.Server.Compressed()):
		return core.Errorf(core.Policy, op, "this terminal is provisioned for another SS-CC than the sheet names")
	}
	if err := m.cfg.Profile.Check(); err != nil {
		return err
	}
	m.profile = m.cfg.Profile
	return req.Then.Sheet.check()
}

// recoverAndStore is everything between the open session and the new user.
func (m *Module) recoverAndStore(ctx context.Context, conn Escrow, req RecoverRequest, o OpenOptions, p core.Prompter) (*InitResult, error) {
	if err := m.openInterim(ctx); err != nil {
		return nil, m.soft(ctx, err)
	}
	a, err := m.rebind(ctx, conn, req.Sheet)
	if err != nil {
		return nil, m.soft(ctx, err)
	}
	defer a.wipe()
	if err := m.machine.Fire(EvNeedPPD, GuardPairTested); err != nil {
		return nil, err
	}
	if req.Policy != nil {
		if have := req.Policy(a.checked.Policy.Tree); len(have) > 0 {
			o.Factors = have
		}
	}
	g, err := m.recoverGeneration(ctx, a, req, o, p)
	if err != nil {
		if errors.Is(err, core.Auth) {
			_ = m.machine.Fire(EvPPDBad, GuardTriesLeft)
		}
		if err = m.heed(ctx, err); m.machine.State() == CSPEntry {
			_ = m.machine.Fire(EvCancel, GuardReturnInit)
		}
		return nil, err
	}
	defer g.wipe()
	if err := m.machine.Fire(EvPPDOk, GuardReturnInit); err != nil {
		return nil, err
	}
	m.cfg.Step.At("recover.sealed")
	if err := m.replace(ctx, a, g); err != nil {
		return nil, m.soft(ctx, err)
	}
	res := &InitResult{User: a.user, Approved: g.approved && m.profile.approved, Quality: g.quality, Strength: g.strength}
	return res, m.fillPubs(res)
}

// openInterim gives the try counter a secret to be sealed under while there is
// no trust record, and finds the counter of an earlier, interrupted run: its
// tries are still ours to confirm.
func (m *Module) openInterim(ctx context.Context) error {
	if m.trust != nil {
		return nil // of an interrupted run: its pending slot seals the counter
	}
	m.interim = deviceSecretName(1)
	if body, err := m.readLocal(ctx, mf.FileFails); err == nil {
		if m.tries, err = parseTries(body); err == nil {
			return nil
		}
	}
	s, err := secret.Read(m.cfg.Rand, mf.DeviceSecret)
	if err != nil {
		return core.Errorf(core.Internal, "mstcc: recover", "%w", err)
	}
	defer s.Wipe()
	if err := m.cfg.Keys.Store(ctx, m.interim, s); err != nil {
		return err
	}
	m.tries = &tries{}
	return m.saveTries(ctx)
}

// rebind reads the policy with the recovery code's signature, holds it against
// the sheet, and has SS-CC bind this device. The attempt's opener holds the
// anchor as the code opens it.
func (m *Module) rebind(ctx context.Context, conn Escrow, s *mf.Sheet) (_ *attempt, err error) {
	key, err := s.Code.RebindKey(s.KeyID)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	var ans protocol.PolicyAnswer
	err = m.signedRebind(ctx, conn, s.User, 0, key, func(r protocol.RebindRequest) (err error) {
		ans, err = conn.RecoverPolicy(ctx, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	a := &attempt{user: s.User}
	x := m.expect(ctx, a, ans)
	x.Modes = nil // whatever it was, the revoke it ends in is not below the profile
	if a.checked, err = mf.CheckSheet(ans.Policy, s, x); err != nil {
		return nil, err
	}
	m.profile.approved = a.checked.ApprovedKeys // capture refuses them to what is not approved
	if a.slow == nil {
		return nil, a.noKDF
	}
	if m.holderID(a.checked.Policy) != "" {
		return nil, core.Errorf(core.Usage, "mstcc: recover", "this terminal's device key is the one the sheet replaces: provision another folder with a new ticket")
	}
	m.step(1, "policy is the sheet's")
	err = m.signedRebind(ctx, conn, s.User, a.checked.Policy.Epoch, key, func(r protocol.RebindRequest) error { return conn.Rebind(ctx, r) })
	if err != nil {
		return nil, err
	}
	m.cfg.Step.At("recover.rebound")
	m.step(2, "this device bound with the recovery code")
	if m.tries.seen == (protocol.Seen{}) {
		// A new terminal has no memory of the counter: it starts with this one.
		m.tries.seen, m.tries.unlockSeq = protocol.Seen{Seq: ans.Tries.Seq, Head: ans.Tries.Head}, ans.Tries.UnlockSeq
	}
	a.opener, err = mf.NewOpener(a.checked, mf.RecoveryHolder, s.Code.Secret())
	return a, err
}

// signedRebind makes one call that d_rec signs: a fresh challenge each time,
// good for one minute. gen is 0 while the policy's is not known.
func (m *Module) signedRebind(ctx context.Context, conn Escrow, user protocol.ID, gen uint64, key *sm.PrivateKey, call func(protocol.RebindRequest) error) error {
	return again(ctx, func() error {
		ch, err := conn.Challenge(ctx, protocol.ChallengeRequest{User: user})
		if err != nil {
			return err
		}
		b := m.cfg.Binding
		msg := protocol.RebindMessage(b.Realm, b.App, user, gen, mf.RecoveryHolder, m.cfg.Device.Compressed(), ch.Challenge)
		sig, err := key.Sign(m.cfg.Rand, msg, enc.Str(protocol.RebindID))
		if err != nil {
			return err
		}
		return call(protocol.RebindRequest{User: user, Gen: gen, Holder: mf.RecoveryHolder, Challenge: ch.Challenge, Sig: sig})
	})
}

// recoverGeneration is the open with the code and the revoke it ends in.
func (m *Module) recoverGeneration(ctx context.Context, a *attempt, req RecoverRequest, o OpenOptions, p core.Prompter) (*generation, error) {
	if err := m.capture(ctx, a, o, p); err != nil {
		return nil, err
	}
	m.step(3, "PPD collected")
	if err := m.derive(ctx, a); err != nil {
		return nil, err
	}
	a.closeCaptures()
	if err := m.confirmNow(ctx, a); err != nil {
		return nil, err
	}
	then := req.Then
	if then.Mode == protocol.ModeUnknown {
		then.Mode = max(m.profile.Mode, a.checked.Policy.Escrow.Mode) // hardened is never left
	}
	return m.revokeGeneration(ctx, a, then, m.cfg.Device, p)
}
