package mf

import (
	"crypto/subtle"

	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// domain opens every input of X.
const domain = "keposs/mf/1"

// The closed list of X labels. A test proves all labels and heads distinct,
// and another that a traced enrolment and derive use each (key, label, context)
// for one length only.
const (
	labelHolder     = "holder"      // holder secret → fs_a
	labelAnchor     = "anchor"      // fs_a → pad of A
	labelFactor     = "factor"      // factor secret → fs_i
	labelBind       = "bind"        // A → BK_i
	labelTransform  = "transform"   // BK_i → key of the source's feature transform
	labelHelper     = "helper"      // BK_i → SM4 key masking the helper
	labelOPRF       = "oprf"        // g → OPRF input
	labelSetKey     = "set-key"     // g, u → K_S
	labelWrap       = "wrap"        // K_S → pad of RK
	labelRoot       = "root"        // K_S → RK, root direct
	labelBox        = "fsbox"       // RK → SM4 key of a box
	labelMK         = "mk"          // RK → MK, MA
	labelPolicyMAC  = "policy-mac"  // RK → key of the policy's mac
	labelPolicySign = "policy-sign" // RK → d_pol
	labelConfirm    = "confirm"     // RK → d_conf
	labelRebind     = "rebind"      // recovery code → d_rec
	labelTrust      = "trust"       // device secret → key of the trust record
	labelFails      = "fails"       // device secret → key of the fail counter file
	labelJournal    = "journal"     // device secret → key of the journal file
	labelProfile    = "profile"     // device secret → key of the local profile file
)

// Heads: the first item of every other enc that is hashed or MACed.
const (
	headSecret  = "secret"
	headSet     = "set"
	headSetSalt = "set-salt"
	headCore    = "core"
	headSSP     = "ssp"
	headSheet   = "sheet"
	headSheetOK = "sheet-approved"
	headFile    = "file"
	headWords   = "words"
)

// An x-trace sees every use of X in tests; nil outside them.
var traceX func(key []byte, label string, ctx []byte, n int)

// expand fills out with X(k, label, ctx, len(out)).
func expand(out, k []byte, label string, ctx []byte) {
	if traceX != nil {
		traceX(k, label, ctx, len(out))
	}
	msg := enc.Join(enc.Str(domain), enc.Str(label), ctx, enc.U32(uint32(len(out))))
	h := sm.SecretHMAC(k, msg)
	z := sm.KDF(h.Bytes(), len(out))
	copy(out, z)
	secret.Zero(z)
	h.Wipe()
	secret.Zero(msg)
}

// derive returns X(k, label, ctx, n) in a buffer the caller owns.
func derive(k []byte, label string, ctx []byte, n int) *secret.Buffer {
	b := secret.New(n)
	expand(b.Bytes(), k, label, ctx)
	return b
}

// padded returns in ^ X(k, label, ctx, 32) of 32 bytes, owned by the caller.
func padded(in, k []byte, label string, ctx []byte) *secret.Buffer {
	out := derive(k, label, ctx, 32)
	subtle.XORBytes(out.Bytes(), out.Bytes(), in)
	return out
}

// scalarKey returns the SM2 key of scalar(k, label, ctx) = 1 + (X(…,40) mod
// (n−2)), in 1..n−2.
func scalarKey(k []byte, label string, ctx []byte) (*sm.PrivateKey, error) {
	wide, d := derive(k, label, ctx, 40), secret.New(32)
	defer secret.WipeAll(wide, d)
	sm.Guard(func() { reduce((*[32]byte)(d.Bytes()), (*[40]byte)(wide.Bytes())) })
	return sm.NewPrivateKey(d.Bytes())
}
