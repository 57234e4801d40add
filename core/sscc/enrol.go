package sscc

import (
	"context"
	"crypto/subtle"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// ticket is the record of one enrolment ticket, version 1:
//
//	1 u8 ‖ app 16 ‖ key 32 ‖ expires i64 ‖ used u8 ‖ device 16 ‖ device key 33
type ticket struct {
	app     protocol.ID
	key     [32]byte
	expires int64
	used    bool
	device  protocol.ID
	point   protocol.Point
}

func (t *ticket) marshal() []byte {
	p := &enc.Packer{}
	p.U8(recordVersion)
	p.Raw(t.app[:])
	p.Raw(t.key[:])
	p.U64(uint64(t.expires))
	p.Flag(t.used)
	p.Raw(t.device[:])
	p.Raw(t.point[:])
	return p.B
}

func parseTicket(b []byte) (*ticket, error) {
	u := enc.NewUnpacker(b)
	v := u.U8()
	t := &ticket{}
	u.Raw(t.app[:])
	u.Raw(t.key[:])
	t.expires, t.used = int64(u.U64()), u.Flag()
	u.Raw(t.device[:])
	u.Raw(t.point[:])
	if v != recordVersion || !u.Done() {
		return nil, corrupt("ticket")
	}
	return t, nil
}

func (k *keyring) ticketKey(id protocol.ID) core.Key { return k.index(enc.Str("ticket"), id[:]) }

// challenge is the MAC of what a request is about and the minute: nothing is
// stored, any replica knows it again.
func (k *keyring) challenge(minute int64, about ...[]byte) protocol.Hash {
	return sm.HMAC(k.challengeKey[:], enc.Join(append([][]byte{enc.U64(uint64(minute))}, about...)...))
}

// fresh accepts the challenge of this minute and the one before.
func (k *keyring) fresh(now time.Time, got protocol.Hash, about ...[]byte) bool {
	m := now.Unix() / 60
	a, b := k.challenge(m, about...), k.challenge(m-1, about...)
	return subtle.ConstantTimeCompare(a[:], got[:])|subtle.ConstantTimeCompare(b[:], got[:]) == 1
}

// EnrolChallenge gives the challenge an enrolment is made over; an unknown
// ticket gets one too.
func (s *Server) EnrolChallenge(_ context.Context, ticket protocol.ID) (c protocol.Hash, err error) {
	if err := s.serving(); err != nil {
		return c, err
	}
	err = s.holding(func(k *keyring) error {
		c = k.challenge(s.now().Unix()/60, enc.Str("enrol"), ticket[:])
		return nil
	})
	return c, err
}

// Enrol takes a device's public key in exchange for the single use of a
// ticket, whose key authenticates both ways. It is idempotent for the same
// device and key. Every refusal is the same Refused.
// req: K-5.3-04b, K-17.1-05, G-7.4-09
func (s *Server) Enrol(ctx context.Context, r protocol.EnrolRequest) (ans protocol.EnrolAnswer, err error) {
	if err := s.serving(); err != nil {
		return ans, err
	}
	err = s.holding(func(k *keyring) error {
		t, err := s.claim(ctx, k, r)
		if err == nil {
			err = s.addDevice(ctx, k, r)
		}
		if t != nil {
			defer secret.Zero(t.key[:])
		}
		e := event{kind: evEnrol, subject: s.audit.digest(k, r.App[:]), device: s.audit.digest(k, r.Device[:])}
		if err != nil {
			if core.CodeOf(err) == core.Refused {
				e.kind, e.code = evEnrolBad, core.Refused
				s.audit.stranger(e)
			}
			return err
		}
		ans.MAC = sm.HMAC(t.key[:], protocol.EnrolledMessage(r.App, r.Device, r.Key, r.Challenge, k.realm))
		return s.audit.record(ctx, e)
	})
	return ans, err
}

// claim checks the request and marks the ticket as used for its device.
func (s *Server) claim(ctx context.Context, k *keyring, r protocol.EnrolRequest) (*ticket, error) {
	for {
		recs, err := s.store.get(ctx, true, k.ticketKey(r.Ticket), k.appKey(nil, r.App), k.deviceKey(nil, r.App, r.Device))
		if err != nil {
			return nil, err
		}
		td, err := s.openDoc(nil, k, kindTicket, recs[0])
		if err != nil {
			return nil, err
		}
		a, d, err := s.openPeer(nil, k, recs[1], recs[2])
		if err != nil {
			return nil, err
		}
		t := &ticket{} // an unknown ticket costs the same MAC
		if td.version > 0 {
			if t, err = parseTicket(td.plain); err != nil {
				return nil, err
			}
		}
		want := sm.HMAC(t.key[:], protocol.EnrolMessage(r.App, r.Device, r.Key, r.Challenge))
		ok := subtle.ConstantTimeCompare(want[:], r.MAC[:]) == 1
		_, badKey := sm.ParsePoint(r.Key[:])
		same := t.used && t.device == r.Device && t.point == r.Key
		switch {
		case !ok || td.version == 0 || badKey != nil || r.Device.IsZero(),
			!k.fresh(s.now(), r.Challenge, enc.Str("enrol"), r.Ticket[:]),
			t.app != r.App || a == nil || a.revoked,
			t.used && !same, !t.used && t.expires <= s.now().Unix(),
			d != nil && (d.revoked || d.key != r.Key):
			secret.Zero(t.key[:])
			return nil, refused
		}
		if same {
			return t, nil
		}
		t.used, t.device, t.point = true, r.Device, r.Key
		td.plain = t.marshal()
		if err = s.putDoc(ctx, k, kindTicket, td); core.CodeOf(err) != core.Conflict {
			s.cfg.Step.At("enrol.claimed")
			return t, err
		}
	}
}

// addDevice stores the device; a repeat after a crash finds it or makes it.
func (s *Server) addDevice(ctx context.Context, k *keyring, r protocol.EnrolRequest) error {
	key := k.deviceKey(nil, r.App, r.Device)
	d := &device{app: r.App, id: r.Device, key: r.Key, created: s.now().Unix()}
	err := s.putDoc(ctx, k, kindDevice, &doc{key: key, plain: d.marshal()})
	if core.CodeOf(err) != core.Conflict {
		return err
	}
	have, err := s.getDoc(ctx, k, kindDevice, key)
	if err != nil {
		return err
	}
	if d, err = parseDevice(have.plain); err != nil {
		return err
	}
	if d.key != r.Key || d.revoked {
		return refused
	}
	return nil
}
