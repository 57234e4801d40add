package mf

import (
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

// ErrPolicy is the code of every refusal of a policy object; errors.Is(err,
// ErrPolicy) finds it. Callers act on the code, people read the text.
const ErrPolicy = core.Policy

// packBody returns every byte before the mac: fixed-width fields bare, variable
// ones behind a u16 length, lists behind a u8 count. docs/mf1.md lists the form
// field by field.
func packBody(p *Policy) []byte {
	w := &enc.Packer{B: make([]byte, 0, 1024)}
	w.U8(Version)
	w.U32(p.Suite)
	w.Raw(p.KeyID[:])
	w.U64(p.MKGen)
	w.U64(p.Epoch)
	w.U8(uint8(p.Root))
	w.Short(enc.Str(p.KDF.String()))
	w.U8(uint8(p.Escrow.Mode))
	w.U32(p.Escrow.OPRF)
	w.U8(p.Escrow.T)
	w.U8(p.Escrow.N)
	w.U8(uint8(len(p.Escrow.Realms)))
	for _, r := range p.Escrow.Realms {
		w.Raw(r.ID[:])
		w.U8(r.Index)
		if r.K != nil {
			w.Short(r.K[:])
		} else {
			w.Short(nil)
		}
	}
	w.U8(uint8(len(p.Anchor)))
	for _, h := range p.Anchor {
		w.Short(enc.Str(h.ID))
		w.U8(uint8(h.Kind))
		w.U32(h.Rev)
		w.Raw(h.Salt[:])
		w.Raw(h.V[:])
		w.Raw(h.P[:])
	}
	w.Raw(p.Pubs[:])
	w.Short(p.Tree.Encode())
	w.U8(uint8(len(p.Factors)))
	for _, f := range p.Factors {
		w.Short(enc.Str(f.ID))
		w.U8(uint8(f.Kind))
		w.Short(enc.Str(f.Source))
		w.U32(f.Format)
		w.U32(f.Rev)
		w.U32(uint32(f.PerTry))
		w.U32(uint32(f.Offline))
		w.Raw(f.Salt[:])
		w.Short(f.Helper)
		w.Short(f.Box)
	}
	w.U8(uint8(len(p.Sets)))
	for _, s := range p.Sets {
		w.U16(s.Members)
		w.Raw(s.Salt[:])
		if p.Root == RootWrapped {
			w.Raw(s.W[:])
		}
	}
	w.Raw(p.PPol[:])
	w.Raw(p.PConf[:])
	return w.B
}

// EncodePolicy returns the stored bytes of p. It does not check p; ParsePolicy
// does, and refuses what breaks a rule.
func EncodePolicy(p *Policy) []byte {
	b := packBody(p)
	b = append(b, p.MAC[:]...)
	return append(b, p.Sig[:]...)
}

// ParsePolicy reads the one canonical encoding and checks every rule that
// needs no key: bounds, order, uniqueness, points on the curve, sets equal to
// the tree's minimal sets, and what the root and mode allow. It verifies
// neither mac nor signature; Check does. Errors have code Policy.
func ParsePolicy(b []byte) (*Policy, error) {
	const op = "mf: parse policy"
	if len(b) > protocol.MaxPolicy {
		return nil, core.Errorf(core.Policy, op, "%d bytes, at most %d", len(b), protocol.MaxPolicy)
	}
	r := enc.NewUnpacker(b)
	if v := r.U8(); !r.Bad() && v != Version {
		return nil, core.Errorf(core.Policy, op, "version %d, want %d; update keposs if the policy is newer", v, Version)
	}
	p := &Policy{Suite: r.U32()}
	r.Raw(p.KeyID[:])
	p.MKGen, p.Epoch = r.U64(), r.U64()
	p.Root = Root(r.U8())
	kdf := r.Short(256)
	p.Escrow = readEscrow(r)
	for range r.Count(MaxHolders) {
		h := Holder{ID: string(r.Short(policy.MaxLabel)), Kind: HolderKind(r.U8()), Rev: r.U32()}
		r.Raw(h.Salt[:])
		r.Raw(h.V[:])
		r.Raw(h.P[:])
		p.Anchor = append(p.Anchor, h)
	}
	r.Raw(p.Pubs[:])
	tree := r.Short(policy.MaxText)
	var labels []string
	for range r.Count(policy.MaxFactors) {
		f := Factor{ID: string(r.Short(policy.MaxLabel)), Kind: core.FactorKind(r.U8()), Source: string(r.Short(policy.MaxLabel)),
			Format: r.U32(), Rev: r.U32(), PerTry: core.Millibits(r.U32()), Offline: core.Millibits(r.U32())}
		r.Raw(f.Salt[:])
		f.Helper, f.Box = r.Short(MaxHelper), r.Short(boxSize)
		p.Factors = append(p.Factors, f)
		labels = append(labels, f.ID)
	}
	for range r.Count(policy.MaxSets) {
		s := Set{Members: r.U16()}
		r.Raw(s.Salt[:])
		if p.Root == RootWrapped {
			r.Raw(s.W[:])
		}
		p.Sets = append(p.Sets, s)
	}
	r.Raw(p.PPol[:])
	r.Raw(p.PConf[:])
	r.Raw(p.MAC[:])
	r.Raw(p.Sig[:])
	if !r.Done() {
		return nil, core.Errorf(core.Policy, op, "malformed: truncated, oversize or trailing bytes")
	}
	var err error
	if p.KDF, err = core.ParseParams(string(kdf)); err != nil {
		return nil, core.Errorf(core.Policy, op, "%w", err)
	}
	if p.Tree, err = policy.Decode(tree, labels); err != nil {
		return nil, core.Errorf(core.Policy, op, "%w", err)
	}
	if why := p.invalid(); why != "" {
		return nil, core.Errorf(core.Policy, op, "%s", why)
	}
	for _, pt := range p.points() {
		if _, err := sm.ParsePoint(pt[:]); err != nil {
			return nil, core.Errorf(core.Policy, op, "a public key is not a point of the curve")
		}
	}
	return p, nil
}

func readEscrow(r *enc.Unpacker) Escrow {
	e := Escrow{Mode: protocol.Mode(r.U8()), OPRF: r.U32(), T: r.U8(), N: r.U8()}
	for range r.Count(255) {
		var realm Realm
		r.Raw(realm.ID[:])
		realm.Index = r.U8()
		if k := r.Short(protocol.PointSize); len(k) == protocol.PointSize {
			realm.K = (*protocol.Point)(k)
		} else if len(k) != 0 {
			r.Fail()
		}
		e.Realms = append(e.Realms, realm)
	}
	return e
}

// points lists every point of the policy.
func (p *Policy) points() []protocol.Point {
	out := []protocol.Point{p.PPol, p.PConf}
	for _, h := range p.Anchor {
		out = append(out, h.P)
	}
	for _, r := range p.Escrow.Realms {
		if r.K != nil {
			out = append(out, *r.K)
		}
	}
	return out
}
