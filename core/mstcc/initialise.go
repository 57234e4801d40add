package mstcc

import (
	"context"
	"errors"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
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
	m.begin("7.1")
	if err := m.checkInit(req); err != nil {
		return nil, err
	}
	if m.machine.State() == Factory {
		if err := m.machine.Fire(EvInitRequest, GuardProvisioned); err != nil {
			return nil, err
		}
		m.step(1, "initialisation requested")
		if _, err := m.runSelfTests(ctx); err != nil {
			_ = m.machine.Fire(EvFail, GuardNone)
			return nil, err
		}
		if err := m.machine.Fire(EvPass, GuardNoUser); err != nil {
			return nil, err
		}
	} else {
		m.step(1, "initialisation requested")
		if _, err := m.runSelfTests(ctx); err != nil {
			_ = m.machine.Fire(EvHardFault, GuardNone)
			return nil, err
		}
	}
	m.step(2, "self-tests passed")
	if m.cfg.Probe != nil {
		if err := m.cfg.Probe(ctx, m.profile.Level); err != nil {
			return nil, m.soft(err)
		}
	}
	m.cfg.Step.At("init.connect")
	conn, err := m.connect(ctx)
	if err != nil {
		return nil, m.soft(err)
	}
	m.step(3, "environment checked, session to SS-CC open")
	res, err := m.resumeInit(ctx, conn)
	if err != nil {
		return nil, m.soft(err)
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
	if n, ok := req.KDF.Get("i"); !ok || n < m.cfg.Profile.SlowFloor {
		return core.Errorf(core.Policy, op, "%d iterations are below the profile's floor %d", n, m.cfg.Profile.SlowFloor)
	}
	if m.cfg.Profile.Mode == protocol.ModeHardened && m.cfg.OPRF == nil {
		return core.Errorf(core.Unsupported, op, "this build has no OPRF: choose plain mode")
	}
	m.profile = m.cfg.Profile
	return nil
}

// soft reports a soft failure of INIT: the state stays, nothing is stored.
func (m *Module) soft(err error) error {
	if m.machine.State() == Init {
		_ = m.machine.Fire(EvSoftFail, GuardNone)
	}
	return err
}

// enrolAndStore is steps 4 to 9.
func (m *Module) enrolAndStore(ctx context.Context, conn Escrow, req InitRequest, p core.Prompter) (*InitResult, error) {
	bundle, err := mf.NewBundle(m.cfg.Rand)
	if err != nil {
		return nil, m.soft(err)
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
	g, err := m.newGeneration(ctx, req, p, bundle)
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
	user, err := m.store(ctx, conn, g)
	if err != nil {
		return nil, m.soft(err)
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

// A generation is one policy generation about to be stored.
type generation struct {
	sealed   *mf.Sealed
	secret   *secret.Buffer // the device secret it was enrolled with
	init     bool
	user     protocol.ID
	oldGen   uint64
	floor    core.Params
	signer   func(msg []byte) (protocol.Sig, error) // d_conf that proves the Commit
	approved bool
	quality  map[string]core.Quality
	strength map[string]core.Strength
}

func (g *generation) wipe() {
	g.sealed.Wipe()
	g.secret.Wipe()
}

// newGeneration is steps 5 and 6: enrol every factor, derive MK, seal, derive
// once more from what will be stored and open it (clause 5.2(2)).
func (m *Module) newGeneration(ctx context.Context, req InitRequest, p core.Prompter, bundle *mf.Bundle) (_ *generation, err error) {
	dev, err := secret.Read(m.cfg.Rand, mf.DeviceSecret)
	if err != nil {
		return nil, core.Errorf(core.Internal, "mstcc: init", "%w", err)
	}
	g := &generation{secret: dev, init: true, approved: true, floor: m.floorOf(req.KDF),
		quality: map[string]core.Quality{}, strength: map[string]core.Strength{}}
	defer func() {
		if err != nil {
			g.wipe()
		}
	}()
	slow, ok, err := m.cfg.KDF(ctx, req.KDF.Name)
	if err != nil {
		return nil, err
	}
	g.approved = ok
	if err := slow.Validate(req.KDF, core.Limits{}); err != nil {
		return nil, err
	}
	srcs, err := m.sources(ctx, req.Tree.Labels())
	if err != nil {
		return nil, err
	}
	specs := make([]mf.FactorSpec, len(srcs))
	for i, s := range srcs {
		specs[i] = mf.FactorSpec{Label: s.label, Source: s.name, Kind: s.info.Kind}
		g.approved = g.approved && s.approved
	}
	root := req.Root
	if root == mf.RootUnknown {
		root = mf.RootWrapped
		if len(req.Tree.Masks()) == 1 {
			root = mf.RootDirect
		}
	}
	params := mf.Params{
		Root: root, KDF: req.KDF, Mode: m.profile.Mode, Realm: m.cfg.Binding.Realm, App: m.cfg.Binding.App,
		Tree: req.Tree, Factors: specs, Recovery: req.Recovery, NoBoxes: m.profile.Level >= 2,
		Device: mf.DeviceHolder{Secret: dev, Key: m.cfg.Device, Slot: m.nextSlot()},
	}
	if m.cfg.OPRF != nil {
		params.OPRF = m.cfg.OPRF
	}
	e, err := mf.NewEnrolment(params, m.cfg.Rand)
	if err != nil {
		return nil, err
	}
	defer e.Wipe()
	for _, s := range srcs {
		if err := m.enrolFactor(ctx, e, s, req.Params[s.label], p, g); err != nil {
			return nil, err
		}
	}
	m.step(5, "PPD collected")
	if g.sealed, err = e.Seal(ctx, slow, bundle); err != nil {
		return nil, err
	}
	g.signer = signWith(g.sealed.Confirm, m.cfg.Rand)
	m.step(6, "MK derived, keys sealed, derived once more and opened")
	return g, nil
}

// enrolFactor runs one source's enrolment into e.
func (m *Module) enrolFactor(ctx context.Context, e *mf.Enrolment, s boundSource, params map[string]string, p core.Prompter, g *generation) error {
	key, err := e.TransformKey(s.label)
	if err != nil {
		return err
	}
	defer key.Wipe()
	en, err := s.src.Enroll(ctx, core.EnrollRequest{Label: s.label, BindKey: key, Params: params}, p)
	if err != nil {
		return err
	}
	defer en.Secret.Wipe()
	if err := claimWithin(s.info, en.Strength); err != nil {
		return err
	}
	g.quality[s.label], g.strength[s.label] = en.Quality, en.Strength
	return e.SetFactor(s.label, en)
}

// claimWithin refuses a strength without evidence, and a biometric that claims
// more for one enrolment than its source declares.
func claimWithin(info core.SourceInfo, s core.Strength) error {
	if s.Evidence == "" && info.Strength.Evidence == "" {
		return core.Errorf(core.Policy, "mstcc: enrol", "source %s claims a strength without evidence", info.Name)
	}
	if info.Kind == core.KindBiometric && (s.PerTry > info.Strength.PerTry || s.Offline > info.Strength.Offline) {
		return core.Errorf(core.Policy, "mstcc: enrol", "source %s claims more for this enrolment than it declares", info.Name)
	}
	return nil
}

// floorOf is the lowest cost the trust record will accept later.
func (m *Module) floorOf(p core.Params) core.Params {
	return core.NewParams(p.Name, core.Param{Key: "i", N: m.profile.SlowFloor})
}

// nextSlot names a device secret slot no record uses, so that old and new
// secret exist side by side until the new generation is promoted.
func (m *Module) nextSlot() string {
	used := map[string]bool{}
	if m.trust != nil {
		for _, s := range []*mf.Slot{m.trust.Current, m.trust.Pending} {
			if s != nil {
				used[s.Secret] = true
			}
		}
	}
	for n := uint64(1); ; n++ {
		if name := deviceSecretName(n); !used[name] {
			return name
		}
	}
}

// boundSource is a source under a factor's label.
type boundSource struct {
	label, name string
	src         core.Source
	info        core.SourceInfo
	approved    bool
}

// sources opens the sources of labels side by side: starts overlap.
func (m *Module) sources(ctx context.Context, labels []string) ([]boundSource, error) {
	out := make([]boundSource, len(labels))
	errs := make([]error, len(labels))
	done := make(chan struct{})
	for i, l := range labels {
		go func() {
			defer func() { done <- struct{}{} }()
			name := policy.SourceOf(l)
			src, approved, err := m.cfg.Source(ctx, name)
			if err != nil {
				errs[i] = err
				return
			}
			info, err := src.Describe(ctx)
			if err == nil && info.Name != name {
				err = core.Errorf(core.Integrity, "mstcc", "the source for %s calls itself %s", name, info.Name)
			}
			out[i], errs[i] = boundSource{l, name, src, info, approved}, err
		}()
	}
	for range labels {
		<-done
	}
	return out, errors.Join(errs...)
}

// signWith signs under d_conf's id.
func signWith(k *sm.PrivateKey, rand interface{ Read([]byte) (int, error) }) func([]byte) (protocol.Sig, error) {
	return func(msg []byte) (protocol.Sig, error) {
		sig, err := k.Sign(rand, msg, []byte(protocol.ConfirmID))
		return protocol.Sig(sig), err
	}
}
