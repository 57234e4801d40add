package mstcc

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/secret"
)

// ChangeRequest describes a change of the factor policy. MK, the sealed keys,
// every holder and every biometric that stays are kept. The zero value wraps
// every set anew and changes nothing else; in hardened mode that deals a new
// OPRF key and so starts a new count.
type ChangeRequest struct {
	Tree    *policy.Tree                 // the new tree; nil = keep
	Replace []string                     // labels to enrol again: a changed PIN, another finger
	KDF     *core.Params                 // the same KDF at a higher cost; nil = keep
	Params  map[string]map[string]string // by label: what a source's enrolment takes
}

// ChangePlan says, before anybody is asked anything, what a change will ask.
type ChangePlan struct {
	Open   []string     // labels entered first, to open the policy
	Needs  []mf.Need    // what each factor then takes: nothing, enter or enrol
	Revoke bool         // the rules make it a revoke: every factor captured again
	Why    string       // with Revoke: the rule
	Tree   *policy.Tree // afterwards
	KDF    core.Params  // afterwards
}

// Changed tells how a change ended. It holds no secret.
type Changed struct {
	Epoch, MKGen uint64
	Policy       string // text of the tree now in force
	Recovery     bool   // a recovery code is a holder of the anchor
	Approved     bool   // approved functions and images only
	Quality      map[string]core.Quality
	Strength     map[string]core.Strength
}

// PlanChange reads the policy (uncounted) and says what Change would ask for
// when it is opened with the factors of o, or that it must run as a revoke.
// Nobody is asked anything. Errors: Policy for what no change may do (a lower
// cost), Usage for a request that does not fit the policy.
func (m *Module) PlanChange(ctx context.Context, req ChangeRequest, o OpenOptions) (*ChangePlan, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.bound() {
		return nil, core.Errorf(core.State, "mstcc: plan change", "not initialised: run init first")
	}
	a, err := m.policyFor(ctx)
	if err != nil {
		return nil, m.heed(ctx, err)
	}
	defer a.wipe()
	t := a.checked.Policy.Tree
	have := o.Factors
	if len(have) == 0 {
		have = t.MinimalSets()[0]
	}
	set, _, ok := t.Choose(have)
	if !ok {
		return nil, core.Errorf(core.Usage, "mstcc: plan change", "these factors open nothing; the policy is %s", t)
	}
	_, pl, err := m.plan(ctx, a.checked.Policy, req, set)
	return pl, err
}

// Policy reads the policy in force (uncounted), held against the trust record.
// It is public; treat it as read-only.
func (m *Module) Policy(ctx context.Context) (*mf.Policy, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.bound() {
		return nil, core.Errorf(core.State, "mstcc: policy", "not initialised: run init first")
	}
	a, err := m.policyFor(ctx)
	if err != nil {
		return nil, m.heed(ctx, err)
	}
	return a.checked.Policy, nil
}

// plan turns a request into a change of p opened with the labels of opened.
func (m *Module) plan(ctx context.Context, p *mf.Policy, req ChangeRequest, opened []string) (mf.Change, *ChangePlan, error) {
	ch := mf.Change{Tree: req.Tree, Replace: req.Replace, KDF: req.KDF}
	out := &ChangePlan{Open: opened, Tree: p.Tree, KDF: p.KDF}
	if req.KDF != nil {
		if err := costRises(p.KDF, *req.KDF); err != nil {
			return ch, nil, err
		}
		out.KDF = *req.KDF
	}
	if req.Tree != nil {
		out.Tree = req.Tree
		fresh := slices.DeleteFunc(req.Tree.Labels(), func(l string) bool { return p.Factor(l) != nil })
		srcs, err := m.sources(ctx, fresh)
		if err != nil {
			return ch, nil, err
		}
		for _, s := range srcs {
			ch.Factors = append(ch.Factors, mf.FactorSpec{Label: s.label, Source: s.name, Kind: s.info.Kind})
		}
	}
	pl, err := p.Plan(ch, opened)
	var e *core.Error
	switch {
	case err == nil:
		out.Needs = pl.Needs
	case errors.As(err, &e) && e.Code == core.Policy:
		out.Revoke, out.Why = true, e.Msg
		for _, l := range out.Tree.Labels() {
			out.Needs = append(out.Needs, mf.Need{Label: l, How: mf.NeedEnrol, Why: "a revoke captures every factor again"})
		}
	default:
		return ch, nil, err
	}
	return ch, out, nil
}

// costRises refuses another KDF and any value below the present one. The trust
// record has one floor for the present and the pending generation, so a change
// stays with its KDF.
func costRises(old, next core.Params) error {
	const op = "mstcc: cost"
	if next.Name != old.Name {
		return core.Errorf(core.Unsupported, op, "the key was made with kdf %s; another kdf takes a new initialisation", old.Name)
	}
	for _, f := range old.Values {
		if n, ok := next.Get(f.Key); !ok || n < f.N {
			return core.Errorf(core.Policy, op, "the cost may only rise: want %s of at least %d", f.Key, f.N)
		}
	}
	return nil
}

// Change runs one change as one transaction: open, capture what the plan says,
// wrap every set anew, derive every set once more from what will be stored,
// then Prepare and Commit with the pending generation in the trust record.
// Wherever it stops, exactly one of the old and the new policy opens
// afterwards; a journalled Commit is completed by the next service. Policy is
// the code when the rules make it a revoke (PlanChange says so beforehand),
// Auth when something entered, at the start or again, was wrong.
// req: K-17.1-D1
func (m *Module) Change(ctx context.Context, req ChangeRequest, o OpenOptions, p core.Prompter) (*Changed, error) {
	return m.transact(ctx, "change", o, p, func(a *attempt) (*generation, error) {
		return m.editGeneration(ctx, a, req, p)
	})
}

// transact runs one life-cycle service: build makes the new generation from
// the opened policy in CSP-ENTRY, with the PPD it takes; APPROVED stores it.
func (m *Module) transact(ctx context.Context, flow string, o OpenOptions, p core.Prompter, build func(*attempt) (*generation, error)) (*Changed, error) {
	m.take()
	defer m.mu.Unlock()
	defer m.faulted()
	m.begin(flow)
	var g *generation
	defer func() { g.wipe() }()
	a, err := m.enterThen(ctx, flow+" requested", o, p, func(a *attempt) (err error) {
		// The tries so far are forgiven before further ones are made.
		if err := m.confirmNow(ctx, a); err != nil {
			return err
		}
		g, err = build(a)
		if errors.Is(err, core.Auth) && m.tries.used == 0 {
			m.tries.used++ // entered again and wrong: plain mode has no other count of it
			return errors.Join(err, m.saveTries(ctx))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	defer a.wipe()
	if err := m.machine.Fire(EvServiceReady, GuardPPDAccepted); err != nil {
		return nil, err
	}
	m.cfg.Step.At("life.sealed")
	if err := m.replace(ctx, a, g); err != nil {
		if err = m.heed(ctx, err); m.machine.State() == Approved {
			_ = m.machine.Fire(EvSoftFail, GuardNone)
		}
		return nil, err
	}
	p2, err := mf.ParsePolicy(g.sealed.Policy)
	if err != nil {
		_ = m.machine.Fire(EvHardFault, GuardNone)
		return nil, err
	}
	out := &Changed{Epoch: p2.Epoch, MKGen: p2.MKGen, Policy: p2.Tree.String(), Recovery: p2.Holder(mf.RecoveryHolder) != nil,
		Approved: g.approved && m.profile.approved, Quality: g.quality, Strength: g.strength}
	m.step(10, flow+" stored")
	return out, m.machine.Fire(EvDone, GuardNone)
}

// replace stores g in the place of what a opened, proved by the old d_conf.
func (m *Module) replace(ctx context.Context, a *attempt, g *generation) error {
	m.tries.used = 0
	if err := m.saveTries(ctx); err != nil {
		return err
	}
	if err := m.confirmNow(ctx, a); err != nil {
		return err
	}
	conf, err := a.opened.ConfirmKey()
	if err != nil {
		return err
	}
	defer conf.Wipe()
	g.user, g.oldGen, g.signer = a.user, a.checked.Policy.Epoch, signWith(conf, m.cfg.Rand)
	_, err = m.store(ctx, m.conn, g)
	if err == nil {
		return nil
	}
	if j, jerr := m.loadJournal(ctx); jerr == nil && j != nil {
		return core.Errorf(core.CodeOf(err), "mstcc: store", "SS-CC may hold the new generation already; the next service here completes it: %w", err)
	}
	return err
}

// editGeneration captures what the plan asks for and seals the changed policy.
func (m *Module) editGeneration(ctx context.Context, a *attempt, req ChangeRequest, p core.Prompter) (*generation, error) {
	const op = "mstcc: change"
	opened := make([]string, len(a.srcs))
	for i, s := range a.srcs {
		opened[i] = s.label
	}
	ch, pl, err := m.plan(ctx, a.checked.Policy, req, opened)
	if err != nil {
		return nil, err
	}
	if pl.Revoke {
		return nil, core.Errorf(core.Policy, op, "%s", pl.Why)
	}
	if err := a.slow.Validate(pl.KDF, core.Limits{}); err != nil {
		return nil, err
	}
	g := newGeneration(nil, m.cfg.Device, m.trust.Floor)
	g.approved = a.approved
	done := false
	defer unless(&done, g.wipe)
	x := mf.EditParams{Slot: a.checked.Slot.Secret, NoBoxes: m.profile.Level >= 2}
	if m.cfg.OPRF != nil {
		x.OPRF = m.cfg.OPRF
		x.Evaluate = func(ctx context.Context, in *secret.Buffer) ([]byte, error) { return m.proveTry(ctx, a, in) }
	}
	ed, err := a.opened.Edit(ch, x, m.cfg.Rand)
	if err != nil {
		return nil, err
	}
	defer ed.Wipe()
	asked := slices.DeleteFunc(slices.Clone(ed.Needs), func(n mf.Need) bool { return n.How == mf.NeedNothing })
	labels := make([]string, len(asked))
	for i, n := range asked {
		labels[i] = n.Label
	}
	srcs, err := m.sources(ctx, labels)
	if err != nil {
		return nil, err
	}
	for _, s := range srcs {
		g.approved = g.approved && s.approved
	}
	if err := m.profile.space(g.approved); err != nil {
		return nil, err
	}
	for i, s := range srcs {
		if asked[i].How == mf.NeedEnrol {
			err = m.enrolFactor(ctx, ed, s, req.Params[s.label], p, g)
		} else {
			err = m.enterAgain(ctx, ed, s, p)
		}
		if err != nil {
			return nil, err
		}
	}
	now := g.enrolledNow(srcs)
	for _, f := range a.checked.Policy.Factors {
		if slices.Contains(pl.Tree.Labels(), f.ID) && !slices.ContainsFunc(now, func(n policy.Factor) bool { return n.Label == f.ID }) {
			st := core.Strength{PerTry: f.PerTry, Offline: f.Offline, Evidence: "counted when it was enrolled"} // credits no biometric
			now = append(now, policy.Factor{Label: f.ID, Source: f.Source, Kind: f.Kind, Strength: st})
		}
	}
	if err := m.floors(pl.Tree, now, pl.KDF, a.checked.Policy.Escrow.Mode); err != nil {
		return nil, err
	}
	m.step(5, "PPD collected")
	if g.sealed, err = ed.Seal(ctx, a.slow, a.slow); err != nil {
		return nil, err
	}
	g.sealed.Blob = bytes.Clone(a.sealed)
	m.step(6, "every set wrapped anew and derived once more")
	done = true
	return g, nil
}

// enterAgain captures and recovers a factor that stays. As in an open, a source
// that fails after its sample is a wrong factor.
func (m *Module) enterAgain(ctx context.Context, ed *mf.Edit, s boundSource, p core.Prompter) error {
	format, params, err := ed.CaptureParams(s.label)
	if err != nil {
		return err
	}
	c, err := s.src.Capture(ctx, core.CaptureRequest{Label: s.label, Format: format, Params: params}, p)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	in, err := ed.RecoverInputs(s.label)
	if err != nil {
		return err
	}
	defer in.Wipe()
	v, err := c.Recover(ctx, core.RecoverRequest{Helper: in.Helper, BindKey: in.TransformKey})
	if err != nil {
		if ctx.Err() != nil {
			return core.Errorf(core.Canceled, "mstcc", "%w", ctx.Err())
		}
		if v, err = secret.Read(m.cfg.Rand, 32); err != nil {
			return core.Errorf(core.Internal, "mstcc: change", "%w", err)
		}
	}
	defer v.Wipe()
	return ed.Enter(s.label, v)
}
