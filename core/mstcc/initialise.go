package mstcc

import (
	"context"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

// InitRequest asks for flow 7.1.
type InitRequest struct {
	Tree   *policy.Tree                 // the factor policy
	Root   mf.Root                      // RootUnknown = direct for one set, else wrapped
	KDF    core.Params                  // slow KDF and cost, at least the profile's floor
	Params map[string]map[string]string // by factor label: what the source's enrolment takes

	// Recovery, if set, becomes a second anchor holder. The caller owns the
	// code, shows the sheet and wipes the code.
	Recovery *mf.RecoveryCode
}

// InitResult is step 10: the user id and the public keys.
type InitResult struct {
	User      protocol.ID
	Sign, Enc sm.PublicKey
	Approved  bool // approved functions and images only
	Resumed   bool // an earlier run's Commit was repeated; nothing was asked
	Quality   map[string]core.Quality
	Strength  map[string]core.Strength
}

// Initialize runs clause 7.1. A crash before Prepare was acknowledged starts
// over and asks again; after it, the next call repeats only the Commit.
// Cancel leaves the module in INIT with nothing stored.
// req: K-7.1-01, K-7.1-02, K-7.1-03a, K-7.1-03b, K-7.1-04, K-7.1-05, K-7.1-06, K-7.1-07, K-7.1-08, K-7.1-10, K-7.1-D2, K-7.1-D3
func (m *Module) Initialize(ctx context.Context, req InitRequest, p core.Prompter) (*InitResult, error) {
	const op = "mstcc: init"
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.faulted()
	m.begin("7.1")
	if err := m.checkInit(req); err != nil {
		return nil, err
	}
	conn, err := m.prepareInit(ctx, "initialisation requested")
	if err != nil {
		return nil, err
	}
	res, err := m.resumeInit(ctx, conn, true)
	if err != nil {
		return nil, m.soft(ctx, err)
	}
	if res == nil {
		if res, err = m.enrolAndStore(ctx, conn, req, p); err != nil {
			return nil, err
		}
	}
	if err := m.machine.Fire(EvInitDone, GuardAcknowledged); err != nil {
		return nil, core.Errorf(core.Internal, op, "%w", err)
	}
	m.step(10, "user id and public keys returned")
	return res, nil
}

// prepareInit is steps 1 to 3: the request is noted, the self-tests run, the
// environment is checked, the session to SS-CC opened. The machine is in INIT.
func (m *Module) prepareInit(ctx context.Context, text string) (Escrow, error) {
	if m.machine.State() == Factory {
		if err := m.machine.Fire(EvInitRequest, GuardProvisioned); err != nil {
			return nil, err
		}
		m.step(1, text)
		if _, err := m.runSelfTests(ctx); err != nil {
			_ = m.machine.Fire(EvFail, GuardNone)
			return nil, err
		}
		if err := m.machine.Fire(EvPass, GuardNoUser); err != nil {
			return nil, err
		}
	} else {
		m.step(1, text)
		if _, err := m.runSelfTests(ctx); err != nil {
			_ = m.machine.Fire(EvHardFault, GuardNone)
			return nil, err
		}
	}
	m.step(2, "self-tests passed")
	if _, err := m.environment(ctx, false); err != nil {
		return nil, m.soft(ctx, err)
	}
	if err := m.surroundings(ctx); err != nil {
		return nil, m.soft(ctx, err)
	}
	m.cfg.Step.At("init.connect")
	conn, err := m.connect(ctx)
	if err != nil {
		return nil, m.soft(ctx, err)
	}
	m.step(3, "environment checked, session to SS-CC open")
	return conn, nil
}

// checkInit refuses what needs no connection to refuse.
func (m *Module) checkInit(req InitRequest) error {
	const op = "mstcc: init"
	if s := m.machine.State(); s != Factory && s != Init {
		if m.bound() {
			return core.Errorf(core.State, op, "a user is already initialised here (state %s); unbind first or use another folder", s)
		}
		return core.Errorf(core.State, op, "not allowed in state %s", s)
	}
	if m.cfg.Binding == nil {
		return core.Errorf(core.State, op, "not provisioned: run provision with the administrator's file first")
	}
	if err := m.cfg.Profile.Check(); err != nil {
		return err
	}
	if req.Tree == nil {
		return core.Errorf(core.Usage, op, "want a factor policy such as pin & gesture")
	}
	if err := m.cfg.Profile.costs(req.KDF); err != nil {
		return err
	}
	if m.cfg.Profile.Mode == protocol.ModeHardened && m.cfg.OPRF == nil {
		return core.Errorf(core.Unsupported, op, "this build has no OPRF: choose plain mode")
	}
	m.profile = m.cfg.Profile
	return nil
}

// soft reports a soft failure of INIT: the state stays, nothing is stored,
// unless SS-CC refused because it wants this terminal's life to end.
func (m *Module) soft(ctx context.Context, err error) error {
	err = m.heed(ctx, err)
	if m.machine.State() == Init {
		_ = m.machine.Fire(EvSoftFail, GuardNone)
	}
	return err
}

// enrolAndStore is steps 4 to 9.
func (m *Module) enrolAndStore(ctx context.Context, conn Escrow, req InitRequest, p core.Prompter) (*InitResult, error) {
	bundle, err := mf.NewBundle(m.cfg.Rand)
	if err != nil {
		return nil, m.soft(ctx, err)
	}
	defer bundle.Wipe() // again, on every path; step 7 wipes before anything is sent
	for _, k := range []*sm.PrivateKey{bundle.Sign, bundle.Enc} {
		if err := sm.PairTest(k); err != nil {
			_ = m.machine.Fire(EvHardFault, GuardNone)
			return nil, core.Errorf(core.Integrity, "mstcc: init", "the new key pair fails its consistency test: %w", err)
		}
	}
	m.step(4, "SM2 key pairs generated and tested")
	if err := m.machine.Fire(EvNeedPPD, GuardPairTested); err != nil {
		return nil, err
	}
	g, err := m.firstGeneration(ctx, req, p, bundle)
	if err != nil {
		bundle.Wipe()
		_ = m.machine.Fire(EvCancel, GuardReturnInit)
		return nil, err
	}
	defer g.wipe()
	bundle.Wipe()
	if err := m.machine.Fire(EvPPDOk, GuardReturnInit); err != nil {
		return nil, err
	}
	m.step(7, "plaintext private keys wiped")
	m.cfg.Step.At("init.wiped")
	m.profile.approved = g.approved
	user, err := m.store(ctx, conn, g)
	if err != nil {
		return nil, m.soft(ctx, err)
	}
	res := &InitResult{User: user, Approved: g.approved, Quality: g.quality, Strength: g.strength}
	return res, m.fillPubs(res)
}

// fillPubs reads P_M from the trust record, its authoritative copy.
func (m *Module) fillPubs(res *InitResult) (err error) {
	if res.Sign, err = sm.ParsePoint(m.trust.Current.Pubs.Sign[:]); err != nil {
		return err
	}
	res.Enc, err = sm.ParsePoint(m.trust.Current.Pubs.Enc[:])
	return err
}

// firstGeneration is steps 5 and 6: enrol every factor, derive MK, seal, derive
// once more from what will be stored and open it (clause 5.2(2)).
func (m *Module) firstGeneration(ctx context.Context, req InitRequest, p core.Prompter, bundle *mf.Bundle) (*generation, error) {
	begin := func(x mf.Params) (*mf.Enrolment, error) { return mf.NewEnrolment(x, m.cfg.Rand) }
	g, err := m.enrolGeneration(ctx, req, m.profile.Mode, m.cfg.Device, begin, p, bundle)
	if err != nil {
		return nil, err
	}
	g.init = true
	g.signer = signWith(g.sealed.Confirm, m.cfg.Rand)
	return g, nil
}
