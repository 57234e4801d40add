package mf

import (
	"bytes"
	"context"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// replay makes every stage from the inputs, with the package's own stages.
func replay(t *testing.T, in vectorIn) vectorOut {
	t.Helper()
	kdf, err := core.ParseParams(in.KDF)
	if err != nil {
		t.Fatal(err)
	}
	mode, _ := protocol.ParseMode(in.Mode)
	p := &Policy{Suite: SuiteSM, KeyID: KeyID(in.KeyID), MKGen: in.MKGen, Epoch: in.Epoch, Root: RootWrapped, KDF: kdf, Tree: tree(t, in.Tree),
		Escrow: Escrow{Mode: mode, T: 1, N: 1, Realms: []Realm{{ID: protocol.ID(in.Realm), Index: 1}}}, Sig: protocol.Sig(in.Sig)}
	if in.Root == "direct" {
		p.Root = RootDirect
	}
	if mode == protocol.ModeHardened {
		k := protocol.Point(in.OPRFPub)
		p.Escrow.OPRF, p.Escrow.Realms[0].K = OPRFSM2, &k
	}
	out := vectorOut{TreeCode: p.Tree.Encode(), Sets: p.Tree.MinimalSets(), Holders: []vectorOutHold{}}
	for _, h := range in.Holders {
		n := Holder{ID: h.ID, Kind: HolderKind(h.Kind), Rev: h.Rev, Salt: [16]byte(h.Salt)}
		if n.Kind == HolderRecovery {
			k, err := (&RecoveryCode{secret.Copy(h.Secret)}).RebindKey(p.KeyID)
			if err != nil {
				t.Fatal(err)
			}
			n.P = k.Public().Compressed()
		} else {
			n.P = protocol.Point(h.P)
		}
		copy(n.V[:], holderPad(p.KeyID, &n, h.Secret, in.Anchor).Bytes())
		k := extract(n.Salt[:], h.Secret)
		fs := derive(k.Bytes(), labelHolder, enc.Join(p.KeyID[:], enc.Str(h.ID), enc.U32(h.Kind), enc.U32(h.Rev)), 32)
		p.Anchor = append(p.Anchor, n)
		out.Holders = append(out.Holders, vectorOutHold{fs.Bytes(), clone(n.V[:]), clone(n.P[:])})
	}
	fs := make([]*secret.Buffer, len(in.Factors))
	for i, f := range in.Factors {
		n := Factor{ID: f.ID, Kind: core.FactorKind(f.Kind), Source: f.Source, Format: f.Format, Rev: f.Rev, PerTry: core.Millibits(f.PerTry),
			Offline: core.Millibits(f.Offline), Salt: [16]byte(f.Salt), Helper: clone(f.Helper)}
		of := vectorOutFac{BK: hexes{}, Transform: hexes{}, Box: hexes{}}
		if n.Kind == core.KindBiometric {
			bk := bindKey(in.Anchor, p.KeyID, &n)
			of.BK, of.Transform = bk.Bytes(), transformKey(bk).Bytes()
			if n.Helper, err = maskHelper(bk, f.Helper); err != nil {
				t.Fatal(err)
			}
		}
		fs[i] = factorSecret(p.KeyID, &n, f.Secret)
		of.Helper, of.FS = n.Helper, fs[i].Bytes()
		p.Factors, out.Factors = append(p.Factors, n), append(out.Factors, of)
	}
	c := p.coreHash()
	out.Core = c[:]
	rk := secret.Copy(in.RK)
	for i, m := range p.Tree.Masks() {
		st := Set{Members: m, Salt: [16]byte(in.SetSalts[i])}
		ikm := p.setInput(st, in.Anchor, fs)
		kin, ksalt := sm.HMAC(c[:], ikm.Bytes()), sm.HMAC(c[:], enc.Join(enc.Str(headSetSalt), st.Salt[:]))
		tt := make([]byte, 32)
		if err := new(countKDF).Derive(context.Background(), kdf, kin[:], ksalt[:], tt); err != nil {
			t.Fatal(err)
		}
		g, err := stretch(context.Background(), new(countKDF), kdf, c[:], st, ikm)
		if err != nil {
			t.Fatal(err)
		}
		o := vectorOutSet{IKM: ikm.Bytes(), In: kin[:], Salt: ksalt[:], T: tt, G: g.Bytes(), OPRF: hexes{}, W: hexes{}}
		var uu []byte
		if mode == protocol.ModeHardened {
			o.OPRF, uu = p.oprfInput(st, g).Bytes(), in.U[i]
		}
		ks := setKey(g, uu)
		o.KS = ks.Bytes()
		if p.Root == RootDirect {
			rk = p.rootKey(st, ks, c[:])
		} else {
			copy(st.W[:], p.wrapRoot(st, ks, in.RK).Bytes())
			o.W = clone(st.W[:])
		}
		p.Sets, out.SetKeys = append(p.Sets, st), append(out.SetKeys, o)
	}
	out.RK = rk.Bytes()
	for i, f := range in.Factors {
		if len(f.BoxIV) > 0 {
			box := append(clone(f.BoxIV), make([]byte, 32)...)
			if err := boxCTR(rk.Bytes(), &p.Factors[i], box[:16], box[16:], fs[i].Bytes()); err != nil {
				t.Fatal(err)
			}
			p.Factors[i].Box, out.Factors[i].Box = box, box
		}
	}
	replayKeys(t, in, p, &out)
	return out
}

// replayKeys is what follows from RK.
func replayKeys(t *testing.T, in vectorIn, p *Policy, out *vectorOut) {
	t.Helper()
	s, err := sm.NewPrivateKey(in.Sign)
	if err != nil {
		t.Fatal(err)
	}
	k, err := sm.NewPrivateKey(in.Enc)
	if err != nil {
		t.Fatal(err)
	}
	bundle := &Bundle{s, k}
	p.Pubs = pubsHash(bundle.Pubs())
	mk := masterKey(out.RK, p.KeyID, p.MKGen)
	out.MK, out.MA, out.Pubs = clone(mk.Bytes()[:16]), clone(mk.Bytes()[16:]), clone(p.Pubs[:])
	pol, _ := policyKey(out.RK, p.KeyID)
	conf, _ := confirmKey(out.RK, p.KeyID, p.MKGen)
	out.DPol, out.DConf = pol.Scalar().Bytes(), conf.Scalar().Bytes()
	p.PPol, p.PConf = pol.Public().Compressed(), conf.Public().Compressed()
	body := packBody(p)
	p.MAC = policyMAC(out.RK, body)
	out.MAC, out.Policy = clone(p.MAC[:]), EncodePolicy(p)
	out.SigOK = sm.Verify(pol.Public(), append(body, p.MAC[:]...), []byte(protocol.PolicyID), p.Sig)
	if out.Blob, err = sealBlob(out.RK, p, protocol.ID(in.App), bundle, bytes.NewReader(in.BlobIV)); err != nil {
		t.Fatal(err)
	}
	e := &Enrolment{p: p, pubs: bundle.Pubs(), x: Params{Device: DeviceHolder{Slot: in.Trust.Slot}}}
	slot := e.slot(out.Policy)
	rec := &TrustRecord{User: protocol.ID(in.Trust.User), Realm: protocol.ID(in.Realm), Server: protocol.Point(in.Trust.Server), Floor: p.KDF, Current: &slot}
	if out.Trust, err = rec.Encode(in.Trust.Slot, secret.Copy(in.Trust.Secret)); err != nil {
		t.Fatal(err)
	}
	if in.Sheet == nil {
		return
	}
	for _, h := range in.Holders {
		if HolderKind(h.Kind) == HolderRecovery {
			code := &RecoveryCode{secret.Copy(h.Secret)}
			sh, err := NewSheet(code, out.Policy, rec.User, rec.Realm, rec.Server, in.Sheet.Endpoint, false)
			if err != nil {
				t.Fatal(err)
			}
			out.Payload, out.Details, out.Words = string(sh.Payload().Bytes()), sh.Details(), string(code.Words().Bytes())
		}
	}
}
