package mf

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
)

// The JSON view of a policy is for people and their tools. It is complete, so
// that a view can be turned back into the stored bytes, but only those are
// ever signed, hashed or stored.

// hexBytes renders as lower-case hex.
type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

func (h *hexBytes) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

type view struct {
	Version uint8        `json:"version"`
	Suite   uint32       `json:"suite"`
	KeyID   hexBytes     `json:"key_id"`
	MKGen   uint64       `json:"mk_gen"`
	Epoch   uint64       `json:"epoch"`
	Root    string       `json:"root"`
	KDF     string       `json:"kdf"`
	Escrow  viewEscrow   `json:"escrow"`
	Anchor  []viewHolder `json:"anchor"`
	Pubs    hexBytes     `json:"pubs"`
	Tree    string       `json:"tree"`
	Factors []viewFactor `json:"factors"`
	Sets    []viewSet    `json:"sets"`
	PPol    hexBytes     `json:"p_pol"`
	PConf   hexBytes     `json:"p_conf"`
	MAC     hexBytes     `json:"mac"`
	Sig     hexBytes     `json:"sig"`
}

type viewEscrow struct {
	Mode   string      `json:"mode"`
	OPRF   uint32      `json:"oprf_suite"`
	T      uint8       `json:"t"`
	N      uint8       `json:"n"`
	Realms []viewRealm `json:"realms"`
}

type viewRealm struct {
	ID    hexBytes `json:"id"`
	Index uint8    `json:"index"`
	K     hexBytes `json:"k,omitempty"`
}

type viewHolder struct {
	ID   string   `json:"id"`
	Kind string   `json:"kind"`
	Rev  uint32   `json:"rev"`
	Salt hexBytes `json:"salt"`
	V    hexBytes `json:"v"`
	P    hexBytes `json:"p"`
}

type viewFactor struct {
	ID      string         `json:"id"`
	Kind    string         `json:"kind"`
	Source  string         `json:"source"`
	Format  uint32         `json:"format"`
	Rev     uint32         `json:"rev"`
	PerTry  core.Millibits `json:"per_try_millibits"`
	Offline core.Millibits `json:"offline_millibits"`
	Salt    hexBytes       `json:"salt"`
	Helper  hexBytes       `json:"helper"`
	Box     hexBytes       `json:"box,omitempty"`
}

type viewSet struct {
	Members []string `json:"members"`
	Salt    hexBytes `json:"salt"`
	W       hexBytes `json:"w,omitempty"`
}

// MarshalJSON renders the view.
func (p *Policy) MarshalJSON() ([]byte, error) {
	v := view{Version: Version, Suite: p.Suite, KeyID: p.KeyID[:], MKGen: p.MKGen, Epoch: p.Epoch, Root: p.Root.String(),
		KDF: p.KDF.String(), Escrow: viewEscrow{Mode: p.Escrow.Mode.String(), OPRF: p.Escrow.OPRF, T: p.Escrow.T, N: p.Escrow.N},
		Anchor: []viewHolder{}, Pubs: p.Pubs[:], Tree: p.Tree.String(), PPol: p.PPol[:], PConf: p.PConf[:], MAC: p.MAC[:], Sig: p.Sig[:]}
	for _, r := range p.Escrow.Realms {
		vr := viewRealm{ID: r.ID[:], Index: r.Index}
		if r.K != nil {
			vr.K = r.K[:]
		}
		v.Escrow.Realms = append(v.Escrow.Realms, vr)
	}
	for _, h := range p.Anchor {
		v.Anchor = append(v.Anchor, viewHolder{h.ID, h.Kind.String(), h.Rev, h.Salt[:], h.V[:], h.P[:]})
	}
	for _, f := range p.Factors {
		v.Factors = append(v.Factors, viewFactor{f.ID, f.Kind.String(), f.Source, f.Format, f.Rev, f.PerTry, f.Offline, f.Salt[:], f.Helper, f.Box})
	}
	for i, members := range p.Tree.MinimalSets() {
		s := viewSet{Members: members, Salt: p.Sets[i].Salt[:]}
		if p.Root == RootWrapped {
			s.W = p.Sets[i].W[:]
		}
		v.Sets = append(v.Sets, s)
	}
	return json.Marshal(v)
}

// UnmarshalJSON reads a view: exactly the fields MarshalJSON writes. The
// result passes every rule of ParsePolicy. Errors have code Policy.
func (p *Policy) UnmarshalJSON(b []byte) error {
	const op = "mf: parse policy view"
	if len(b) > 4*protocol.MaxPolicy {
		return core.Errorf(core.Policy, op, "%d bytes, at most %d", len(b), 4*protocol.MaxPolicy)
	}
	var v view
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return core.Errorf(core.Policy, op, "%w", err)
	}
	q, err := v.policy()
	if err != nil {
		return core.Errorf(core.Policy, op, "%w", err)
	}
	parsed, err := ParsePolicy(EncodePolicy(q))
	if err != nil {
		return err
	}
	*p = *parsed
	return nil
}

// fixed copies src into dst when the lengths agree.
func fixed(dst []byte, src hexBytes, name string) error {
	if len(src) != len(dst) {
		return fmt.Errorf("%s: %d bytes, want %d", name, len(src), len(dst))
	}
	copy(dst, src)
	return nil
}

func (v *view) policy() (*Policy, error) {
	p := &Policy{Suite: v.Suite, MKGen: v.MKGen, Epoch: v.Epoch, Escrow: Escrow{OPRF: v.Escrow.OPRF, T: v.Escrow.T, N: v.Escrow.N}}
	if v.Version != Version {
		return nil, fmt.Errorf("version %d, want %d", v.Version, Version)
	}
	var err error
	if p.KDF, err = core.ParseParams(v.KDF); err != nil {
		return nil, err
	}
	if p.Tree, err = policy.Parse(v.Tree); err != nil {
		return nil, err
	}
	p.Escrow.Mode, _ = protocol.ParseMode(v.Escrow.Mode)
	for _, r := range []Root{RootDirect, RootWrapped} {
		if r.String() == v.Root {
			p.Root = r
		}
	}
	var bad error
	fix := func(dst []byte, src hexBytes, name string) {
		if err := fixed(dst, src, name); err != nil && bad == nil {
			bad = err
		}
	}
	fix(p.KeyID[:], v.KeyID, "key_id")
	fix(p.Pubs[:], v.Pubs, "pubs")
	fix(p.PPol[:], v.PPol, "p_pol")
	fix(p.PConf[:], v.PConf, "p_conf")
	fix(p.MAC[:], v.MAC, "mac")
	fix(p.Sig[:], v.Sig, "sig")
	for _, r := range v.Escrow.Realms {
		n := Realm{Index: r.Index}
		fix(n.ID[:], r.ID, "realm id")
		if len(r.K) > 0 {
			n.K = new(protocol.Point)
			fix(n.K[:], r.K, "realm k")
		}
		p.Escrow.Realms = append(p.Escrow.Realms, n)
	}
	for _, h := range v.Anchor {
		n := Holder{ID: h.ID, Rev: h.Rev}
		for _, k := range []HolderKind{HolderDevice, HolderRecovery} {
			if k.String() == h.Kind {
				n.Kind = k
			}
		}
		fix(n.Salt[:], h.Salt, "holder salt")
		fix(n.V[:], h.V, "holder v")
		fix(n.P[:], h.P, "holder p")
		p.Anchor = append(p.Anchor, n)
	}
	for _, f := range v.Factors {
		n := Factor{ID: f.ID, Source: f.Source, Format: f.Format, Rev: f.Rev, PerTry: f.PerTry, Offline: f.Offline, Helper: f.Helper, Box: f.Box}
		for _, k := range []core.FactorKind{core.KindKnowledge, core.KindPossession, core.KindBiometric} {
			if k.String() == f.Kind {
				n.Kind = k
			}
		}
		fix(n.Salt[:], f.Salt, "factor salt")
		if len(f.Helper) > MaxHelper || len(f.Box) > boxSize {
			return nil, fmt.Errorf("factor %s: helper or box too long", f.ID)
		}
		p.Factors = append(p.Factors, n)
	}
	return p, v.sets(p, fix, &bad)
}

func (v *view) sets(p *Policy, fix func([]byte, hexBytes, string), bad *error) error {
	labels := p.Tree.Labels()
	if len(v.Sets) > policy.MaxSets || len(v.Factors) != len(labels) {
		return fmt.Errorf("%d sets and %d factors do not fit the tree", len(v.Sets), len(v.Factors))
	}
	for _, s := range v.Sets {
		var n Set
		for _, m := range s.Members {
			for i, l := range labels {
				if l == m {
					n.Members |= 1 << i
				}
			}
		}
		fix(n.Salt[:], s.Salt, "set salt")
		if p.Root == RootWrapped {
			fix(n.W[:], s.W, "set w")
		} else if len(s.W) != 0 {
			fix(nil, s.W, "set w of a direct root")
		}
		p.Sets = append(p.Sets, n)
	}
	return *bad
}
