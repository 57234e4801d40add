package mf

import (
	"slices"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

// Expect is local policy and the terminal's memory: what step 0 of the derive
// holds the served policy against. SS-CC is not trusted for any of it.
type Expect struct {
	Slots []*Slot        // the trust record's, current first; nil entries are skipped
	Pubs  *protocol.Pubs // as SS-CC served them; nil skips that compare (it is made again on the opened keys)
	App   protocol.ID    // binds the blob

	Floor    core.Params             // the trust record's; zero = none
	KDFs     []string                // allow-list of KDF names; must not be empty
	Limits   core.Limits             // local floors and ceilings
	Validate func(core.Params) error // the KDF's own check, run last; nil = none

	Modes         []protocol.Mode // accepted escrow modes; empty = both
	Realm         protocol.ID     // zero = any
	AllowNoAnchor bool            // study only
}

// A Checked is a policy that passed step 0. Nothing else can be opened.
type Checked struct {
	Policy *Policy
	Slot   *Slot // the one that matched; nil after CheckSheet
	Pubs   protocol.Pubs
	App    protocol.ID
	// ApprovedKeys is what a recovery sheet says of the key space; only CheckSheet
	// sets it, a terminal that holds the user knows it from its profile.
	ApprovedKeys bool
	core         [32]byte
	body         []byte // every byte before the mac
}

// Check does all of step 0 of clause 7.2 before any source is touched, any
// prompt shown, any cost paid: SM3(policy) is the current or the pending
// slot's; the signature verifies under that slot's key, never the policy's own
// field; epoch, generation and public keys agree; suite, version, mode, KDF
// and cost are allowed. Errors have code Policy.
func Check(b []byte, x Expect) (*Checked, error) {
	const op = "mf: check policy"
	if len(b) > protocol.MaxPolicy {
		return nil, core.Errorf(core.Policy, op, "%d bytes, at most %d", len(b), protocol.MaxPolicy)
	}
	digest := protocol.Hash(sm.SM3(b))
	i := slices.IndexFunc(x.Slots, func(s *Slot) bool { return s != nil && s.Policy == digest })
	if i < 0 {
		return nil, core.Errorf(core.Policy, op, "the policy is not the one this terminal stored: older, newer, changed or another user's")
	}
	slot := x.Slots[i]
	c, err := check(b, x, slot.PPol)
	if err != nil {
		return nil, err
	}
	switch p := c.Policy; {
	case p.Epoch != slot.Epoch || p.MKGen != slot.MKGen:
		return nil, core.Errorf(core.Policy, op, "generation %d/%d, the terminal expects %d/%d", p.Epoch, p.MKGen, slot.Epoch, slot.MKGen)
	case p.PPol != slot.PPol:
		return nil, core.Errorf(core.Policy, op, "the policy names another signing key")
	case p.Pubs != pubsHash(slot.Pubs):
		return nil, core.Errorf(core.Policy, op, "the policy belongs to other public keys")
	case x.Pubs != nil && *x.Pubs != slot.Pubs:
		return nil, core.Errorf(core.Policy, op, "SS-CC served other public keys than this terminal stored")
	}
	c.Slot, c.Pubs = slot, slot.Pubs
	return c, nil
}

// check is what Check and CheckSheet share: parse, signature under ppol, and
// local policy.
func check(b []byte, x Expect, ppol protocol.Point) (*Checked, error) {
	const op = "mf: check policy"
	p, err := ParsePolicy(b)
	if err != nil {
		return nil, err
	}
	signed := b[:len(b)-protocol.SigSize]
	pub, err := sm.ParsePoint(ppol[:])
	if err != nil {
		return nil, core.Errorf(core.Policy, op, "the expected policy key is not a point of the curve")
	}
	if !sm.Verify(pub, signed, enc.Str(protocol.PolicyID), p.Sig) {
		return nil, core.Errorf(core.Policy, op, "the policy's signature does not verify")
	}
	switch {
	case len(x.KDFs) == 0 || !slices.Contains(x.KDFs, p.KDF.Name):
		return nil, core.Errorf(core.Policy, op, "kdf %q is not allowed here", p.KDF.Name)
	case len(x.Modes) > 0 && !slices.Contains(x.Modes, p.Escrow.Mode):
		return nil, core.Errorf(core.Policy, op, "escrow mode %s is not allowed here", p.Escrow.Mode)
	case !x.Realm.IsZero() && p.Escrow.Realms[0].ID != x.Realm:
		return nil, core.Errorf(core.Policy, op, "the policy belongs to another realm")
	case !p.Approved() && !x.AllowNoAnchor:
		return nil, core.Errorf(core.Policy, op, "a policy without an anchor is for study; this terminal refuses it")
	}
	if err := belowFloor(p.KDF, x.Floor); err != nil {
		return nil, err
	}
	if err := x.Limits.Check(p.KDF); err != nil {
		return nil, core.Errorf(core.Policy, op, "%w", err)
	}
	if x.Validate != nil {
		if err := x.Validate(p.KDF); err != nil {
			return nil, core.Errorf(core.Policy, op, "%w", err)
		}
	}
	return &Checked{Policy: p, App: x.App, core: p.coreHash(), body: b[:len(b)-len(p.MAC)-protocol.SigSize]}, nil
}

// belowFloor refuses a KDF that is not the floor's or is cheaper in any value.
func belowFloor(p, floor core.Params) error {
	if floor.Name == "" {
		return nil
	}
	const op = "mf: check policy"
	if p.Name != floor.Name {
		return core.Errorf(core.Policy, op, "kdf %s, this terminal's floor is for %s", p.Name, floor.Name)
	}
	for _, f := range floor.Values {
		if n, ok := p.Get(f.Key); !ok || n < f.N {
			return core.Errorf(core.Policy, op, "kdf cost %s=%d is below this terminal's floor %d", f.Key, n, f.N)
		}
	}
	return nil
}

// CaptureParams returns what a source needs before its capture: the format of
// the factor's derivation and, for a knowledge or possession factor, its
// public parameters (a biometric helper is not shown before the samples are
// taken).
func (c *Checked) CaptureParams(label string) (format uint32, params []byte, err error) {
	f := c.Policy.Factor(label)
	if f == nil {
		return 0, nil, core.Errorf(core.NotFound, "mf: capture params", "no factor %s in the policy", label)
	}
	if f.Kind == core.KindBiometric {
		return f.Format, nil, nil
	}
	return f.Format, slices.Clone(f.Helper), nil
}
