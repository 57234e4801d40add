package sscc

import (
	"context"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
)

// pending is what a device staged, one record per device and user (the zero
// user for an initialisation). Nothing in it is served. Hot, version 1:
//
//	1 u8 ‖ idem 16 ‖ digest 32 ‖ init u8 ‖ done u8 ‖ user 16 ‖ oldGen u64 ‖ newGen u64 ‖ expires i64 ‖
//	n u8 × (idem 16 ‖ user 16 ‖ gen u64)
//
// Blob, empty once committed: policy (var) ‖ sealed (var) ‖ P_sign 33 ‖ P_enc 33 ‖ OPRF key (var).
// Both are sealed for the record's version.
type pending struct {
	version core.Version
	idem    protocol.ID
	digest  protocol.Hash
	init    bool
	done    bool
	user    protocol.ID // of an initialisation: drawn here, told by Commit
	oldGen  uint64
	newGen  uint64
	expires int64
	past    []pastCommit // newest last; of this device, so that a late repeat is answered
	body    *stagedBody
}

type pastCommit struct {
	idem, user protocol.ID
	gen        uint64
}

const maxPast = 4

type stagedBody struct {
	policy, sealed []byte
	pubs           protocol.Pubs
	oprfKey        []byte
}

func (b *stagedBody) wipe() {
	if b != nil {
		secret.Zero(b.oprfKey)
	}
}

func (p *pending) marshal() []byte {
	b := &enc.Packer{}
	b.U8(recordVersion)
	b.Raw(p.idem[:])
	b.Raw(p.digest[:])
	b.Flag(p.init)
	b.Flag(p.done)
	b.Raw(p.user[:])
	b.U64(p.oldGen)
	b.U64(p.newGen)
	b.U64(uint64(p.expires))
	b.U8(uint8(len(p.past)))
	for _, c := range p.past {
		b.Raw(c.idem[:])
		b.Raw(c.user[:])
		b.U64(c.gen)
	}
	return b.B
}

func parsePending(raw []byte) (*pending, error) {
	u := enc.NewUnpacker(raw)
	v := u.U8()
	p := &pending{}
	u.Raw(p.idem[:])
	u.Raw(p.digest[:])
	p.init, p.done = u.Flag(), u.Flag()
	u.Raw(p.user[:])
	p.oldGen, p.newGen, p.expires = u.U64(), u.U64(), int64(u.U64())
	n := int(u.U8())
	for range min(n, maxPast) {
		var c pastCommit
		u.Raw(c.idem[:])
		u.Raw(c.user[:])
		c.gen = u.U64()
		p.past = append(p.past, c)
	}
	if v != recordVersion || n > maxPast || !u.Done() {
		return nil, corrupt("staged record")
	}
	return p, nil
}

func (b *stagedBody) marshal() []byte {
	p := &enc.Packer{B: make([]byte, 0, 12+66+len(b.policy)+len(b.sealed)+len(b.oprfKey))}
	p.Var(b.policy)
	p.Var(b.sealed)
	p.Raw(b.pubs.Sign[:])
	p.Raw(b.pubs.Enc[:])
	p.Var(b.oprfKey)
	return p.B
}

func parseStaged(raw []byte) (*stagedBody, error) {
	u := enc.NewUnpacker(raw)
	b := &stagedBody{policy: u.Var(protocol.MaxPolicy), sealed: u.Var(protocol.MaxSealed)}
	u.Raw(b.pubs.Sign[:])
	u.Raw(b.pubs.Enc[:])
	b.oprfKey = u.Var(protocol.OPRFSize)
	if !u.Done() || len(b.oprfKey) != 0 && len(b.oprfKey) != protocol.OPRFSize {
		return nil, corrupt("staged record")
	}
	return b, nil
}

func (k *keyring) pendingKey(app, device, user protocol.ID) core.Key {
	return k.index(enc.Str("pending"), app[:], device[:], user[:])
}

// loadPending reads what peer staged for user; nil when there never was
// anything. With body set, what is not committed is read whole.
func (s *Server) loadPending(ctx context.Context, k *keyring, peer protocol.Peer, user protocol.ID, body bool) (*pending, error) {
	recs, err := s.store.get(ctx, !body, k.pendingKey(peer.App, peer.Device, user))
	if err != nil {
		return nil, err
	}
	r := recs[0]
	if r.Version == 0 {
		return nil, nil
	}
	plain, err := k.open(kindPending, r.Key, uint64(r.Version), r.Hot)
	if err != nil {
		return nil, err
	}
	p, err := parsePending(plain)
	if err != nil {
		return nil, err
	}
	p.version = r.Version
	if body && !p.done {
		if plain, err = k.open(kindPendBlob, r.Key, uint64(r.Version), r.Blob); err != nil {
			return nil, err
		}
		defer secret.Zero(plain)
		if p.body, err = parseStaged(plain); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// putPending stores p at its version; Conflict when it changed.
func (c *call) putPending(ctx context.Context, user protocol.ID, p *pending) error {
	m := core.Mutation{Key: c.k.pendingKey(c.peer.App, c.peer.Device, user), Expect: p.version, Op: core.OpPut, ReqID: c.s.reqID()}
	var err error
	if m.Hot, err = c.k.seal(c.s.cfg.Rand, kindPending, m.Key, uint64(p.version)+1, p.marshal()); err != nil {
		return err
	}
	if !p.done {
		plain := p.body.marshal()
		defer secret.Zero(plain)
		if m.Blob, err = c.k.seal(c.s.cfg.Rand, kindPendBlob, m.Key, uint64(p.version)+1, plain); err != nil {
			return err
		}
	}
	v, err := c.s.store.put(ctx, m)
	if err == nil {
		p.version = v
	}
	return err
}
