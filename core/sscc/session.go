package sscc

import (
	"context"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

const (
	// SessionKeys is the length of a session's key material: encryption 16 and
	// MAC 32 bytes for each direction, client to server first.
	SessionKeys = 96
	// SessionTTL is how long a session lives at most.
	SessionTTL = time.Hour
)

// Exchange is the responder's half of one SM2 key exchange with a device.
// Wipe it on every path; it serves one goroutine.
type Exchange struct {
	s    *Server
	x    *sm.Exchange
	peer protocol.Peer
}

// OpenExchange begins an SM2 key exchange (GM/T 0003.3 with confirmation) with
// an enrolled device; ra is its ephemeral point. The ids of the exchange are
// the device id and the realm id. Refused when app or device is unknown or the
// device revoked, told apart by nothing: a made-up device key is worked with
// instead. A device of a revoked app gets its session, in which every call but
// Standing is refused: it must hear from SS-CC itself that its life ends.
// req: K-6.2-03, K-17.1-10
func (s *Server) OpenExchange(ctx context.Context, app, device protocol.ID, ra [33]byte) (*Exchange, error) {
	if err := s.serving(); err != nil {
		return nil, err
	}
	out := &Exchange{s: s, peer: protocol.Peer{App: app, Device: device}}
	err := s.holding(func(k *keyring) error {
		var cost effort
		key, ok, err := s.deviceKeyOf(ctx, &cost, k, app, device)
		if err != nil {
			return err
		}
		if ok { // ids nobody enrolled get no bucket: they are whatever a stranger made up
			if err := s.rates.exchange(device); err != nil {
				return err
			}
		}
		out.peer.Key = key.Compressed()
		if out.x, err = sm.NewResponder(k.identity, k.realm[:], key, device[:], s.cfg.Rand); err != nil {
			return err
		}
		if err = out.x.Agree(ra[:]); !ok {
			err = refused
			s.audit.stranger(event{kind: evRefused, code: core.Refused, op: "exchange", subject: digestOf(&cost, k, device[:])})
			k.level(&cost, exchangeNames, exchangeOpens)
		}
		return err
	})
	if err != nil {
		out.Wipe()
		return nil, err
	}
	return out, nil
}

// serving tells whether peers are answered in this state.
func (s *Server) serving() error {
	switch st := s.machine.State(); st {
	case Serving, Approved:
		return nil
	default:
		return core.Errorf(core.State, "sscc", "peers are not served in state %s", st)
	}
}

// deviceKeyOf returns the device's key, or a random one and false.
func (s *Server) deviceKeyOf(ctx context.Context, cost *effort, k *keyring, app, id protocol.ID) (key sm.PublicKey, ok bool, err error) {
	decoy, err := sm.GenerateKey(s.cfg.Rand)
	if err != nil {
		return key, false, err
	}
	key = decoy.Public()
	decoy.Wipe()
	recs, err := s.store.get(ctx, true, k.appKey(cost, app), k.deviceKey(cost, app, id))
	if err != nil {
		return key, false, err
	}
	a, d, err := s.openPeer(cost, k, recs[0], recs[1])
	if err != nil {
		return key, false, err
	}
	ok = a != nil && d != nil && !d.revoked
	point := key.Compressed()
	if ok {
		point = d.key
	}
	known, err := sm.ParsePoint(point[:]) // the decoy's too: it takes its time
	if err != nil {
		return key, false, corrupt("device")
	}
	return known, ok, nil
}

// openPeer opens the records of an app and a device; nil for one that is
// absent.
func (s *Server) openPeer(e *effort, k *keyring, ar, dr core.Record) (a *app, d *device, err error) {
	ad, err := s.openDoc(e, k, kindApp, ar)
	if err != nil {
		return nil, nil, err
	}
	dd, err := s.openDoc(e, k, kindDevice, dr)
	if err != nil {
		return nil, nil, err
	}
	if ad.version > 0 {
		if a, err = parseApp(ad.plain); err != nil {
			return nil, nil, err
		}
	}
	if dd.version > 0 {
		d, err = parseDevice(dd.plain)
	}
	return a, d, err
}

// R is SS-CC's ephemeral point, compressed.
func (x *Exchange) R() [33]byte { return x.x.R() }

// Confirmation is S_B, which proves SS-CC's identity to the device.
func (x *Exchange) Confirmation() [32]byte { return x.x.Confirmation() }

// Wipe zeroes the exchange; nil and repeated calls are fine.
func (x *Exchange) Wipe() {
	if x != nil {
		x.x.Wipe()
	}
}

// Session is what a finished exchange gives. The ticket is opaque to the
// device and brings the session to any replica.
type Session struct {
	Ticket  []byte
	Keys    *secret.Buffer // SessionKeys bytes, owned by the caller
	Expires int64          // Unix seconds
}

// Finish checks the device's confirmation sa and returns the session; Refused
// when it is wrong. The exchange is wiped.
func (x *Exchange) Finish(ctx context.Context, sa [32]byte) (ses Session, err error) {
	defer x.Wipe()
	if err := x.x.Confirm(sa); err != nil {
		return ses, refused
	}
	keys, err := x.x.Key(SessionKeys)
	if err != nil {
		return ses, err
	}
	ses = Session{Keys: keys, Expires: x.s.now().Add(SessionTTL).Unix()}
	err = x.s.holding(func(k *keyring) error {
		plain := marshalSession(x.peer, keys, ses.Expires)
		defer plain.Wipe()
		ses.Ticket, err = k.seal(x.s.cfg.Rand, kindSession, k.sessionKey, 1, plain.Bytes())
		return err
	})
	if err != nil {
		keys.Wipe()
		return Session{}, err
	}
	return ses, nil
}

// sessionSize: 1 ‖ app 16 ‖ device 16 ‖ device key 33 ‖ expires i64 ‖ keys 96.
const sessionSize = 1 + 16 + 16 + 33 + 8 + SessionKeys

func marshalSession(p protocol.Peer, keys *secret.Buffer, expires int64) *secret.Buffer {
	b := &enc.Packer{B: make([]byte, 0, sessionSize)}
	b.U8(recordVersion)
	b.Raw(p.App[:])
	b.Raw(p.Device[:])
	b.Raw(p.Key[:])
	b.U64(uint64(expires))
	b.Raw(keys.Bytes())
	return secret.Own(b.B)
}

func parseSession(raw []byte) (p protocol.Peer, keys *secret.Buffer, expires int64, err error) {
	u := enc.NewUnpacker(raw)
	v := u.U8()
	u.Raw(p.App[:])
	u.Raw(p.Device[:])
	u.Raw(p.Key[:])
	expires = int64(u.U64())
	keys = secret.New(SessionKeys)
	u.Raw(keys.Bytes())
	if v != recordVersion || !u.Done() {
		keys.Wipe()
		return protocol.Peer{}, nil, 0, corrupt("session ticket")
	}
	return p, keys, expires, nil
}

// Resume opens a session ticket made by any replica. The keys are the caller's.
// Auth when it is malformed, changed, expired or of a retired key generation:
// the device makes a new exchange. App, device and user are looked at in every
// call, so that a revocation needs no list of sessions.
func (s *Server) Resume(_ context.Context, ticket []byte) (peer protocol.Peer, keys *secret.Buffer, expires int64, err error) {
	ended := core.Errorf(core.Auth, "sscc: session", "the session ended: exchange keys again")
	if err := s.serving(); err != nil {
		return peer, nil, 0, err
	}
	if len(ticket) != sealOverhead+sessionSize {
		return peer, nil, 0, ended
	}
	err = s.holding(func(k *keyring) error {
		if peer, keys, expires, err = k.session(ticket); err != nil {
			s.noteEnded(k, "session", protocol.Peer{})
			return ended
		}
		if expires <= s.now().Unix() {
			s.noteEnded(k, "session", peer)
			keys.Wipe()
			return ended
		}
		return nil
	})
	if err != nil {
		return protocol.Peer{}, nil, 0, err
	}
	return peer, keys, expires, nil
}
