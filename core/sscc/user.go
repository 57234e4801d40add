package sscc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// refused is the uniform refusal (I8): unknown user, foreign user, revoked app
// or device, unbound, wrong signature. One code, one shape, the same reads.
var refused = core.Errorf(core.Refused, "ss-cc", "refused")

// A user is a loaded record.
type user struct {
	key     core.Key
	version core.Version // 0 = none
	hot     *hot
}

// app is the record of a mobile-app identifier.
type app struct {
	id      protocol.ID
	name    string
	revoked bool
	limit   uint8
	destroy bool
	created int64
	attest  string // PLATFORM=SUBJECT every terminal must prove; "" = none
}

// attestVersion is the version of an app or device record with the field that
// attestations brought; without it the record is of version 1 as before.
const attestVersion = 2

func versionOf(attests bool) uint8 {
	if attests {
		return attestVersion
	}
	return recordVersion
}

func (a *app) marshal() []byte {
	p := &enc.Packer{}
	p.U8(versionOf(a.attest != ""))
	p.Raw(a.id[:])
	p.Var([]byte(a.name))
	p.Flag(a.revoked)
	p.U8(a.limit)
	p.Flag(a.destroy)
	p.U64(uint64(a.created))
	if a.attest != "" {
		p.Var([]byte(a.attest))
	}
	return p.B
}

const maxName = 64

func parseApp(b []byte) (*app, error) {
	u := enc.NewUnpacker(b)
	v := u.U8()
	a := &app{}
	u.Raw(a.id[:])
	a.name = string(u.Var(maxName))
	a.revoked, a.limit, a.destroy, a.created = u.Flag(), u.U8(), u.Flag(), int64(u.U64())
	if v == attestVersion {
		a.attest = string(u.Var(maxAttest))
	}
	if v != versionOf(a.attest != "") || !u.Done() || a.limit < 1 || a.limit > protocol.MaxHeld {
		return nil, corrupt("app")
	}
	return a, nil
}

// device is the record of an enrolled device.
type device struct {
	app, id protocol.ID
	key     protocol.Point
	revoked bool
	created int64
	proved  int64 // Unix seconds of the last attestation accepted; 0 = none
}

func (d *device) marshal() []byte {
	p := &enc.Packer{}
	p.U8(versionOf(d.proved != 0))
	p.Raw(d.app[:])
	p.Raw(d.id[:])
	p.Raw(d.key[:])
	p.Flag(d.revoked)
	p.U64(uint64(d.created))
	if d.proved != 0 {
		p.U64(uint64(d.proved))
	}
	return p.B
}

func parseDevice(b []byte) (*device, error) {
	u := enc.NewUnpacker(b)
	v := u.U8()
	d := &device{}
	u.Raw(d.app[:])
	u.Raw(d.id[:])
	u.Raw(d.key[:])
	d.revoked, d.created = u.Flag(), int64(u.U64())
	if v == attestVersion {
		d.proved = int64(u.U64())
	}
	if v != versionOf(d.proved != 0) || d.proved < 0 || !u.Done() {
		return nil, corrupt("device")
	}
	return d, nil
}

func (k *keyring) appKey(e *effort, id protocol.ID) core.Key {
	return k.indexed(e, enc.Str("app"), id[:])
}

func (k *keyring) deviceKey(e *effort, app, id protocol.ID) core.Key {
	return k.indexed(e, enc.Str("device"), app[:], id[:])
}

// userKey is HMAC-SM3 over enc(tenant, user): another app's user is absent.
func (k *keyring) userKey(e *effort, app, id protocol.ID) core.Key {
	return k.indexed(e, app[:], id[:])
}

// A call is one request of an authenticated peer: what was read for it.
type call struct {
	s    *Server
	k    *keyring
	peer protocol.Peer
	app  *app
	dev  *device
	key  core.Key // of the user
	op   string
	cost effort
}

// serve runs fn for an authenticated device when SS-CC serves (S-18..S-20). The
// states of app, device and user are read in every call, always all three, so
// that refusals do not differ.
func (s *Server) serve(ctx context.Context, op string, peer protocol.Peer, id protocol.ID, policy bool, fn func(c *call, u *user) error) error {
	return s.serveIf(ctx, op, peer, id, policy, func(c *call, u *user) error {
		if c.app.revoked {
			return refused
		}
		if err := c.proved(); err != nil {
			return err
		}
		return fn(c, u)
	})
}

// serveIf is serve for devices of a revoked app too, and for those that owe an
// attestation.
func (s *Server) serveIf(ctx context.Context, op string, peer protocol.Peer, id protocol.ID, policy bool, fn func(c *call, u *user) error) (err error) {
	start := time.Now()
	defer func() {
		if s.cfg.Observe != nil {
			s.cfg.Observe(op, core.CodeOf(err), time.Since(start))
		}
	}()
	if err := s.machine.Fire(EvPeerRequest, GuardAuthenticated); err != nil {
		return err
	}
	defer func() {
		if err == nil {
			_ = s.machine.Fire(EvDone, GuardNone)
		} else {
			_ = s.machine.Fire(EvSoftFail, GuardNone)
		}
	}()
	if err := s.rates.take(peer, policy); err != nil {
		return err
	}
	return s.holding(func(k *keyring) error {
		c := &call{s: s, k: k, peer: peer, op: op}
		c.key = k.userKey(&c.cost, peer.App, id)
		u, err := c.admit(ctx)
		if err == nil {
			err = fn(c, u)
		}
		return s.noteRefused(ctx, c, err)
	})
}

// admit reads app, device, user and the realm's freeze count at once. Whether
// the app is revoked is the caller's to look at.
func (c *call) admit(ctx context.Context) (*user, error) {
	recs, err := c.s.store.get(ctx, true, c.k.appKey(&c.cost, c.peer.App), c.k.deviceKey(&c.cost, c.peer.App, c.peer.Device), c.key, c.k.stateKey)
	if err != nil {
		return nil, err
	}
	ad, err := c.s.openDoc(&c.cost, c.k, kindApp, recs[0])
	if err != nil {
		return nil, err
	}
	dd, err := c.s.openDoc(&c.cost, c.k, kindDevice, recs[1])
	if err != nil {
		return nil, err
	}
	u, err := c.s.openUser(&c.cost, c.k, recs[2])
	if err != nil {
		return nil, err
	}
	if err := c.s.learnState(c.k, recs[3]); err != nil {
		return nil, err
	}
	if ad.version == 0 || dd.version == 0 {
		return nil, refused
	}
	if c.app, err = parseApp(ad.plain); err != nil {
		return nil, err
	}
	d, err := parseDevice(dd.plain)
	if err != nil {
		return nil, err
	}
	c.dev = d
	if d.revoked || d.key != c.peer.Key {
		return nil, refused
	}
	return u, nil
}

// openUser opens a counter record; a user with version 0 is absent.
func (s *Server) openUser(e *effort, k *keyring, r core.Record) (*user, error) {
	u := &user{key: r.Key, version: r.Version}
	if r.Version == 0 {
		return u, nil
	}
	plain, err := k.openHot(e, kindUserHot, r)
	if err != nil {
		return nil, err
	}
	u.hot, err = parseHot(plain)
	return u, err
}

// bound refuses unless the peer's device is the one the user is bound to.
func (c *call) bound(u *user) error {
	if u.version == 0 || u.hot.device != c.peer.Device {
		return refused
	}
	return nil
}

// alive is bound, and the sealed keys still exist.
func (c *call) alive(u *user) error {
	if err := c.bound(u); err != nil {
		return err
	}
	if u.hot.state.gone() {
		return refused
	}
	return nil
}

// blob opens the user's Blob, from the cache when the counter names the one
// that is in it.
func (s *Server) blob(ctx context.Context, k *keyring, u *user) (*blob, error) {
	if b := s.blobs.get(u.hot.blobSum); b != nil {
		return b, nil
	}
	recs, err := s.store.get(ctx, false, u.key)
	if err != nil {
		return nil, err
	}
	if protocol.Hash(sm.SM3(recs[0].Blob)) != u.hot.blobSum {
		if recs[0].Version != u.version { // replaced since the counter was read
			return nil, errMoved
		}
		return nil, core.Errorf(core.Corrupt, "sscc", "counter and blob of a user do not belong together")
	}
	plain, err := k.open(kindUserBlob, u.key, u.hot.blobRev, recs[0].Blob)
	if err != nil {
		return nil, err
	}
	b, err := parseBlob(plain)
	if err != nil {
		return nil, err
	}
	secret.Zero(plain)
	if len(b.oprfKey) > 0 && s.cfg.OPRF != nil {
		if b.key, err = s.cfg.OPRF.Key(b.oprfKey); err != nil {
			return nil, core.Errorf(core.Corrupt, "sscc", "a stored oprf key: %w", err)
		}
	}
	s.blobs.put(u.hot.blobSum, b)
	return b, nil
}

// errMoved makes edit start over: the record changed under a read.
var errMoved = core.Errorf(core.Conflict, "sscc", "the record changed")

// reload reads the counter again.
func (s *Server) reload(ctx context.Context, k *keyring, u *user) (*user, error) {
	recs, err := s.store.get(ctx, true, u.key)
	if err != nil {
		return nil, err
	}
	return s.openUser(nil, k, recs[0])
}

// edit lets fn change u.hot and stores it by compare-and-set; a lost race reads
// again and asks fn again (I3). fn returns a new blob to store with it, or nil.
// When fn returns write false nothing is stored. What fn refuses is refused.
// Contention is never an error: edit goes on until ctx ends.
func (s *Server) edit(ctx context.Context, k *keyring, u *user, fn func(u *user) (b *blob, write bool, err error)) error {
	mu := s.users.of(u.key)
	first := mu.TryLock()
	if !first { // somebody is changing it: what was read is old already
		mu.Lock()
	}
	defer mu.Unlock()
	for ; ; first = false {
		if !first {
			if ctx.Err() != nil {
				return core.Errorf(core.Unavailable, "sscc", "gave up under contention, nothing was changed: %w", ctx.Err())
			}
			next, err := s.reload(ctx, k, u)
			if err != nil {
				return err
			}
			*u = *next
		}
		b, write, err := fn(u)
		if errors.Is(err, errMoved) {
			continue
		}
		if err != nil || !write {
			return err
		}
		err = s.storeUser(ctx, k, u, b)
		if core.CodeOf(err) != core.Conflict && core.CodeOf(err) != core.NotFound {
			return err
		}
	}
}

// storeUser writes u.hot, and b with it when it is not nil, at u.version+1.
func (s *Server) storeUser(ctx context.Context, k *keyring, u *user, b *blob) error {
	// The generator works in blocks of 32 bytes: request id and iv are one.
	var drawn [16 + sealIV]byte
	if _, err := io.ReadFull(s.cfg.Rand, drawn[:]); err != nil {
		s.HardFault("random bytes")
		return core.Errorf(core.Internal, "sscc: store", "random bytes: %w", err)
	}
	m := core.Mutation{Key: u.key, Expect: u.version, Op: core.OpPutHot, ReqID: core.ReqID(drawn[:16])}
	var err error
	if b != nil {
		m.Op = core.OpPut
		u.hot.blobRev++
		if m.Blob, err = k.seal(s.cfg.Rand, kindUserBlob, u.key, u.hot.blobRev, b.marshal()); err != nil {
			return err
		}
		u.hot.blobSum = sm.SM3(m.Blob)
	}
	plain := u.hot.marshal()
	if m.Hot, err = k.seal(bytes.NewReader(drawn[16:]), kindUserHot, u.key, uint64(u.version)+1, plain); err != nil {
		return err
	}
	v, err := s.store.put(ctx, m)
	if err != nil {
		return err
	}
	if v != u.version+1 {
		return core.Errorf(core.Corrupt, "sscc: store", "a user's record jumped to version %d", v)
	}
	u.version = v
	k.frames.put(u.key, v, m.Hot, plain)
	return nil
}
