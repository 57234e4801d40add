package mf

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
)

// -update writes new vectors. Version 1 is frozen: only for cases added.
var update = flag.Bool("update", false, "write testdata/vectors.json anew")

type hexes = hexBytes

type vector struct {
	Name string    `json:"name"`
	In   vectorIn  `json:"in"`
	Out  vectorOut `json:"out"`
}

type vectorIn struct {
	Tree     string         `json:"tree"`
	Root     string         `json:"root"`
	Mode     string         `json:"mode"`
	KDF      string         `json:"kdf"`
	KeyID    hexes          `json:"key_id"`
	MKGen    uint64         `json:"mk_gen"`
	Epoch    uint64         `json:"epoch"`
	Realm    hexes          `json:"realm"`
	App      hexes          `json:"app"`
	OPRFPub  hexes          `json:"oprf_pub"`
	Anchor   hexes          `json:"anchor"`
	RK       hexes          `json:"rk"` // wrapped root only; else empty
	Holders  []vectorHolder `json:"holders"`
	Factors  []vectorFactor `json:"factors"`
	SetSalts []hexes        `json:"set_salts"`
	U        []hexes        `json:"u"` // OPRF outputs by set, empty in plain mode
	Sign     hexes          `json:"sign"`
	Enc      hexes          `json:"enc"`
	BlobIV   hexes          `json:"blob_iv"`
	Sig      hexes          `json:"sig"` // SM2 is randomised: given, then verified
	Trust    vectorTrust    `json:"trust"`
	Sheet    *vectorSheet   `json:"sheet"`
}

type vectorHolder struct {
	ID     string `json:"id"`
	Kind   uint32 `json:"kind"`
	Rev    uint32 `json:"rev"`
	Salt   hexes  `json:"salt"`
	Secret hexes  `json:"secret"`
	P      hexes  `json:"p"` // device key; empty for a recovery code, whose P is derived
}

type vectorFactor struct {
	ID      string `json:"id"`
	Kind    uint32 `json:"kind"`
	Source  string `json:"source"`
	Format  uint32 `json:"format"`
	Rev     uint32 `json:"rev"`
	PerTry  uint32 `json:"per_try"`
	Offline uint32 `json:"offline"`
	Salt    hexes  `json:"salt"`
	Secret  hexes  `json:"secret"`
	Helper  hexes  `json:"helper"` // as the source gave it
	BoxIV   hexes  `json:"box_iv"` // empty = no box
}

type vectorTrust struct {
	User   hexes  `json:"user"`
	Server hexes  `json:"server"`
	Slot   string `json:"slot"`
	Secret hexes  `json:"secret"`
}

type vectorSheet struct {
	Endpoint string `json:"endpoint"`
}

type vectorOut struct {
	TreeCode hexes           `json:"tree_code"`
	Sets     [][]string      `json:"sets"`
	Core     hexes           `json:"core"`
	Factors  []vectorOutFac  `json:"factors"`
	Holders  []vectorOutHold `json:"holders"`
	SetKeys  []vectorOutSet  `json:"set_keys"`
	RK       hexes           `json:"rk"`
	MK       hexes           `json:"mk"`
	MA       hexes           `json:"ma"`
	Pubs     hexes           `json:"pubs"`
	DPol     hexes           `json:"d_pol"`
	DConf    hexes           `json:"d_conf"`
	MAC      hexes           `json:"mac"`
	SigOK    bool            `json:"sig_ok"`
	Policy   hexes           `json:"policy"`
	Blob     hexes           `json:"blob"`
	Trust    hexes           `json:"trust"`
	Payload  string          `json:"payload"`
	Details  string          `json:"details"`
	Words    string          `json:"words"`
}

type vectorOutFac struct {
	BK        hexes `json:"bk"`
	Transform hexes `json:"transform"`
	Helper    hexes `json:"helper"` // as stored
	FS        hexes `json:"fs"`
	Box       hexes `json:"box"`
}

type vectorOutHold struct {
	FS hexes `json:"fs"`
	V  hexes `json:"v"`
	P  hexes `json:"p"`
}

type vectorOutSet struct {
	IKM  hexes `json:"ikm"`
	In   hexes `json:"kdf_secret"`
	Salt hexes `json:"kdf_salt"`
	T    hexes `json:"t"`
	G    hexes `json:"g"`
	OPRF hexes `json:"oprf_input"`
	KS   hexes `json:"k_s"`
	W    hexes `json:"w"`
}

func clone(b []byte) hexes { return append(hexes{}, b...) }

// inputs takes a sealed generation apart into what determines it.
func inputs(t *testing.T, u *user, e *Enrolment, s *state) vectorIn {
	t.Helper()
	p, err := ParsePolicy(s.sealed.Policy)
	if err != nil {
		t.Fatal(err)
	}
	in := vectorIn{Tree: p.Tree.String(), Root: p.Root.String(), Mode: p.Escrow.Mode.String(), KDF: p.KDF.String(), KeyID: clone(p.KeyID[:]),
		MKGen: p.MKGen, Epoch: p.Epoch, Realm: clone(testRealm[:]), App: clone(testApp[:]), Anchor: clone(e.anchor.Bytes()), Sig: clone(p.Sig[:]),
		RK: hexes{}, OPRFPub: hexes{}, BlobIV: clone(s.blob[:16]), Holders: []vectorHolder{}, U: []hexes{},
		Sign: clone(u.bundle.Sign.Scalar().Bytes()), Enc: clone(u.bundle.Enc.Scalar().Bytes())}
	if p.Root == RootWrapped {
		in.RK = clone(e.rk.Bytes())
	}
	if k := p.Escrow.Realms[0].K; k != nil {
		in.OPRFPub = clone(k[:])
	}
	for _, h := range p.Anchor {
		sec, pub := u.device.Bytes(), clone(h.P[:])
		if h.Kind == HolderRecovery {
			sec, pub = u.code.b.Bytes(), hexes{}
		}
		in.Holders = append(in.Holders, vectorHolder{h.ID, uint32(h.Kind), h.Rev, clone(h.Salt[:]), clone(sec), pub})
	}
	fs := make([]*secret.Buffer, len(p.Factors))
	for i := range p.Factors {
		f := &p.Factors[i]
		vf := vectorFactor{ID: f.ID, Kind: uint32(f.Kind), Source: f.Source, Format: f.Format, Rev: f.Rev, PerTry: uint32(f.PerTry), Offline: uint32(f.Offline),
			Salt: clone(f.Salt[:]), Secret: clone(u.secrets[f.ID]), Helper: clone(u.helpers[f.ID]), BoxIV: hexes{}}
		if len(f.Box) > 0 {
			vf.BoxIV = clone(f.Box[:16])
		}
		in.Factors = append(in.Factors, vf)
		fs[i] = factorSecret(p.KeyID, f, u.secrets[f.ID])
	}
	c := p.coreHash()
	for _, st := range p.Sets {
		in.SetSalts = append(in.SetSalts, clone(st.Salt[:]))
		if p.Escrow.Mode == protocol.ModeHardened {
			g, err := stretch(context.Background(), u.kdf, p.KDF, c[:], st, p.setInput(st, e.anchor.Bytes(), fs))
			if err != nil {
				t.Fatal(err)
			}
			uu, _ := hmacOPRF{}.FullEvaluate(s.sealed.OPRFKey.Bytes(), p.oprfInput(st, g).Bytes())
			in.U = append(in.U, uu)
		}
	}
	usr := protocol.ID{0: 0xcc, 15: 3}
	in.Trust = vectorTrust{User: usr[:], Server: clone(in.server(u)), Slot: "device-1", Secret: clone(u.device.Bytes())}
	if u.code != nil {
		in.Sheet = &vectorSheet{Endpoint: "keposs.example:8443"}
	}
	return in
}

func (vectorIn) server(u *user) []byte { p := u.key.Public().Compressed(); return p[:] }

// made is a vector with what production stored for it.
type made struct {
	vector
	policy, blob []byte
}

// fresh makes every case anew through the public enrolment and change.
func fresh(t *testing.T) []made {
	var out []made
	add := func(name string, u *user, e *Enrolment, s *state) {
		out = append(out, made{vector{Name: name, In: inputs(t, u, e, s)}, s.sealed.Policy, s.blob})
	}
	one := func(name, text string, mode protocol.Mode, iter uint64, tune func(*user, *Params)) (*user, *state) {
		u := newUser(t, "")
		x := u.params(text, mode, iter)
		if tune != nil {
			tune(u, &x)
		}
		e := u.begin(x)
		defer e.Wipe()
		s := u.seal(e)
		add(name, u, e, s)
		return u, s
	}
	recovery := func(u *user, x *Params) {
		c, err := NewRecoveryCode(u.rand)
		if err != nil {
			t.Fatal(err)
		}
		u.code, x.Recovery = c, c
	}
	one("direct one pin", "pin", protocol.ModePlain, 3, nil)
	one("direct pin and gesture", "pin & gesture", protocol.ModePlain, 2, nil)
	one("direct with a finger and a recovery code", "pin & fingerprint", protocol.ModePlain, 2, recovery)
	one("no anchor, study", "pin & gesture", protocol.ModePlain, 2, func(_ *user, x *Params) { x.NoAnchor = true })
	one("wrapped 2 of 3 with boxes", "2 of (pin, gesture, face)", protocol.ModePlain, 2, recovery)
	one("wrapped without boxes", "pin & (fingerprint | face)", protocol.ModePlain, 2, func(_ *user, x *Params) { x.NoBoxes = true })
	one("hardened direct", "pin", protocol.ModeHardened, 2, nil)
	u, s := one("hardened nested", "(pin:work | gesture) & 2 of (face, fingerprint, token)", protocol.ModeHardened, 2, recovery)
	// A change: another gesture, everything else kept.
	op := u.open(s, "pin:work", "face", "token")
	defer op.Wipe()
	ed, err := op.Edit(Change{Replace: []string{"gesture"}}, EditParams{Slot: "device-1", OPRF: hmacOPRF{}}, u.rand)
	if err != nil {
		t.Fatal(err)
	}
	u.secrets["gesture"] = []byte("1-2-3-6-9")
	u.fill(ed, "gesture")
	next, err := ed.Seal(context.Background(), u.kdf, u.kdf)
	if err != nil {
		t.Fatal(err)
	}
	add("hardened nested, gesture changed", u, ed.b, &state{sealed: next, blob: s.blob})
	return out
}

// Attack 24, our half: the frozen vectors come out again stage by stage, every
// stored object of them parses for ever, and what production stores today is
// what the stages give.
func TestAttack24Vectors(t *testing.T) {
	path := filepath.Join("testdata", "vectors.json")
	now := fresh(t)
	for i := range now {
		now[i].Out = replay(t, now[i].In)
		if !bytes.Equal(now[i].Out.Policy, now[i].policy) || !bytes.Equal(now[i].Out.Blob, now[i].blob) || !now[i].Out.SigOK {
			t.Errorf("%s: the stages do not give what was stored", now[i].Name)
		}
	}
	if *update {
		var vs []vector
		for _, m := range now {
			vs = append(vs, m.vector)
		}
		b, err := json.MarshalIndent(vs, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range readVectors(t, path) {
		compareOut(t, w.Name, replay(t, w.In), w.Out)
		p, err := ParsePolicy(w.Out.Policy)
		if err != nil {
			t.Errorf("%s: the frozen policy does not parse: %v", w.Name, err)
			continue
		}
		b, err := openBlob(w.Out.RK, p, testApp, w.Out.Blob)
		if err != nil || !bytes.Equal(b.Sign.Scalar().Bytes(), w.In.Sign) {
			t.Errorf("%s: the frozen blob does not open: %v", w.Name, err)
		}
		if _, err := OpenTrustRecord(w.Out.Trust, secret.Copy(w.In.Trust.Secret)); err != nil {
			t.Errorf("%s: the frozen trust record does not open: %v", w.Name, err)
		}
		if w.Out.Payload != "" {
			if _, err := ParseSheet([]byte(w.Out.Payload)); err != nil {
				t.Errorf("%s: the frozen sheet does not parse: %v", w.Name, err)
			}
		}
	}
}

func readVectors(t testing.TB, path string) []vector {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var v []vector
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// Attack 24, the other half: a second implementation, in Python's standard
// library, makes every stage again from the inputs alone. A planted slip (one
// label changed) must be noticed.
// req: K-6.1-02a
func TestAttack24SecondImplementation(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		if level() > 0 {
			t.Fatal("python3 is absent: at level 1 the second implementation must be compared")
		}
		t.Skip("python3 is absent: the second implementation is not compared")
	}
	run := func(args ...string) []vector {
		cmd := exec.Command(python, append([]string{filepath.Join("testdata", "crosscheck", "mf1.py"), filepath.Join("testdata", "vectors.json")}, args...)...)
		out, err := cmd.Output()
		if err != nil {
			if x, ok := err.(*exec.ExitError); ok {
				t.Fatalf("mf1.py: %v\n%s", err, x.Stderr)
			}
			t.Fatal(err)
		}
		var v []vector
		if err := json.Unmarshal(out, &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	want := readVectors(t, filepath.Join("testdata", "vectors.json"))
	got := run()
	if len(got) != len(want) {
		t.Fatalf("%d cases, want %d", len(got), len(want))
	}
	for i, w := range want {
		compareOut(t, w.Name, got[i].Out, w.Out)
	}
	planted := run("--planted-label", labelWrap)
	same := 0
	for i, w := range want {
		a, _ := json.Marshal(planted[i].Out)
		b, _ := json.Marshal(w.Out)
		if w.In.Root == "wrapped" && bytes.Equal(a, b) {
			same++
		}
	}
	if same != 0 {
		t.Errorf("a changed label went unnoticed in %d cases", same)
	}
}

// compareOut names the first stage that differs.
func compareOut(t *testing.T, name string, got, want vectorOut) {
	t.Helper()
	g, _ := json.Marshal(got)
	w, _ := json.Marshal(want)
	var a, b map[string]json.RawMessage
	_ = json.Unmarshal(g, &a)
	_ = json.Unmarshal(w, &b)
	for k := range b {
		if !bytes.Equal(a[k], b[k]) {
			t.Errorf("%s: stage %s differs:\n got  %.300s\n want %.300s", name, k, a[k], b[k])
		}
	}
}
