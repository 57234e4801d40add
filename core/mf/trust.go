package mf

import (
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// A TrustRecord is what the terminal remembers, so that SS-CC need not be
// trusted for the policy: step 0 of clause 7.2 compares with it. Pending is
// written before Prepare; an open that meets it promotes it.
type TrustRecord struct {
	User   protocol.ID    // zero until the first Commit answered
	Realm  protocol.ID    // SS-CC's realm
	Server protocol.Point // SS-CC's identity key
	// Floor is the KDF with its lowest accepted cost: a policy with another
	// KDF, or any value below, is refused.
	Floor   core.Params
	Current *Slot // nil until the first Commit
	Pending *Slot // nil when no change is under way
}

// A Slot is one generation the terminal accepts.
type Slot struct {
	Policy protocol.Hash // SM3 of the stored policy
	Epoch  uint64
	MKGen  uint64
	PPol   protocol.Point
	Pubs   protocol.Pubs
	Secret string // key-store slot of this generation's device secret
}

const trustVersion = 1

// Encode authenticates the record with the device secret in the named slot.
func (t *TrustRecord) Encode(slot string, deviceSecret *secret.Buffer) ([]byte, error) {
	const op = "mf: encode trust record"
	if why := t.invalid(); why != "" {
		return nil, core.Errorf(core.Usage, op, "%s", why)
	}
	w := &enc.Packer{}
	w.U8(trustVersion)
	w.Raw(t.User[:])
	w.Raw(t.Realm[:])
	w.Raw(t.Server[:])
	w.Short(enc.Str(t.Floor.String()))
	for _, s := range []*Slot{t.Current, t.Pending} {
		w.Flag(s != nil)
		if s == nil {
			continue
		}
		w.Raw(s.Policy[:])
		w.U64(s.Epoch)
		w.U64(s.MKGen)
		w.Raw(s.PPol[:])
		w.Raw(s.Pubs.Sign[:])
		w.Raw(s.Pubs.Enc[:])
		w.Short(enc.Str(s.Secret))
	}
	return SealFile(FileTrust, slot, deviceSecret, w.B)
}

// TrustSlot returns the key-store slot whose secret opens the record.
func TrustSlot(b []byte) (string, error) { return FileSlot(FileTrust, b) }

// OpenTrustRecord verifies and reads a record. Errors have code Integrity and
// lead to recovery, never to "no record".
func OpenTrustRecord(b []byte, deviceSecret *secret.Buffer) (*TrustRecord, error) {
	body, err := OpenFile(FileTrust, b, deviceSecret)
	if err != nil {
		return nil, err
	}
	return parseTrust(body)
}

func parseTrust(body []byte) (*TrustRecord, error) {
	const op = "mf: open trust record"
	r := enc.NewUnpacker(body)
	if v := r.U8(); v != trustVersion {
		return nil, core.Errorf(core.Integrity, op, "version %d, want %d", v, trustVersion)
	}
	t := &TrustRecord{}
	r.Raw(t.User[:])
	r.Raw(t.Realm[:])
	r.Raw(t.Server[:])
	floor, err := core.ParseParams(string(r.Short(256)))
	t.Floor = floor
	for _, dst := range []**Slot{&t.Current, &t.Pending} {
		if !r.Flag() {
			continue
		}
		s := &Slot{}
		r.Raw(s.Policy[:])
		s.Epoch, s.MKGen = r.U64(), r.U64()
		r.Raw(s.PPol[:])
		r.Raw(s.Pubs.Sign[:])
		r.Raw(s.Pubs.Enc[:])
		s.Secret = string(r.Short(policy.MaxLabel))
		*dst = s
	}
	if !r.Done() || err != nil {
		return nil, core.Errorf(core.Integrity, op, "malformed record")
	}
	if why := t.invalid(); why != "" {
		return nil, core.Errorf(core.Integrity, op, "%s", why)
	}
	return t, nil
}

func (t *TrustRecord) invalid() string {
	if t.Realm.IsZero() {
		return "the realm id is zero"
	}
	if t.Current == nil && t.Pending == nil {
		return "neither a current nor a pending generation"
	}
	if _, err := sm.ParsePoint(t.Server[:]); err != nil {
		return "the server key is not a point of the curve"
	}
	if _, err := core.ParseParams(t.Floor.String()); err != nil {
		return "the cost floor is not a KDF parameter text"
	}
	for _, s := range []*Slot{t.Current, t.Pending} {
		if s == nil {
			continue
		}
		if s.Epoch == 0 || s.MKGen == 0 || !policy.ValidLabel(s.Secret) {
			return "a generation lacks its numbers or its key-store slot"
		}
		for _, p := range []protocol.Point{s.PPol, s.Pubs.Sign, s.Pubs.Enc} {
			if _, err := sm.ParsePoint(p[:]); err != nil {
				return "a generation's key is not a point of the curve"
			}
		}
	}
	return ""
}
