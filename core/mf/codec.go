package mf

import (
	"encoding/binary"
	"slices"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

// ErrPolicy is the code of every refusal of a policy object; errors.Is(err,
// ErrPolicy) finds it. Callers act on the code, people read the text.
const ErrPolicy = core.Policy

// The stored form is packed: fixed-width fields bare, variable ones behind a
// u16 length, lists behind a u8 count. docs/mf1.md lists it field by field.
type packer struct{ b []byte }

func (w *packer) u8(v uint8)     { w.b = append(w.b, v) }
func (w *packer) u16(v uint16)   { w.b = binary.BigEndian.AppendUint16(w.b, v) }
func (w *packer) u32(v uint32)   { w.b = binary.BigEndian.AppendUint32(w.b, v) }
func (w *packer) u64(v uint64)   { w.b = binary.BigEndian.AppendUint64(w.b, v) }
func (w *packer) raw(v []byte)   { w.b = append(w.b, v...) }
func (w *packer) bytes(v []byte) { w.u16(uint16(len(v))); w.raw(v) }
func (w *packer) str(v string)   { w.u16(uint16(len(v))); w.b = append(w.b, v...) }

// packBody returns every byte before the mac.
func packBody(p *Policy) []byte {
	w := &packer{b: make([]byte, 0, 1024)}
	w.u8(Version)
	w.u32(p.Suite)
	w.raw(p.KeyID[:])
	w.u64(p.MKGen)
	w.u64(p.Epoch)
	w.u8(uint8(p.Root))
	w.str(p.KDF.String())
	w.u8(uint8(p.Escrow.Mode))
	w.u32(p.Escrow.OPRF)
	w.u8(p.Escrow.T)
	w.u8(p.Escrow.N)
	w.u8(uint8(len(p.Escrow.Realms)))
	for _, r := range p.Escrow.Realms {
		w.raw(r.ID[:])
		w.u8(r.Index)
		if r.K != nil {
			w.bytes(r.K[:])
		} else {
			w.bytes(nil)
		}
	}
	w.u8(uint8(len(p.Anchor)))
	for _, h := range p.Anchor {
		w.str(h.ID)
		w.u8(uint8(h.Kind))
		w.u32(h.Rev)
		w.raw(h.Salt[:])
		w.raw(h.V[:])
		w.raw(h.P[:])
	}
	w.raw(p.Pubs[:])
	w.bytes(p.Tree.Encode())
	w.u8(uint8(len(p.Factors)))
	for _, f := range p.Factors {
		w.str(f.ID)
		w.u8(uint8(f.Kind))
		w.str(f.Source)
		w.u32(f.Format)
		w.u32(f.Rev)
		w.u32(uint32(f.PerTry))
		w.u32(uint32(f.Offline))
		w.raw(f.Salt[:])
		w.bytes(f.Helper)
		w.bytes(f.Box)
	}
	w.u8(uint8(len(p.Sets)))
	for _, s := range p.Sets {
		w.u16(s.Members)
		w.raw(s.Salt[:])
		if p.Root == RootWrapped {
			w.raw(s.W[:])
		}
	}
	w.raw(p.PPol[:])
	w.raw(p.PConf[:])
	return w.b
}

// EncodePolicy returns the stored bytes of p. It does not check p; ParsePolicy
// does, and refuses what breaks a rule.
func EncodePolicy(p *Policy) []byte {
	b := packBody(p)
	b = append(b, p.MAC[:]...)
	return append(b, p.Sig[:]...)
}

// unpacker reads what packer wrote. After the first failure every read yields
// zero values and ok stays false; lengths are bounded before anything is copied.
type unpacker struct {
	b  []byte
	ok bool
}

func (r *unpacker) take(n int) []byte {
	if !r.ok || len(r.b) < n {
		r.ok = false
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *unpacker) u8() uint8 {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *unpacker) u16() uint16 {
	if v := r.take(2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (r *unpacker) u32() uint32 {
	if v := r.take(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (r *unpacker) u64() uint64 {
	if v := r.take(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func (r *unpacker) raw(dst []byte) { copy(dst, r.take(len(dst))) }

func (r *unpacker) bytes(limit int) []byte {
	n := int(r.u16())
	if n > limit {
		r.ok = false
	}
	return slices.Clone(r.take(n))
}

func (r *unpacker) count(limit int) int {
	n := int(r.u8())
	if n > limit {
		r.ok = false
	}
	if !r.ok {
		return 0
	}
	return n
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
	r := &unpacker{b: b, ok: true}
	if v := r.u8(); r.ok && v != Version {
		return nil, core.Errorf(core.Policy, op, "version %d, want %d; update keposs if the policy is newer", v, Version)
	}
	p := &Policy{Suite: r.u32()}
	r.raw(p.KeyID[:])
	p.MKGen, p.Epoch = r.u64(), r.u64()
	p.Root = Root(r.u8())
	kdf := r.bytes(256)
	p.Escrow = readEscrow(r)
	for range r.count(MaxHolders) {
		h := Holder{ID: string(r.bytes(policy.MaxLabel)), Kind: HolderKind(r.u8()), Rev: r.u32()}
		r.raw(h.Salt[:])
		r.raw(h.V[:])
		r.raw(h.P[:])
		p.Anchor = append(p.Anchor, h)
	}
	r.raw(p.Pubs[:])
	tree := r.bytes(policy.MaxText)
	var labels []string
	for range r.count(policy.MaxFactors) {
		f := Factor{ID: string(r.bytes(policy.MaxLabel)), Kind: core.FactorKind(r.u8()), Source: string(r.bytes(policy.MaxLabel)),
			Format: r.u32(), Rev: r.u32(), PerTry: core.Millibits(r.u32()), Offline: core.Millibits(r.u32())}
		r.raw(f.Salt[:])
		f.Helper, f.Box = r.bytes(MaxHelper), r.bytes(boxSize)
		p.Factors = append(p.Factors, f)
		labels = append(labels, f.ID)
	}
	for range r.count(policy.MaxSets) {
		s := Set{Members: r.u16()}
		r.raw(s.Salt[:])
		if p.Root == RootWrapped {
			r.raw(s.W[:])
		}
		p.Sets = append(p.Sets, s)
	}
	r.raw(p.PPol[:])
	r.raw(p.PConf[:])
	r.raw(p.MAC[:])
	r.raw(p.Sig[:])
	if !r.ok || len(r.b) != 0 {
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

func readEscrow(r *unpacker) Escrow {
	e := Escrow{Mode: protocol.Mode(r.u8()), OPRF: r.u32(), T: r.u8(), N: r.u8()}
	for range r.count(255) {
		var realm Realm
		r.raw(realm.ID[:])
		realm.Index = r.u8()
		if k := r.bytes(protocol.PointSize); len(k) == protocol.PointSize {
			realm.K = (*protocol.Point)(k)
		} else if len(k) != 0 {
			r.ok = false
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
