package mf

import (
	"context"
	"io"
	"slices"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// OPRF evaluates the server's function with a key at hand: used at enrolment,
// where the terminal deals the key. core/oprf implements it.
type OPRF interface {
	// FullEvaluate returns the 32 bytes a client would get for input from a
	// server holding key (32-byte big-endian scalar). Both are lent.
	FullEvaluate(key, input []byte) ([]byte, error)
}

// FactorSpec names one factor of a new policy.
type FactorSpec struct {
	Label  string
	Source string // "" = policy.SourceOf(Label)
	Kind   core.FactorKind
}

// DeviceHolder is the terminal's hold on the anchor.
type DeviceHolder struct {
	ID     string         // holder label in the policy, "device" by default
	Secret *secret.Buffer // 32 random bytes kept by the KeyStore; lent until Seal
	Key    sm.PublicKey   // the device key
	Slot   string         // key-store slot of Secret, for the trust record
}

// Params describes a new policy.
type Params struct {
	Root    Root // direct only for a tree of exactly one set
	KDF     core.Params
	Mode    protocol.Mode
	Realm   protocol.ID
	App     protocol.ID
	Tree    *policy.Tree
	Factors []FactorSpec // one per label of Tree, any order

	Device   DeviceHolder
	Recovery *RecoveryCode // optional; lent until Seal
	NoAnchor bool          // study only: no holders, no biometrics, not approved
	NoBoxes  bool          // level 2: biometrics are presented again for a change

	OPRF OPRF // hardened mode only
}

// An Enrolment builds one policy generation: first enrolment, a change, or a
// revoke. It is used by one goroutine. Wipe it on every path.
type Enrolment struct {
	x      Params
	p      *Policy
	rand   io.Reader
	anchor *secret.Buffer
	rk     *secret.Buffer // given in a change of a wrapped policy; else nil
	pubs   protocol.Pubs  // of the bundle; known before Seal in a change
	parts  []part         // by index of p.Factors
	keep   protocol.Hash  // a revoke: the public keys that may not change
	done   bool
}

// A part is what the builder knows about one factor.
type part struct {
	secret *secret.Buffer // what the source gave; nil when fs came from a box
	helper []byte         // as the source gave it, unmasked
	fs     *secret.Buffer
}

// NewEnrolment draws key id, anchor and salts for a first enrolment (clause
// 7.1 step 5). Errors have code Usage or Policy.
func NewEnrolment(x Params, rand io.Reader) (*Enrolment, error) {
	var id KeyID
	if _, err := io.ReadFull(rand, id[:]); err != nil {
		return nil, core.Errorf(core.Internal, "mf: new enrolment", "read random bytes: %w", err)
	}
	return newEnrolment(x, id, 1, 1, rand)
}

func newEnrolment(x Params, id KeyID, mkGen, epoch uint64, rand io.Reader) (*Enrolment, error) {
	const op = "mf: new enrolment"
	if x.Device.ID == "" {
		x.Device.ID = "device"
	}
	if x.Tree == nil || len(x.Factors) != len(x.Tree.Labels()) {
		return nil, core.Errorf(core.Usage, op, "want a tree and one spec per factor of it")
	}
	e := &Enrolment{x: x, rand: rand, p: &Policy{
		Suite: SuiteSM, KeyID: id, MKGen: mkGen, Epoch: epoch, Root: x.Root, KDF: x.KDF, Tree: x.Tree,
		Escrow: Escrow{Mode: x.Mode, T: 1, N: 1, Realms: []Realm{{ID: x.Realm, Index: 1}}},
	}}
	for _, l := range x.Tree.Labels() {
		i := slices.IndexFunc(x.Factors, func(f FactorSpec) bool { return f.Label == l })
		if i < 0 {
			return nil, core.Errorf(core.Usage, op, "no spec for factor %s", l)
		}
		f, err := e.newFactor(x.Factors[i], 1)
		if err != nil {
			return nil, err
		}
		e.p.Factors = append(e.p.Factors, f)
	}
	e.parts = make([]part, len(e.p.Factors))
	if err := e.drawAnchor(); err != nil {
		e.Wipe()
		return nil, err
	}
	if err := e.drawSets(); err != nil {
		e.Wipe()
		return nil, err
	}
	if err := e.precheck(op); err != nil {
		e.Wipe()
		return nil, err
	}
	return e, nil
}

func (e *Enrolment) draw(dst []byte) error {
	if _, err := io.ReadFull(e.rand, dst); err != nil {
		return core.Errorf(core.Internal, "mf: enrolment", "read random bytes: %w", err)
	}
	return nil
}

func (e *Enrolment) newFactor(s FactorSpec, rev uint32) (Factor, error) {
	if s.Source == "" {
		s.Source = policy.SourceOf(s.Label)
	}
	f := Factor{ID: s.Label, Source: s.Source, Kind: s.Kind, Format: 1, Rev: rev}
	return f, e.draw(f.Salt[:])
}

// drawAnchor draws A and hands it to the holders.
func (e *Enrolment) drawAnchor() error {
	if e.x.NoAnchor {
		e.anchor = secret.New(0)
		return nil
	}
	e.anchor = secret.New(32)
	if err := e.draw(e.anchor.Bytes()); err != nil {
		return err
	}
	if e.x.Device.Key.IsZero() {
		return core.Errorf(core.Usage, "mf: new enrolment", "the device has no key")
	}
	err := e.addHolder(Holder{ID: e.x.Device.ID, Kind: HolderDevice, Rev: 1, P: e.x.Device.Key.Compressed()}, e.x.Device.Secret)
	if err != nil || e.x.Recovery == nil {
		return err
	}
	return e.addRecovery(e.x.Recovery)
}

func (e *Enrolment) addHolder(h Holder, s *secret.Buffer) error {
	if s.Len() != holderSecretSize(h.Kind) {
		return core.Errorf(core.Usage, "mf: anchor holder", "a %s secret has %d bytes", h.Kind, holderSecretSize(h.Kind))
	}
	if err := e.draw(h.Salt[:]); err != nil {
		return err
	}
	v := holderPad(e.p.KeyID, &h, s.Bytes(), e.anchor.Bytes())
	copy(h.V[:], v.Bytes())
	v.Wipe()
	e.p.Anchor = append(e.p.Anchor, h)
	slices.SortFunc(e.p.Anchor, func(a, b Holder) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return nil
}

func (e *Enrolment) addRecovery(code *RecoveryCode) error {
	k, err := code.RebindKey(e.p.KeyID)
	if err != nil {
		return err
	}
	defer k.Wipe()
	return e.addHolder(Holder{ID: RecoveryHolder, Kind: HolderRecovery, Rev: 1, P: k.Public().Compressed()}, code.Secret())
}

// drawSets draws a fresh salt for every set.
func (e *Enrolment) drawSets() error {
	e.p.Sets = nil
	for _, m := range e.p.Tree.Masks() {
		s := Set{Members: m}
		if err := e.draw(s.Salt[:]); err != nil {
			return err
		}
		e.p.Sets = append(e.p.Sets, s)
	}
	return nil
}

// precheck applies the rules of a policy before anybody is asked for anything.
// The OPRF key is drawn by Seal, so hardened mode is checked without it.
func (e *Enrolment) precheck(op string) error {
	if _, err := core.ParseParams(e.p.KDF.String()); err != nil {
		return core.Errorf(core.Usage, op, "%w", err)
	}
	if e.x.App.IsZero() {
		return core.Errorf(core.Usage, op, "the app id is zero")
	}
	q := *e.p
	if q.Escrow.Mode == protocol.ModeHardened {
		if e.x.OPRF == nil {
			return core.Errorf(core.Usage, op, "hardened mode needs the OPRF")
		}
		q.Escrow = Escrow{Mode: protocol.ModePlain, T: 1, N: 1, Realms: []Realm{{ID: e.x.Realm, Index: 1}}}
	}
	if why := q.invalid(); why != "" {
		return core.Errorf(core.Policy, op, "%s", why)
	}
	return nil
}

// KeyID returns the id of the key being enrolled.
func (e *Enrolment) KeyID() KeyID { return e.p.KeyID }

func (e *Enrolment) index(label string) (int, error) {
	i := slices.IndexFunc(e.p.Factors, func(f Factor) bool { return f.ID == label })
	if i < 0 {
		return 0, core.Errorf(core.NotFound, "mf: enrolment", "no factor %s in the policy", label)
	}
	return i, nil
}

// TransformKey returns the key of a biometric source's feature transform, for
// core.EnrollRequest.BindKey; nil for knowledge and possession. The caller
// owns it. When an enrolment of the factor is repeated after SetFactor, the
// key and the salt are new, because a mask never serves two helpers.
func (e *Enrolment) TransformKey(label string) (*secret.Buffer, error) {
	i, err := e.index(label)
	if err != nil {
		return nil, err
	}
	f := &e.p.Factors[i]
	if f.Kind != core.KindBiometric {
		return nil, nil
	}
	if err := e.renew(i); err != nil {
		return nil, err
	}
	bk := bindKey(e.anchor.Bytes(), e.p.KeyID, f)
	defer bk.Wipe()
	return transformKey(bk), nil
}

// renew gives factor i a fresh salt if it already holds a secret.
func (e *Enrolment) renew(i int) error {
	if e.parts[i].fs == nil {
		return nil
	}
	e.parts[i].wipe()
	return e.draw(e.p.Factors[i].Salt[:])
}

// SetFactor takes what a source enrolled (lent, copied): its secret, helper,
// format and strength. Biometric secrets have at least 32 bytes, others at
// least 1.
func (e *Enrolment) SetFactor(label string, en core.Enrollment) error {
	const op = "mf: set factor"
	i, err := e.index(label)
	if err != nil {
		return err
	}
	f := &e.p.Factors[i]
	least := 1
	if f.Kind == core.KindBiometric {
		least = minBiometric
	}
	switch {
	case en.Secret.Len() < least || en.Secret.Len() > MaxSecret:
		return core.Errorf(core.Policy, op, "factor %s: its source gave a secret out of bounds, want %d to %d bytes", label, least, MaxSecret)
	case len(en.Helper) > MaxHelper:
		return core.Errorf(core.Policy, op, "factor %s: helper of %d bytes, at most %d", label, len(en.Helper), MaxHelper)
	case en.Format == 0:
		return core.Errorf(core.Policy, op, "factor %s: its source named no format", label)
	}
	if f.Kind != core.KindBiometric {
		// A repeated knowledge entry gets a new salt too; for biometrics the
		// key that transformed these samples belongs to the present salt.
		if err := e.renew(i); err != nil {
			return err
		}
	} else if e.parts[i].fs != nil {
		return core.Errorf(core.State, op, "factor %s: ask for a new transform key before enrolling it again", label)
	}
	f.Format, f.PerTry, f.Offline = en.Format, en.Strength.PerTry, en.Strength.Offline
	f.Helper, f.Box = slices.Clone(en.Helper), nil
	if f.Kind == core.KindBiometric {
		bk := bindKey(e.anchor.Bytes(), e.p.KeyID, f)
		defer bk.Wipe()
		if f.Helper, err = maskHelper(bk, en.Helper); err != nil {
			return err
		}
	}
	e.parts[i] = part{secret: en.Secret.Clone(), helper: slices.Clone(en.Helper), fs: factorSecret(e.p.KeyID, f, en.Secret.Bytes())}
	return nil
}

// Missing lists the factors SetFactor has not been called for.
func (e *Enrolment) Missing() []string {
	var out []string
	for i, f := range e.p.Factors {
		if e.parts[i].fs == nil {
			out = append(out, f.ID)
		}
	}
	return out
}

func (pt *part) wipe() {
	pt.secret.Wipe()
	pt.fs.Wipe()
	secret.Zero(pt.helper)
	*pt = part{}
}

// Wipe wipes everything secret. It may be called repeatedly.
func (e *Enrolment) Wipe() {
	if e == nil {
		return
	}
	e.anchor.Wipe()
	e.rk.Wipe()
	for i := range e.parts {
		e.parts[i].wipe()
	}
}

// Sealed is a policy generation ready to be stored. Wipe it.
type Sealed struct {
	Policy  []byte         // for SS-CC
	Blob    []byte         // for SS-CC; in a change that keeps MK, nil: the stored one stays
	Slot    Slot           // for the trust record's pending slot
	OPRFKey *secret.Buffer // hardened: dealt to SS-CC in Prepare, then wiped; else nil
	Confirm *sm.PrivateKey // d_conf of this generation: signs the Commit of an init
}

// Wipe wipes the keys.
func (s *Sealed) Wipe() {
	if s == nil {
		return
	}
	s.OPRFKey.Wipe()
	if s.Confirm != nil {
		s.Confirm.Wipe()
	}
}

// Seal makes the policy, the sealed bundle and everything to be stored, then
// derives every set once more from exactly those bytes and opens the bundle
// (clause 7.1 before step 7: a disturbed MK is noticed here, while nothing is
// stored yet). One slow call per set, and one more per set for the check. The
// bundle is lent. Enrolment is spent afterwards.
func (e *Enrolment) Seal(ctx context.Context, slow core.KDF, bundle *Bundle) (*Sealed, error) {
	const op = "mf: seal"
	if missing := e.Missing(); len(missing) > 0 || e.done || bundle == nil {
		return nil, core.Errorf(core.State, op, "want every factor set (missing %v), a bundle, and one call", missing)
	}
	e.pubs = bundle.Pubs()
	if e.keep != (protocol.Hash{}) && e.keep != pubsHash(e.pubs) {
		return nil, core.Errorf(core.Usage, op, "a revoke keeps the user's keys; this bundle holds others")
	}
	return e.seal(ctx, slow, bundle)
}
