package sscc

import (
	"crypto/subtle"
	"encoding/binary"
	"io"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// Sealed form of everything SS-CC stores, version 1:
//
//	version u8 = 1 ‖ kind u8 ‖ key generation u16 ‖ iv 16 ‖ SM4-CTR ciphertext ‖ tag 32
//	tag = HMAC-SM3(mac key, enc(type, key, version, iv, ct))
//
// type is the kind's name, key the record's, version the record's version the
// seal is for (of a Hot) or its blobRev (of a Blob). Encryption and MAC keys
// are separate: X(generation key, "encrypt") and X(…, "mac").
const (
	frameVersion = 1
	frameHead    = 4
	sealIV       = 16
	sealTag      = 32
	sealOverhead = frameHead + sealIV + sealTag
)

// A kind says what a sealed frame holds. It stands in the clear so that a scan
// finds its way, and in the tag.
type kind uint8

const (
	kindUserHot  kind = 1
	kindUserBlob kind = 2
	kindApp      kind = 3
	kindDevice   kind = 4
	kindTicket   kind = 5
	kindPending  kind = 6
	kindPendBlob kind = 7
	kindTryLog   kind = 8
	kindReads    kind = 9
	kindState    kind = 10
	kindAudit    kind = 11
	kindEvents   kind = 12
	kindList     kind = 13
	kindSession  kind = 14
	kindOfficer  kind = 15
	kindEnd      kind = 16
)

var kindNames = [kindEnd]string{"", "user", "user-blob", "app", "device", "ticket", "pending", "pending-blob",
	"try-log", "reads", "state", "audit", "audit-events", "list", "session", "officer"}

func (k kind) String() string {
	if k > 0 && k < kindEnd {
		return kindNames[k]
	}
	return "unknown"
}

// sealKeys is one generation of record keys.
type sealKeys struct {
	master [32]byte
	enc    [16]byte
	mac    [32]byte
}

func newSealKeys(master []byte) *sealKeys {
	k := &sealKeys{}
	copy(k.master[:], master)
	labelled(k.enc[:], master, "encrypt")
	labelled(k.mac[:], master, "mac")
	return k
}

// labelled fills out, up to 32 bytes, from a key and a label.
func labelled(out, key []byte, label string) {
	h := sm.SecretHMAC(key, enc.Join(enc.Str("keposs/ss-cc/1"), enc.Str(label)))
	copy(out, h.Bytes())
	h.Wipe()
}

func (k *sealKeys) wipe() {
	secret.Zero(k.master[:])
	secret.Zero(k.enc[:])
	secret.Zero(k.mac[:])
}

// A keyring is what the root key wraps: every key SS-CC works with. It exists
// in memory only while SS-CC is unsealed.
type keyring struct {
	realm    protocol.ID
	identity *sm.PrivateKey
	base     [32]byte // index, challenge, audit and officer keys come from it; never rotated, keys of records depend on it
	gens     map[uint16]*sealKeys
	newest   uint16
	rev      uint64 // raised by every change of the ring

	indexKey, challengeKey, auditKey, officerKey [32]byte

	stateKey, sessionKey core.Key // of the realm's state and of session tickets, needed in every request

	names    names
	frames   frames
	sessions sessions
	decoy    decoy
}

const maxGens = 8

func newKeyring(rand io.Reader) (*keyring, error) {
	k := &keyring{gens: map[uint16]*sealKeys{}, rev: 1}
	if _, err := io.ReadFull(rand, k.realm[:]); err != nil {
		return nil, core.Errorf(core.Internal, "sscc: new keys", "random bytes: %w", err)
	}
	if _, err := io.ReadFull(rand, k.base[:]); err != nil {
		return nil, core.Errorf(core.Internal, "sscc: new keys", "random bytes: %w", err)
	}
	id, err := sm.GenerateKey(rand)
	if err != nil {
		return nil, core.Errorf(core.Internal, "sscc: new keys", "%w", err)
	}
	if err := sm.PairTest(id); err != nil {
		return nil, core.Errorf(core.Integrity, "sscc: new keys", "%w", err)
	}
	k.identity = id
	k.derive()
	return k, k.addGen(rand)
}

// addGen makes a new generation of record keys the newest.
func (k *keyring) addGen(rand io.Reader) error {
	if len(k.gens) == maxGens {
		return core.Errorf(core.Exhausted, "sscc: rotate", "%d generations of record keys: finish an earlier rotation first", maxGens)
	}
	master, err := secret.Read(rand, 32)
	if err != nil {
		return core.Errorf(core.Internal, "sscc: new keys", "%w", err)
	}
	defer master.Wipe()
	k.newest++
	k.gens[k.newest] = newSealKeys(master.Bytes())
	return nil
}

func (k *keyring) derive() {
	for _, d := range []struct {
		to    *[32]byte
		label string
	}{{&k.indexKey, "index"}, {&k.challengeKey, "challenge"}, {&k.auditKey, "audit"}, {&k.officerKey, "officer"}} {
		labelled(d.to[:], k.base[:], d.label)
	}
	k.stateKey, k.sessionKey = k.index(enc.Str("state")), k.index(enc.Str("session"))
}

func (k *keyring) wipe() {
	if k == nil {
		return
	}
	for _, g := range k.gens {
		g.wipe()
	}
	k.identity.Wipe()
	for _, b := range []*[32]byte{&k.base, &k.indexKey, &k.challengeKey, &k.auditKey, &k.officerKey} {
		secret.Zero(b[:])
	}
	k.names.clear()
	k.frames.clear()
	k.sessions.clear()
}

// marshal returns the ring's secret form, owned by the caller.
func (k *keyring) marshal() *secret.Buffer {
	b := secret.New(1 + 16 + 32 + 32 + 8 + 2 + 1 + len(k.gens)*34)
	p := &enc.Packer{B: b.Bytes()[:0]}
	p.U8(1)
	p.Raw(k.realm[:])
	d := k.identity.Scalar()
	p.Raw(d.Bytes())
	d.Wipe()
	p.Raw(k.base[:])
	p.U64(k.rev)
	p.U16(k.newest)
	p.U8(uint8(len(k.gens)))
	for g := range 1 << 16 {
		if keys, ok := k.gens[uint16(g)]; ok {
			p.U16(uint16(g))
			p.Raw(keys.master[:])
		}
	}
	return b
}

func parseKeyring(b []byte) (*keyring, error) {
	u := enc.NewUnpacker(b)
	if u.U8() != 1 {
		return nil, corrupt("key ring")
	}
	k := &keyring{gens: map[uint16]*sealKeys{}}
	u.Raw(k.realm[:])
	d, master := secret.New(32), secret.New(32)
	defer secret.WipeAll(d, master)
	u.Raw(d.Bytes())
	u.Raw(k.base[:])
	k.rev, k.newest = u.U64(), u.U16()
	last := 0 // generations count from 1, in order
	for range min(int(u.U8()), maxGens) {
		g := u.U16()
		u.Raw(master.Bytes())
		if int(g) <= last {
			u.Fail()
			break
		}
		last = int(g)
		k.gens[g] = newSealKeys(master.Bytes())
	}
	if !u.Done() || k.gens[k.newest] == nil {
		return nil, corrupt("key ring")
	}
	var err error
	if k.identity, err = sm.NewPrivateKey(d.Bytes()); err != nil {
		return nil, corrupt("key ring")
	}
	k.derive()
	return k, nil
}

// clone is an independent copy; its owner wipes it.
func (k *keyring) clone() (*keyring, error) {
	b := k.marshal()
	defer b.Wipe()
	return parseKeyring(b.Bytes())
}

// index names a record: HMAC-SM3(index key, enc(tenant, name…)), so that the
// backend sees no identifier. The tenant of a user is the 16-byte app id; of
// everything else a word.
func (k *keyring) index(tenant []byte, name ...[]byte) core.Key {
	return k.indexed(nil, tenant, name...)
}

func (k *keyring) indexed(e *effort, tenant []byte, name ...[]byte) core.Key {
	h := k.names.of(e, 'i', &k.indexKey, enc.Join(append([][]byte{tenant}, name...)...))
	return core.Key(h[:])
}

// seal returns the frame of plain for record key at version.
func (k *keyring) seal(rand io.Reader, of kind, key core.Key, version uint64, plain []byte) ([]byte, error) {
	g := k.gens[k.newest]
	out := make([]byte, frameHead+sealIV+len(plain), sealOverhead+len(plain))
	out[0], out[1] = frameVersion, byte(of)
	binary.BigEndian.PutUint16(out[2:], k.newest)
	iv, ct := out[frameHead:frameHead+sealIV], out[frameHead+sealIV:]
	if _, err := io.ReadFull(rand, iv); err != nil {
		return nil, core.Errorf(core.Internal, "sscc: seal", "random bytes: %w", err)
	}
	if err := sm.CTR(g.enc[:], iv, ct, plain); err != nil {
		return nil, core.Errorf(core.Internal, "sscc: seal", "%w", err)
	}
	tag := sealTagOf(g.mac[:], of, key, version, iv, ct)
	return append(out, tag[:]...), nil
}

// errOldRing tells that a frame was sealed under a generation this ring lacks.
var errOldRing = core.Errorf(core.Fenced, "sscc: open", "a record was sealed under keys this replica does not hold")

// open returns the plaintext, owned by the caller. Corrupt when the frame was
// changed, moved, or belongs to another version.
func (k *keyring) open(of kind, key core.Key, version uint64, b []byte) ([]byte, error) {
	if len(b) < sealOverhead || b[0] != frameVersion || b[1] != byte(of) {
		return nil, core.Errorf(core.Corrupt, "sscc: open", "a stored %s is not a frame of version %d", of, frameVersion)
	}
	g := k.gens[binary.BigEndian.Uint16(b[2:])]
	if g == nil {
		return nil, errOldRing
	}
	iv, ct, tag := b[frameHead:frameHead+sealIV], b[frameHead+sealIV:len(b)-sealTag], b[len(b)-sealTag:]
	want := sealTagOf(g.mac[:], of, key, version, iv, ct)
	if subtle.ConstantTimeCompare(want[:], tag) != 1 {
		return nil, core.Errorf(core.Corrupt, "sscc: open", "a stored %s was changed, moved or is of another version", of)
	}
	plain := make([]byte, len(ct))
	if err := sm.CTR(g.enc[:], iv, plain, ct); err != nil {
		return nil, core.Errorf(core.Internal, "sscc: open", "%w", err)
	}
	return plain, nil
}

func sealTagOf(mac []byte, of kind, key core.Key, version uint64, iv, ct []byte) [32]byte {
	return sm.HMAC(mac, enc.Join(enc.Str(of.String()), key, enc.U64(version), iv, ct))
}

func corrupt(what string) error {
	return core.Errorf(core.Corrupt, "sscc", "a stored %s is malformed", what)
}
