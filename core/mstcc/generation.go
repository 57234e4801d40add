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

// A generation is one policy generation about to be stored.
type generation struct {
	sealed   *mf.Sealed
	secret   *secret.Buffer // the device secret it was enrolled with; nil = the current one stays
	device   protocol.Point // device key of its holder
	rotates  bool           // device is a new key, in DeviceKeyName(2)
	init     bool
	user     protocol.ID // zero with init
	oldGen   uint64
	floor    core.Params
	signer   func(msg []byte) (protocol.Sig, error) // d_conf that proves the Commit
	approved bool
	quality  map[string]core.Quality
	strength map[string]core.Strength
}

func (g *generation) wipe() {
	if g == nil {
		return
	}
	g.sealed.Wipe()
	g.secret.Wipe()
}

// enrolGeneration captures every factor of a whole new generation, a first one
// or a revoke's, and seals the bundle (lent) under it. The signer is the
// caller's to set.
func (m *Module) enrolGeneration(ctx context.Context, req InitRequest, mode protocol.Mode, device sm.PublicKey,
	begin func(mf.Params) (*mf.Enrolment, error), p core.Prompter, bundle *mf.Bundle) (*generation, error) {
	dev, err := secret.Read(m.cfg.Rand, mf.DeviceSecret)
	if err != nil {
		return nil, core.Errorf(core.Internal, "mstcc: enrol", "%w", err)
	}
	g := newGeneration(dev, device, m.floorOf(req.KDF))
	done := false
	defer unless(&done, g.wipe)
	slow, ok, err := m.cfg.KDF(ctx, req.KDF.Name)
	if err != nil {
		return nil, err
	}
	g.approved = ok && approvedFunction(ctx, slow)
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
	if err := m.profile.space(g.approved); err != nil {
		return nil, err
	}
	root := req.Root
	if root == mf.RootUnknown {
		root = mf.RootWrapped
		if len(req.Tree.Masks()) == 1 {
			root = mf.RootDirect
		}
	}
	params := mf.Params{
		Root: root, KDF: req.KDF, Mode: mode, Realm: m.cfg.Binding.Realm, App: m.cfg.Binding.App,
		Tree: req.Tree, Factors: specs, Recovery: req.Recovery, NoBoxes: m.profile.Level >= 2,
		Device: mf.DeviceHolder{Secret: dev, Key: device, Slot: m.nextSlot()},
	}
	if m.cfg.OPRF != nil {
		params.OPRF = m.cfg.OPRF
	}
	e, err := begin(params)
	if err != nil {
		return nil, err
	}
	defer e.Wipe()
	for _, s := range srcs {
		if err := m.enrolFactor(ctx, e, s, req.Params[s.label], p, g); err != nil {
			return nil, err
		}
	}
	if err := m.floors(req.Tree, g.enrolledNow(srcs), req.KDF, mode); err != nil {
		return nil, err
	}
	m.step(5, "PPD collected")
	if g.sealed, err = e.Seal(ctx, slow, bundle); err != nil {
		return nil, err
	}
	m.step(6, "MK derived, keys sealed, derived once more and opened")
	done = true
	return g, nil
}

func newGeneration(dev *secret.Buffer, device sm.PublicKey, floor core.Params) *generation {
	return &generation{secret: dev, device: device.Compressed(), approved: true, floor: floor,
		quality: map[string]core.Quality{}, strength: map[string]core.Strength{}}
}

// enroller is what a source's enrolment goes into: a whole generation or one
// change of it.
type enroller interface {
	TransformKey(label string) (*secret.Buffer, error)
	SetFactor(label string, en core.Enrollment) error
}

// enrolFactor runs one source's enrolment into e.
func (m *Module) enrolFactor(ctx context.Context, e enroller, s boundSource, params map[string]string, p core.Prompter, g *generation) error {
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
	used := m.namedSlots()
	for n := uint64(1); ; n++ {
		if name := deviceSecretName(n); !used[name] {
			return name
		}
	}
}

// namedSlots are the slots the records name.
func (m *Module) namedSlots() map[string]bool {
	used := map[string]bool{m.interim: m.interim != ""}
	if m.trust != nil {
		for _, s := range []*mf.Slot{m.trust.Current, m.trust.Pending} {
			if s != nil {
				used[s.Secret] = true
			}
		}
	}
	return used
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
