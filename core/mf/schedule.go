package mf

import (
	"context"
	"io"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// The stages of the schedule, shared by enrolment and derive.

// extract is HMAC-SM3(salt, enc("secret", s)).
func extract(salt, s []byte) *secret.Buffer {
	msg := enc.Join(enc.Str(headSecret), s)
	defer secret.Zero(msg)
	return sm.SecretHMAC(salt, msg)
}

// factorSecret is fs_i. f must hold the stored helper.
func factorSecret(id KeyID, f *Factor, s []byte) *secret.Buffer {
	k := extract(f.Salt[:], s)
	defer k.Wipe()
	return derive(k.Bytes(), labelFactor, factorCtx(id, f), 32)
}

// holderPad turns h.V into A, or A into V: V = A ^ X(fs_a, "anchor", …).
func holderPad(id KeyID, h *Holder, s, in []byte) *secret.Buffer {
	k := extract(h.Salt[:], s)
	defer k.Wipe()
	fs := derive(k.Bytes(), labelHolder, enc.Join(id[:], enc.Str(h.ID), enc.U32(uint32(h.Kind)), enc.U32(h.Rev)), 32)
	defer fs.Wipe()
	return padded(in, fs.Bytes(), labelAnchor, enc.Join(id[:], enc.Str(h.ID), enc.U32(h.Rev)))
}

// bindKey is BK_i. It depends on the anchor, the factor's own label, revision
// and salt, and on nothing else of the policy.
func bindKey(anchor []byte, id KeyID, f *Factor) *secret.Buffer {
	return derive(anchor, labelBind, bindCtx(id, f), 32)
}

func transformKey(bk *secret.Buffer) *secret.Buffer {
	return derive(bk.Bytes(), labelTransform, nil, 32)
}

// maskHelper masks or unmasks: SM4-CTR with a key of its own and iv 0. The key
// is never used twice because a factor's salt is drawn for one helper.
func maskHelper(bk *secret.Buffer, helper []byte) ([]byte, error) {
	key := derive(bk.Bytes(), labelHelper, nil, 16)
	defer key.Wipe()
	out := make([]byte, len(helper))
	var iv [16]byte
	return out, sm.CTR(key.Bytes(), iv[:], out, helper)
}

// setInput is IKM = enc("set", A, enc(enc(id_j, fs_j)… by id)). fs is by index
// of p.Factors.
func (p *Policy) setInput(s Set, anchor []byte, fs []*secret.Buffer) *secret.Buffer {
	var items [][]byte
	defer func() {
		for _, it := range items {
			secret.Zero(it)
		}
	}()
	for i, f := range p.Factors {
		if s.Members>>i&1 == 1 {
			items = append(items, enc.Join(enc.Str(f.ID), fs[i].Bytes()))
		}
	}
	list := enc.Join(items...)
	defer secret.Zero(list)
	return secret.Own(enc.Join(enc.Str(headSet), anchor, list))
}

// stretch runs the one slow call of a set and mixes the factors in again: g =
// HMAC-SM3(t, IKM), so that a broken or malicious KDF cannot remove them.
func stretch(ctx context.Context, slow core.KDF, kdf core.Params, coreHash []byte, s Set, ikm *secret.Buffer) (*secret.Buffer, error) {
	in := sm.SecretHMAC(coreHash, ikm.Bytes())
	defer in.Wipe()
	salt := sm.HMAC(coreHash, enc.Join(enc.Str(headSetSalt), s.Salt[:]))
	t := secret.New(32)
	defer t.Wipe()
	if err := slow.Derive(ctx, kdf, in.Bytes(), salt[:], t.Bytes()); err != nil {
		return nil, err
	}
	return sm.SecretHMAC(t.Bytes(), ikm.Bytes()), nil
}

// setKey is K_S = X(g, "set-key", u, 32); u is empty in plain mode.
func setKey(g *secret.Buffer, u []byte) *secret.Buffer {
	return derive(g.Bytes(), labelSetKey, u, 32)
}

// wrapRoot masks or unmasks RK with the set's pad.
func (p *Policy) wrapRoot(s Set, ks *secret.Buffer, in []byte) *secret.Buffer {
	return padded(in, ks.Bytes(), labelWrap, p.setIDs(s))
}

// policyMAC is HMAC-SM3(X(RK,"policy-mac","",32), body).
func policyMAC(rk, body []byte) [32]byte {
	key := derive(rk, labelPolicyMAC, nil, 32)
	defer key.Wipe()
	return sm.HMAC(key.Bytes(), body)
}

// policyKey is d_pol, confirmKey d_conf.
func policyKey(rk []byte, id KeyID) (*sm.PrivateKey, error) {
	return scalarKey(rk, labelPolicySign, id[:])
}

func confirmKey(rk []byte, id KeyID, mkGen uint64) (*sm.PrivateKey, error) {
	return scalarKey(rk, labelConfirm, enc.Join(id[:], enc.U64(mkGen)))
}

// sealBox is iv ‖ SM4-CTR(X(RK,"fsbox",enc(id,rev),16), iv, fs).
func sealBox(rk []byte, f *Factor, fs *secret.Buffer, rand io.Reader) ([]byte, error) {
	box := make([]byte, boxSize)
	if _, err := io.ReadFull(rand, box[:16]); err != nil {
		return nil, core.Errorf(core.Internal, "mf: seal box", "read random bytes: %w", err)
	}
	return box, boxCTR(rk, f, box[:16], box[16:], fs.Bytes())
}

func openBox(rk []byte, f *Factor) (*secret.Buffer, error) {
	fs := secret.New(32)
	if err := boxCTR(rk, f, f.Box[:16], fs.Bytes(), f.Box[16:]); err != nil {
		fs.Wipe()
		return nil, err
	}
	return fs, nil
}

func boxCTR(rk []byte, f *Factor, iv, dst, src []byte) error {
	key := derive(rk, labelBox, enc.Join(enc.Str(f.ID), enc.U32(f.Rev)), 16)
	defer key.Wipe()
	return sm.CTR(key.Bytes(), iv, dst, src)
}
