package challenge

import (
	"context"
	"encoding/hex"
	"io"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/kdf"
)

// holder is the label and the key-store slot of the record's device.
const holder = "device"

// A Record is a sealed KEPOSS-MF/1 user of a policy of one PIN, in plain mode,
// as an attacker with SS-CC's store and the terminal's disk holds it: policy
// and sealed bundle as stored, the device secret, the trust record's public
// part. Only the PIN is missing. It is a test record: its keys sign nothing.
type Record struct {
	Factor string `json:"factor"` // what is known of the PIN
	KDF    string `json:"kdf"`
	Policy []byte `json:"policy"`
	Blob   []byte `json:"blob"`
	Device string `json:"device_secret"` // hex, 32 bytes
	App    string `json:"app"`           // hex, 16 bytes
	Epoch  uint64 `json:"epoch"`
	MKGen  uint64 `json:"mk_generation"`
	PPol   string `json:"policy_key"` // hex, compressed points
	Sign   string `json:"sign_key"`
	Enc    string `json:"enc_key"`
}

// appOf is the application id of every test record.
func appOf() (id protocol.ID) {
	copy(id[:], "keposs challenge")
	return id
}

// Seal makes a record of factor under one PIN.
func Seal(ctx context.Context, p core.Params, factor []byte, what string, rand io.Reader) (*Record, error) {
	k, err := kdf.Builtin(p.Name)
	if err != nil {
		return nil, err
	}
	tree, err := policy.Parse("pin")
	if err != nil {
		return nil, err
	}
	device, err := secret.Read(rand, mf.DeviceSecret)
	if err != nil {
		return nil, err
	}
	defer device.Wipe()
	key, err := sm.GenerateKey(rand)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	e, err := mf.NewEnrolment(mf.Params{
		Root: mf.RootWrapped, KDF: p, Mode: protocol.ModePlain, Realm: protocol.ID{1}, App: appOf(), Tree: tree,
		Factors: []mf.FactorSpec{{Label: "pin", Kind: core.KindKnowledge}},
		Device:  mf.DeviceHolder{ID: holder, Secret: device, Key: key.Public(), Slot: holder},
	}, rand)
	if err != nil {
		return nil, err
	}
	defer e.Wipe()
	s := secret.Copy(factor)
	defer s.Wipe()
	if err := e.SetFactor("pin", core.Enrollment{Secret: s, Format: 1}); err != nil {
		return nil, err
	}
	b, err := mf.NewBundle(rand)
	if err != nil {
		return nil, err
	}
	defer b.Wipe()
	sealed, err := e.Seal(ctx, k, b)
	if err != nil {
		return nil, err
	}
	defer sealed.Wipe()
	app := appOf()
	return &Record{
		Factor: what, KDF: p.String(), Policy: sealed.Policy, Blob: sealed.Blob,
		Device: hex.EncodeToString(device.Bytes()), App: hex.EncodeToString(app[:]),
		Epoch: sealed.Slot.Epoch, MKGen: sealed.Slot.MKGen, PPol: hex.EncodeToString(sealed.Slot.PPol[:]),
		Sign: hex.EncodeToString(sealed.Slot.Pubs.Sign[:]), Enc: hex.EncodeToString(sealed.Slot.Pubs.Enc[:]),
	}, nil
}

// fill decodes hex into dst, which it must fill exactly.
func fill(dst []byte, text, what string) error {
	if n, err := hex.Decode(make([]byte, hex.DecodedLen(len(text))), []byte(text)); err != nil || n != len(dst) {
		return core.Errorf(core.Invalid, "challenge: record", "%s is not %d bytes in hex", what, len(dst))
	}
	_, err := hex.Decode(dst, []byte(text))
	return err
}

// Try opens r with a guess: nil when it is right, Auth when it is wrong. One
// slow call.
func (r *Record) Try(ctx context.Context, guess []byte) error {
	p, err := core.ParseParams(r.KDF)
	if err != nil {
		return err
	}
	k, err := kdf.Builtin(p.Name)
	if err != nil {
		return err
	}
	slot := mf.Slot{Policy: protocol.Hash(sm.SM3(r.Policy)), Epoch: r.Epoch, MKGen: r.MKGen, Secret: holder}
	var app protocol.ID
	dev := make([]byte, mf.DeviceSecret)
	for _, f := range []struct {
		dst        []byte
		text, what string
	}{{slot.PPol[:], r.PPol, "policy_key"}, {slot.Pubs.Sign[:], r.Sign, "sign_key"}, {slot.Pubs.Enc[:], r.Enc, "enc_key"}, {app[:], r.App, "app"}, {dev, r.Device, "device_secret"}} {
		if len(f.text) != 2*len(f.dst) {
			return core.Errorf(core.Invalid, "challenge: record", "%s is not %d bytes in hex", f.what, len(f.dst))
		}
		if err := fill(f.dst, f.text, f.what); err != nil {
			return err
		}
	}
	device := secret.Own(dev)
	defer device.Wipe()
	c, err := mf.Check(r.Policy, mf.Expect{Slots: []*mf.Slot{&slot}, App: app, KDFs: []string{p.Name}, Floor: p})
	if err != nil {
		return err
	}
	o, err := mf.NewOpener(c, holder, device)
	if err != nil {
		return err
	}
	defer o.Wipe()
	if _, err := o.Choose([]string{"pin"}); err != nil {
		return err
	}
	s := secret.Copy(guess)
	defer s.Wipe()
	if err := o.SetFactor("pin", s); err != nil {
		return err
	}
	if err := o.Stretch(ctx, k); err != nil {
		return err
	}
	opened, err := o.Finish(nil)
	if err != nil {
		return err
	}
	defer opened.Wipe()
	b, err := opened.OpenBlob(r.Blob)
	if err != nil {
		return err
	}
	b.Wipe()
	return nil
}
