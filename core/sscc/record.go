package sscc

import (
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
)

// userState is the state of a user's record. The zero value is refused.
type userState uint8

const (
	userActive    userState = 1
	userLocked    userState = 2 // a try above the limit, an administrator's order, or a freeze
	userDestroyed userState = 3 // exhausted under the destroy policy: sealed keys are gone
	userUnbound   userState = 4 // the device was unbound: sealed keys are gone
	userRemoved   userState = 5 // deregistered or removed by the administrator
)

func (s userState) String() string {
	return [...]string{"unknown", "active", "locked", "destroyed", "unbound", "removed"}[s]
}

// gone reports whether the sealed keys were dropped for good.
func (s userState) gone() bool { return s >= userDestroyed }

// entry is one try in Hot: 28 bytes. Entries stay after they were confirmed
// until the try log holds them, so that a replay of a confirmed attempt is
// known and `since` has no gap.
type entry struct {
	seq     uint32
	tag     protocol.Tag
	attempt [7]byte // digest of the attempt id alone, to notice one id with two elements
	held    bool
	old     bool // made by the device bound before the present one
}

// hot is the counter and state of one user, version 1. Sealed it is always of
// one length, at most core.MaxHot, and names the Blob it belongs to.
type hot struct {
	state     userState
	limit     uint8
	destroy   bool // exhausted = destroy, by the app's policy
	rebound   bool // the next Commit must raise mkGen by one
	ordered   bool // locked by the administrator: a Confirm does not lift it
	mode      protocol.Mode
	gen       uint64
	blobRev   uint64
	blobSum   protocol.Hash // SM3 of the sealed Blob
	device    protocol.ID   // bound device
	before    protocol.ID   // the device bound before it; zero = none
	unlockSeq uint64
	seq       uint32
	head      protocol.Head
	flushed   uint32 // the try log holds every try up to here
	lastTry   int64  // Unix seconds of the newest answered try
	minute    uint32 // Unix minute of the newest counted try, never going back
	inMinute  uint8  // tries counted in it
	freeze    uint32 // freezes survived: below the realm's = frozen
	entries   []entry
}

const (
	recordVersion = 1
	entrySize     = 28
	hotSize       = 1 + 5 + 1 + 8 + 8 + 32 + 16 + 16 + 8 + 4 + 32 + 4 + 8 + 4 + 1 + 4 + 1 + protocol.MaxHeld*entrySize
)

func (h *hot) marshal() []byte {
	p := &enc.Packer{B: make([]byte, 0, hotSize)}
	p.U8(recordVersion)
	p.U8(uint8(h.state))
	p.U8(h.limit)
	p.Flag(h.destroy)
	p.Flag(h.rebound)
	p.Flag(h.ordered)
	p.U8(uint8(h.mode))
	p.U64(h.gen)
	p.U64(h.blobRev)
	p.Raw(h.blobSum[:])
	p.Raw(h.device[:])
	p.Raw(h.before[:])
	p.U64(h.unlockSeq)
	p.U32(h.seq)
	p.Raw(h.head[:])
	p.U32(h.flushed)
	p.U64(uint64(h.lastTry))
	p.U32(h.minute)
	p.U8(h.inMinute)
	p.U32(h.freeze)
	p.U8(uint8(len(h.entries)))
	for _, e := range h.entries {
		p.U32(e.seq)
		p.Raw(e.tag[:])
		p.Raw(e.attempt[:])
		p.U8(uint8(b2i(e.held) | b2i(e.old)<<1))
	}
	return p.B[:hotSize] // the rest is zero: the length tells nothing
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func parseHot(b []byte) (*hot, error) {
	u := enc.NewUnpacker(b)
	if u.U8() != recordVersion || len(b) != hotSize {
		return nil, corrupt("counter record")
	}
	h := &hot{state: userState(u.U8()), limit: u.U8(), destroy: u.Flag(), rebound: u.Flag(), ordered: u.Flag(), mode: protocol.Mode(u.U8()), gen: u.U64(), blobRev: u.U64()}
	u.Raw(h.blobSum[:])
	u.Raw(h.device[:])
	u.Raw(h.before[:])
	h.unlockSeq, h.seq = u.U64(), u.U32()
	u.Raw(h.head[:])
	h.flushed, h.lastTry, h.minute, h.inMinute, h.freeze = u.U32(), int64(u.U64()), u.U32(), u.U8(), u.U32()
	n := int(u.U8())
	ok := n <= protocol.MaxHeld && h.state >= userActive && h.state <= userRemoved && h.limit >= 1 && h.limit <= protocol.MaxHeld && h.flushed <= h.seq
	if !ok {
		return nil, corrupt("counter record")
	}
	last := uint32(0)
	h.entries = make([]entry, 0, min(n+1, protocol.MaxHeld)) // a try adds one
	for range n {
		e := entry{seq: u.U32()}
		u.Raw(e.tag[:])
		u.Raw(e.attempt[:])
		f := u.U8()
		e.held, e.old = f&1 == 1, f>>1&1 == 1
		ok = ok && f < 4 && e.seq > last && e.seq <= h.seq
		last = e.seq
		h.entries = append(h.entries, e)
	}
	var room [protocol.MaxHeld * entrySize]byte
	rest := room[:(protocol.MaxHeld-n)*entrySize]
	u.Raw(rest)
	for _, v := range rest {
		ok = ok && v == 0
	}
	if !ok || !u.Done() {
		return nil, corrupt("counter record")
	}
	return h, nil
}

// used counts the held tries: the durable count of I1.
func (h *hot) used() (n uint32) {
	for _, e := range h.entries {
		if e.held {
			n++
		}
	}
	return n
}

// release lets go of every held try (unlock, new OPRF key). seq and head go on.
func (h *hot) release() {
	for i := range h.entries {
		h.entries[i].held = false
	}
}

// room drops entries the try log holds until one more fits. full tells that
// the log must be written first.
func (h *hot) room() (full bool) {
	if len(h.entries) < protocol.MaxHeld {
		return false
	}
	kept := make([]entry, 0, protocol.MaxHeld)
	for _, e := range h.entries {
		if e.held || e.seq > h.flushed {
			kept = append(kept, e)
		}
	}
	if len(kept) == protocol.MaxHeld {
		return true
	}
	h.entries = kept
	return false
}

// blob is what SS-CC keeps for a user beside the counter, version 1.
type blob struct {
	app, user protocol.ID
	idem      protocol.ID   // of the Commit that made it
	digest    protocol.Hash // of the staged bytes that Commit was for
	mkGen     uint64
	keyID     protocol.ID
	conf      protocol.Point // P_conf of the policy
	pubs      protocol.Pubs
	policy    []byte // empty once the keys are gone
	sealed    []byte
	oprfKey   []byte // empty in plain mode

	key OPRFKey // of oprfKey, opened once when the blob is read
}

// wipe ends what a cached blob holds.
func (b *blob) wipe() {
	secret.Zero(b.oprfKey)
	if b.key != nil {
		b.key.Wipe()
	}
}

func (b *blob) marshal() []byte {
	p := &enc.Packer{B: make([]byte, 0, 1+16*4+32+8+33*3+12+len(b.policy)+len(b.sealed)+len(b.oprfKey))}
	p.U8(recordVersion)
	p.Raw(b.app[:])
	p.Raw(b.user[:])
	p.Raw(b.idem[:])
	p.Raw(b.digest[:])
	p.U64(b.mkGen)
	p.Raw(b.keyID[:])
	p.Raw(b.conf[:])
	p.Raw(b.pubs.Sign[:])
	p.Raw(b.pubs.Enc[:])
	p.Var(b.policy)
	p.Var(b.sealed)
	p.Var(b.oprfKey)
	return p.B
}

func parseBlob(raw []byte) (*blob, error) {
	u := enc.NewUnpacker(raw)
	if u.U8() != recordVersion {
		return nil, corrupt("user record")
	}
	b := &blob{}
	u.Raw(b.app[:])
	u.Raw(b.user[:])
	u.Raw(b.idem[:])
	u.Raw(b.digest[:])
	b.mkGen = u.U64()
	u.Raw(b.keyID[:])
	u.Raw(b.conf[:])
	u.Raw(b.pubs.Sign[:])
	u.Raw(b.pubs.Enc[:])
	b.policy = u.Var(protocol.MaxPolicy)
	b.sealed = u.Var(protocol.MaxSealed)
	b.oprfKey = u.Var(protocol.OPRFSize)
	if !u.Done() || len(b.oprfKey) != 0 && len(b.oprfKey) != protocol.OPRFSize {
		return nil, corrupt("user record")
	}
	return b, nil
}
