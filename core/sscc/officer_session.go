package sscc

import (
	"context"
	"crypto/subtle"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

// officerState is the sealed record that names the session and what concerns
// the realm: the freeze counter.
type officerState struct {
	session protocol.ID
	expires int64
	freeze  uint32
}

func (o *officerState) marshal() []byte {
	p := &enc.Packer{}
	p.U8(recordVersion)
	p.Raw(o.session[:])
	p.U64(uint64(o.expires))
	p.U32(o.freeze)
	return p.B
}

func parseOfficerState(b []byte) (*officerState, error) {
	u := enc.NewUnpacker(b)
	v := u.U8()
	o := &officerState{}
	u.Raw(o.session[:])
	o.expires, o.freeze = int64(u.U64()), u.U32()
	if v != recordVersion || !u.Done() {
		return nil, corrupt("state record")
	}
	return o, nil
}

// realmFreeze reads how often the realm was frozen.
func (s *Server) realmFreeze(ctx context.Context, k *keyring) (uint32, error) {
	recs, err := s.store.get(ctx, true, k.stateKey)
	if err == nil {
		err = s.learnState(k, recs[0])
	}
	return s.freeze.Load(), err
}

// learnState takes the freeze count of the realm's state as it was just read.
func (s *Server) learnState(k *keyring, r core.Record) error {
	if uint64(r.Version) <= s.stateSeen.Load() {
		return nil
	}
	d, err := s.openDoc(nil, k, kindState, r)
	if err != nil {
		return err
	}
	o, err := parseOfficerState(d.plain)
	if err != nil {
		return err
	}
	s.freeze.Store(o.freeze)
	s.stateSeen.Store(uint64(r.Version))
	return nil
}

// editState changes the realm's state record by compare-and-set.
func (s *Server) editState(ctx context.Context, k *keyring, fn func(o *officerState)) error {
	for {
		d, err := s.getDoc(ctx, k, kindState, k.stateKey)
		if err != nil {
			return err
		}
		o := &officerState{}
		if d.version > 0 {
			if o, err = parseOfficerState(d.plain); err != nil {
				return err
			}
		}
		fn(o)
		d.plain = o.marshal()
		if err = s.putDoc(ctx, k, kindState, d); core.CodeOf(err) != core.Conflict {
			if err == nil {
				s.freeze.Store(o.freeze)
			}
			return err
		}
	}
}

func (s *Server) newSession(ctx context.Context) (tok Token, err error) {
	id, err := s.newID()
	if err != nil {
		return tok, err
	}
	expires := s.now().Add(s.cfg.Limits.OfficerTTL).Unix()
	err = s.holding(func(k *keyring) error {
		if err := s.editState(ctx, k, func(o *officerState) { o.session, o.expires = id, expires }); err != nil {
			return err
		}
		copy(tok[:], id[:])
		copy(tok[16:], enc.U64(uint64(expires)))
		mac := sm.HMAC(k.officerKey[:], enc.Join(enc.Str("officer"), tok[:24]))
		copy(tok[24:], mac[:])
		return nil
	})
	return tok, err
}

// asOfficer runs fn when tok is the present session, with the key ring.
// req: K-10.1-02, K-10.3-01
func (s *Server) asOfficer(ctx context.Context, tok Token, fn func(k *keyring) error) error {
	const op = "sscc: admin"
	return s.holding(func(k *keyring) error {
		mac := sm.HMAC(k.officerKey[:], enc.Join(enc.Str("officer"), tok[:24]))
		if subtle.ConstantTimeCompare(mac[:], tok[24:]) != 1 {
			return core.Errorf(core.Auth, op, "no session: log in")
		}
		d, err := s.getDoc(ctx, k, kindState, k.stateKey)
		if err != nil {
			return err
		}
		if d.version == 0 {
			return core.Errorf(core.Auth, op, "no session: log in")
		}
		o, err := parseOfficerState(d.plain)
		if err != nil {
			return err
		}
		if subtle.ConstantTimeCompare(o.session[:], tok[:16]) != 1 || o.session.IsZero() || o.expires <= s.now().Unix() {
			s.noteEnded(k, "officer", protocol.Peer{})
			return core.Errorf(core.Auth, op, "the session ended: log in again")
		}
		return fn(k)
	})
}
