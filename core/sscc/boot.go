package sscc

import (
	"context"
	"crypto/subtle"
	"io"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// The boot record is what SS-CC reads while SEALED: who it is, the root key
// wrapped once per slot, and the key ring wrapped by the root key. Its key is
// fixed. Blob, version 1:
//
//	1 u8 ‖ realm 16 ‖ identity 33 ‖ ring rev u64 ‖ n u8 × slot ‖ ring (var) ‖ link (var)
//	slot = kind u8 ‖ kdf parameters (var text) ‖ salt 16 ‖ wrapped root (var)
//	wrapped x = iv 16 ‖ SM4-CTR ‖ HMAC-SM3 over enc("wrap", what, iv, ct)
//
// Hot is the login guard, in the clear because it is written while SEALED:
//
//	1 u8 ‖ bad u32 ‖ rounds u32 ‖ locked until i64 ‖ ended u8
type boot struct {
	version  core.Version
	realm    protocol.ID
	identity sm.PublicKey
	rev      uint64
	slots    []slot
	ring     []byte
	link     []byte // the newest root key under the one before it, while replicas follow a rotation
	guard    guard
}

// guard counts wrong passwords.
type guard struct {
	bad    uint32
	rounds uint32 // times LOCKED was reached; each doubles the wait
	until  int64  // Unix seconds
	ended  bool   // decommissioned
}

// SlotKind says what opens the root key.
type SlotKind uint8

// Slot kinds. Auto is a key file or a systemd credential, where the operator's
// policy allows it.
const (
	SlotPassword SlotKind = 1
	SlotBackup   SlotKind = 2
	SlotAuto     SlotKind = 3
)

type slot struct {
	kind   SlotKind
	params string // of the password's KDF; empty for SlotAuto
	salt   [16]byte
	root   []byte
}

// bootKey is SM3(enc("keposs/ss-cc/1", "boot")).
func bootKey() core.Key {
	h := sm.SM3(enc.Join(enc.Str("keposs/ss-cc/1"), enc.Str("boot")))
	return core.Key(h[:])
}

func (g guard) marshal() []byte {
	p := &enc.Packer{}
	p.U8(1)
	p.U32(g.bad)
	p.U32(g.rounds)
	p.U64(uint64(g.until))
	p.Flag(g.ended)
	return p.B
}

func parseGuard(b []byte) (g guard, err error) {
	u := enc.NewUnpacker(b)
	v := u.U8()
	g.bad, g.rounds, g.until, g.ended = u.U32(), u.U32(), int64(u.U64()), u.Flag()
	if v != 1 || !u.Done() {
		return guard{}, corrupt("login guard")
	}
	return g, nil
}

func (b *boot) marshal() []byte {
	p := &enc.Packer{}
	p.U8(1)
	p.Raw(b.realm[:])
	id := b.identity.Compressed()
	p.Raw(id[:])
	p.U64(b.rev)
	p.U8(uint8(len(b.slots)))
	for _, s := range b.slots {
		p.U8(uint8(s.kind))
		p.Var([]byte(s.params))
		p.Raw(s.salt[:])
		p.Var(s.root)
	}
	p.Var(b.ring)
	p.Var(b.link)
	return p.B
}

func parseBoot(raw []byte) (*boot, error) {
	u := enc.NewUnpacker(raw)
	b := &boot{}
	v := u.U8()
	u.Raw(b.realm[:])
	var id [33]byte
	u.Raw(id[:])
	b.rev = u.U64()
	n := int(u.U8())
	for range min(n, 4) {
		s := slot{kind: SlotKind(u.U8()), params: string(u.Var(160))}
		u.Raw(s.salt[:])
		s.root = u.Var(sealIV + 32 + sealTag)
		b.slots = append(b.slots, s)
	}
	b.ring = u.Var(4096)
	b.link = u.Var(sealIV + 32 + sealTag)
	if v != 1 || n > 4 || !u.Done() {
		return nil, corrupt("boot record")
	}
	var err error
	if b.identity, err = sm.ParsePoint(id[:]); err != nil {
		return nil, corrupt("boot record")
	}
	return b, nil
}

// wrap seals plain under a 48-byte key: SM4 key ‖ MAC key.
func wrap(rand io.Reader, key []byte, what string, plain []byte) ([]byte, error) {
	out := make([]byte, sealIV+len(plain), sealIV+len(plain)+sealTag)
	if _, err := io.ReadFull(rand, out[:sealIV]); err != nil {
		return nil, core.Errorf(core.Internal, "sscc: wrap", "random bytes: %w", err)
	}
	if err := sm.CTR(key[:16], out[:sealIV], out[sealIV:], plain); err != nil {
		return nil, core.Errorf(core.Internal, "sscc: wrap", "%w", err)
	}
	tag := sm.HMAC(key[16:], enc.Join(enc.Str("wrap"), enc.Str(what), out[:sealIV], out[sealIV:]))
	return append(out, tag[:]...), nil
}

// unwrap is the inverse; Auth when the key is wrong or the bytes were changed.
func unwrap(key []byte, what string, b []byte) (*secret.Buffer, error) {
	if len(b) < sealIV+sealTag {
		return nil, corrupt("wrapped key")
	}
	iv, ct, tag := b[:sealIV], b[sealIV:len(b)-sealTag], b[len(b)-sealTag:]
	want := sm.HMAC(key[16:], enc.Join(enc.Str("wrap"), enc.Str(what), iv, ct))
	if subtle.ConstantTimeCompare(want[:], tag) != 1 {
		return nil, core.Errorf(core.Auth, "sscc: unseal", "the password or key is wrong")
	}
	out := secret.New(len(ct))
	if err := sm.CTR(key[:16], iv, out.Bytes(), ct); err != nil {
		return nil, core.Errorf(core.Internal, "sscc: unseal", "%w", err)
	}
	return out, nil
}

// wrapKey derives the 48 bytes one key wraps another with.
func wrapKey(key []byte, label string) *secret.Buffer {
	h := sm.SecretHMAC(key, enc.Join(enc.Str("keposs/ss-cc/1"), enc.Str(label)))
	defer h.Wipe()
	return secret.Own(sm.KDF(h.Bytes(), 48))
}

// slotKey stretches what opens a slot into its wrapping key.
func (s *Server) slotKey(ctx context.Context, sl *slot, what *secret.Buffer) (*secret.Buffer, error) {
	if sl.kind == SlotAuto {
		h := sm.SecretHMAC(sl.salt[:], what.Bytes())
		defer h.Wipe()
		return wrapKey(h.Bytes(), "auto"), nil
	}
	p, err := core.ParseParams(sl.params)
	if err != nil {
		return nil, err
	}
	if err := s.cfg.KDF.Validate(p, core.Limits{}); err != nil {
		return nil, core.Errorf(core.Corrupt, "sscc: unseal", "stored kdf cost: %w", err)
	}
	out := secret.New(48)
	if err := s.cfg.KDF.Derive(ctx, p, what.Bytes(), sl.salt[:], out.Bytes()); err != nil {
		out.Wipe()
		return nil, err
	}
	return out, nil
}

// newSlot wraps root for what (lent).
func (s *Server) newSlot(ctx context.Context, k SlotKind, what, root *secret.Buffer) (slot, error) {
	sl := slot{kind: k}
	if _, err := io.ReadFull(s.cfg.Rand, sl.salt[:]); err != nil {
		return sl, core.Errorf(core.Internal, "sscc: wrap", "random bytes: %w", err)
	}
	if k != SlotAuto {
		p := s.cfg.KDFParams
		if p.Name == "" {
			info, err := s.cfg.KDF.Describe(ctx)
			if err != nil {
				return sl, err
			}
			p = info.Default
		}
		sl.params = p.String()
	}
	key, err := s.slotKey(ctx, &sl, what)
	if err != nil {
		return sl, err
	}
	defer key.Wipe()
	sl.root, err = wrap(s.cfg.Rand, key.Bytes(), "root", root.Bytes())
	return sl, err
}

// openSlot tries every slot of one kind and returns the root key.
func (s *Server) openSlot(ctx context.Context, b *boot, k SlotKind, what *secret.Buffer) (*secret.Buffer, error) {
	for i := range b.slots {
		if b.slots[i].kind != k {
			continue
		}
		key, err := s.slotKey(ctx, &b.slots[i], what)
		if err != nil {
			return nil, err
		}
		root, err := unwrap(key.Bytes(), "root", b.slots[i].root)
		key.Wipe()
		if core.CodeOf(err) != core.Auth {
			return root, err
		}
	}
	return nil, core.Errorf(core.Auth, "sscc: unseal", "the password or key is wrong")
}

// openRing opens the key ring with root.
func openRing(b *boot, root *secret.Buffer) (*keyring, error) {
	key := wrapKey(root.Bytes(), "ring")
	defer key.Wipe()
	plain, err := unwrap(key.Bytes(), "ring", b.ring)
	if err != nil {
		return nil, core.Errorf(core.Corrupt, "sscc: unseal", "the key ring does not open under the root key")
	}
	defer plain.Wipe()
	k, err := parseKeyring(plain.Bytes())
	if err != nil {
		return nil, err
	}
	if k.rev != b.rev || k.realm != b.realm || k.identity.Public() != b.identity {
		k.wipe()
		return nil, core.Errorf(core.Corrupt, "sscc: unseal", "the boot record and its key ring do not belong together")
	}
	return k, nil
}

// sealRing stores k under root in b.
func (s *Server) sealRing(b *boot, k *keyring, root *secret.Buffer) (err error) {
	plain := k.marshal()
	defer plain.Wipe()
	key := wrapKey(root.Bytes(), "ring")
	defer key.Wipe()
	b.rev, b.realm, b.identity = k.rev, k.realm, k.identity.Public()
	b.ring, err = wrap(s.cfg.Rand, key.Bytes(), "ring", plain.Bytes())
	return err
}

// loadBoot reads the boot record; nil when SS-CC was never set up.
func (s *Server) loadBoot(ctx context.Context) (*boot, error) {
	recs, err := s.store.get(ctx, false, bootKey())
	if err != nil {
		return nil, err
	}
	if recs[0].Version == 0 {
		return nil, nil
	}
	g, err := parseGuard(recs[0].Hot)
	if err != nil {
		return nil, err
	}
	if g.ended {
		return &boot{guard: g, version: recs[0].Version}, nil
	}
	b, err := parseBoot(recs[0].Blob)
	if err != nil {
		return nil, err
	}
	b.guard, b.version = g, recs[0].Version
	return b, nil
}

// putBoot stores the whole record at its version; Conflict when it changed.
func (s *Server) putBoot(ctx context.Context, b *boot) error {
	m := core.Mutation{Key: bootKey(), Expect: b.version, Op: core.OpPut, Hot: b.guard.marshal(), ReqID: s.reqID()}
	if !b.guard.ended {
		m.Blob = b.marshal()
	}
	v, err := s.store.put(ctx, m)
	if err == nil {
		b.version = v
	}
	return err
}

// editGuard changes the login guard by compare-and-set.
func (s *Server) editGuard(ctx context.Context, fn func(g *guard)) (guard, error) {
	for {
		b, err := s.loadBoot(ctx)
		if err != nil {
			return guard{}, err
		}
		if b == nil {
			return guard{}, core.Errorf(core.State, "sscc: login", "SS-CC is not set up")
		}
		fn(&b.guard)
		_, err = s.store.put(ctx, core.Mutation{Key: bootKey(), Expect: b.version, Op: core.OpPutHot, Hot: b.guard.marshal(), ReqID: s.reqID()})
		if core.CodeOf(err) != core.Conflict {
			return b.guard, err
		}
	}
}

// wait is how long LOCKED lasts after the n-th round.
func (g guard) wait(base time.Duration) time.Duration {
	return base << min(g.rounds, 10)
}
