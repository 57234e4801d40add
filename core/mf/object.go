package mf

import (
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

// Version of the policy object.
const Version = 1

// Suites. A suite fixes every function of the schedule.
const (
	SuiteSM  uint32 = 1 // SM2, SM3, SM4-CTR, HMAC-SM3, GM/T 0003 KDF
	OPRFNone uint32 = 0 // plain mode
	OPRFSM2  uint32 = 1 // VOPRF over SM2 with SM3
)

// Bounds of a policy object, beyond those of package policy.
const (
	MaxHolders     = 4
	MaxHelper      = 4096 // bytes of one helper
	MaxSecret      = 4096 // bytes of one factor secret at enrolment
	DeviceSecret   = 32   // bytes of a device holder's secret
	RecoverySecret = 16   // bytes of a recovery code
	boxSize        = 16 + 32
	minBiometric   = 32 // bytes of a biometric secret at least
)

// Root says where RK comes from. The zero value is refused.
type Root uint8

// Roots.
const (
	RootUnknown Root = 0
	RootDirect  Root = 1 // one set, no box: RK is derived from it
	RootWrapped Root = 2 // RK is random, masked once per set
)

// String returns direct, wrapped or unknown.
func (r Root) String() string {
	switch r {
	case RootDirect:
		return "direct"
	case RootWrapped:
		return "wrapped"
	default:
		return "unknown"
	}
}

// HolderKind is what opens the anchor. The zero value is refused.
type HolderKind uint8

// Holder kinds.
const (
	HolderUnknown  HolderKind = 0
	HolderDevice   HolderKind = 1 // 32 random bytes in a terminal's key store
	HolderRecovery HolderKind = 2 // a recovery code of 128 random bits
)

// String returns device, recovery or unknown.
func (k HolderKind) String() string {
	switch k {
	case HolderDevice:
		return "device"
	case HolderRecovery:
		return "recovery"
	default:
		return "unknown"
	}
}

// KeyID names one user's key for its whole life; 16 random bytes.
type KeyID = protocol.ID

// A Policy is the public object SS-CC stores beside the sealed keys. Its
// binary form is the only one; the JSON view is for people. Treat a parsed
// Policy as read-only.
type Policy struct {
	Suite  uint32
	KeyID  KeyID
	MKGen  uint64 // generation of MK: raised by a revoke and by any change of the bundle
	Epoch  uint64 // raised by every change
	Root   Root
	KDF    core.Params
	Escrow Escrow
	Anchor []Holder // by ID; none = study only, no biometrics
	Pubs   protocol.Hash
	Tree   *policy.Tree
	// Factors is in the order of Tree.Labels(); Sets in that of Tree.MinimalSets().
	Factors []Factor
	Sets    []Set
	PPol    protocol.Point // verifies Sig; trusted only when the trust record says so
	PConf   protocol.Point // SS-CC verifies Confirm, Commit and removals with it
	MAC     [32]byte
	Sig     protocol.Sig
}

// Escrow says who holds the sealed keys and how guesses are counted. Version 1
// accepts one realm: T = N = 1.
type Escrow struct {
	Mode   protocol.Mode
	OPRF   uint32 // OPRFNone in plain mode
	T, N   uint8
	Realms []Realm
}

// Realm is one SS-CC.
type Realm struct {
	ID    protocol.ID
	Index uint8           // from 1
	K     *protocol.Point // its OPRF public key; nil in plain mode
}

// Holder is one way to open the anchor.
type Holder struct {
	ID   string
	Kind HolderKind
	Rev  uint32
	Salt [16]byte
	V    [32]byte       // A under the holder's pad
	P    protocol.Point // device key, or the recovery code's rebind key
}

// Factor is the public part of one factor.
type Factor struct {
	ID      string
	Kind    core.FactorKind
	Source  string
	Format  uint32
	Rev     uint32
	PerTry  core.Millibits
	Offline core.Millibits
	Salt    [16]byte
	Helper  []byte // knowledge: parameters in the clear; biometric: masked
	Box     []byte // empty, or iv ‖ fs under RK (biometrics of a wrapped root only)
}

// Set is one minimal authorised set, Members a mask over Factors.
type Set struct {
	Members uint16
	Salt    [16]byte
	W       [32]byte // RK under the set's pad; zero and not stored with RootDirect
}

// Factor returns the factor with that label, nil if there is none.
func (p *Policy) Factor(label string) *Factor {
	for i := range p.Factors {
		if p.Factors[i].ID == label {
			return &p.Factors[i]
		}
	}
	return nil
}

// Holder returns the anchor holder with that id, nil if there is none.
func (p *Policy) Holder(id string) *Holder {
	for i := range p.Anchor {
		if p.Anchor[i].ID == id {
			return &p.Anchor[i]
		}
	}
	return nil
}

// Approved reports whether the policy uses approved structure only: anchor
// none is for study. The KDF and the sources have their own indicators.
func (p *Policy) Approved() bool { return len(p.Anchor) > 0 }

// coreHash is what binds every set key to the policy's structure:
//
//	SM3(enc("core", ver, suite, keyID, root, kdf, escrow, tree, factors*))
func (p *Policy) coreHash() [32]byte {
	factors := make([][]byte, len(p.Factors))
	for i, f := range p.Factors {
		factors[i] = enc.Join(enc.Str(f.ID), enc.U32(uint32(f.Kind)), enc.Str(f.Source), enc.U32(f.Format))
	}
	return sm.SM3(enc.Join(enc.Str(headCore), enc.U32(Version), enc.U32(p.Suite), p.KeyID[:],
		enc.U32(uint32(p.Root)), enc.Str(p.KDF.String()), p.Escrow.encode(), p.Tree.Encode(), enc.Join(factors...)))
}

func (e Escrow) encode() []byte {
	realms := make([][]byte, len(e.Realms))
	for i, r := range e.Realms {
		var k []byte
		if r.K != nil {
			k = r.K[:]
		}
		realms[i] = enc.Join(r.ID[:], enc.U32(uint32(r.Index)), k)
	}
	return enc.Join(enc.U32(uint32(e.Mode)), enc.U32(e.OPRF), enc.U32(uint32(e.T)), enc.U32(uint32(e.N)), enc.Join(realms...))
}

// factorCtx is the context of a factor's fs. Biometrics append the digest of
// the stored, masked helper.
func factorCtx(id KeyID, f *Factor) []byte {
	items := [][]byte{id[:], enc.Str(f.ID), enc.U32(uint32(f.Kind)), enc.Str(f.Source), enc.U32(f.Format), enc.U32(f.Rev)}
	if f.Kind == core.KindBiometric {
		h := sm.SM3(f.Helper)
		items = append(items, h[:])
	}
	return enc.Join(items...)
}

func bindCtx(id KeyID, f *Factor) []byte {
	return enc.Join(id[:], enc.Str(f.ID), enc.U32(f.Rev), f.Salt[:])
}

// setIDs is enc(id_j…) of a set's members.
func (p *Policy) setIDs(s Set) []byte {
	var ids [][]byte
	for i, f := range p.Factors {
		if s.Members>>i&1 == 1 {
			ids = append(ids, enc.Str(f.ID))
		}
	}
	return enc.Join(ids...)
}
