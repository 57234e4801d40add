package sscc_test

import (
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/core/sscc"
)

// exchange runs the device's side of an exchange with s.
func (p *phone) exchange(s *sscc.Server) (ses sscc.Session, keys []byte, err error) {
	t := p.r.t
	t.Helper()
	_, identity, _, err := p.r.Realm(bg)
	p.r.must(err)
	ini, err := sm.NewInitiator(p.key, p.peer.Device[:], identity, p.r.id[:], nil)
	p.r.must(err)
	defer ini.Wipe()
	x, err := s.OpenExchange(bg, p.peer.App, p.peer.Device, ini.R())
	if err != nil {
		return ses, nil, err
	}
	rb := x.R()
	p.r.must(ini.Agree(rb[:]))
	sb := x.Confirmation()
	if err := ini.Confirm(sb); err != nil {
		return ses, nil, err
	}
	if ses, err = x.Finish(bg, ini.Confirmation()); err != nil {
		return ses, nil, err
	}
	k, err := ini.Key(sscc.SessionKeys)
	p.r.must(err)
	return ses, k.Bytes(), nil
}

// Both sides get one key; any replica takes the ticket for an hour; a changed
// one is refused.
// req: K-6.2-03, K-6.1-04, G-7.9-06, K-15.3-00, X-28
func TestSession(t *testing.T) {
	r := newRealm(t)
	p := r.phone(r.app(sscc.AppRequest{}))
	ses, keys, err := p.exchange(r.Server)
	r.must(err)
	if string(ses.Keys.Bytes()) != string(keys) || ses.Expires != r.clock.now().Add(time.Hour).Unix() {
		t.Fatal("the two sides do not agree")
	}
	for _, s := range []*sscc.Server{r.Server, r.replica()} {
		peer, k, exp, err := s.Resume(bg, ses.Ticket)
		r.must(err)
		if peer != p.peer || string(k.Bytes()) != string(keys) || exp != ses.Expires {
			t.Fatal("a resumed session is another one")
		}
	}
	for i := range ses.Ticket {
		bad := append([]byte(nil), ses.Ticket...)
		bad[i] ^= 1
		_, _, _, err := r.Resume(bg, bad)
		want(t, err, core.Auth)
	}
	for _, bad := range [][]byte{nil, {1}, ses.Ticket[1:], append(ses.Ticket[:len(ses.Ticket):len(ses.Ticket)], 0)} {
		_, _, _, err := r.Resume(bg, bad)
		want(t, err, core.Auth)
	}
	r.clock.move(time.Hour)
	_, _, _, err = r.Resume(bg, ses.Ticket)
	want(t, err, core.Auth)
}

// Unknown apps and devices, a revoked device and a wrong device key are one
// Refused. A device of a revoked app gets a session to hear that in.
// req: K-5.3-04a, K-5.3-04b, X-13
func TestExchangeRefuses(t *testing.T) {
	r := newRealm(t)
	app := r.app(sscc.AppRequest{})
	good, revoked := r.phone(app), r.phone(app)
	last := r.phone(r.app(sscc.AppRequest{Name: "gone"}))
	r.admin(func(tok sscc.Token) {
		r.must(r.RevokeDevice(bg, tok, app, revoked.peer.Device))
		r.must(r.RevokeApp(bg, tok, last.peer.App))
	})
	unknown, otherApp := *good, *good
	unknown.peer.Device, otherApp.peer.App = newID(), newID()
	texts := map[string]bool{}
	for name, p := range map[string]*phone{"unknown device": &unknown, "unknown app": &otherApp, "revoked device": revoked} {
		_, _, err := p.exchange(r.Server)
		if core.CodeOf(err) != core.Refused {
			t.Errorf("%s: %v", name, err)
			continue
		}
		texts[err.Error()] = true
	}
	if len(texts) != 1 {
		t.Errorf("refusals are told apart: %v", texts)
	}
	if _, _, err := last.exchange(r.Server); err != nil {
		t.Errorf("revoked app: %v", err)
	}
	thief := *good
	thief.key = newKey(t)
	if _, _, err := thief.exchange(r.Server); err == nil {
		t.Error("a device without the key got a session")
	}
	ini, err := sm.NewInitiator(good.key, good.peer.Device[:], good.key.Public(), r.id[:], nil)
	r.must(err)
	x, err := r.OpenExchange(bg, app, good.peer.Device, ini.R())
	r.must(err)
	_, err = x.Finish(bg, [32]byte{1})
	want(t, err, core.Refused)
	_, err = r.OpenExchange(bg, app, good.peer.Device, [33]byte{9})
	want(t, err, core.Invalid)
	_, err = r.start().OpenExchange(bg, app, good.peer.Device, ini.R())
	want(t, err, core.State)
}

// A revocation ends an open session with the next call.
// req: K-17.1-10
func TestRevokedInSession(t *testing.T) {
	r := newRealm(t)
	p := r.phone(r.app(sscc.AppRequest{}))
	a := p.account(protocol.ModePlain)
	ses, _, err := p.exchange(r.Server)
	r.must(err)
	r.admin(func(tok sscc.Token) { r.must(r.RevokeDevice(bg, tok, p.peer.App, p.peer.Device)) })
	peer, _, _, err := r.Resume(bg, ses.Ticket)
	r.must(err)
	_, err = r.Status(bg, peer, protocol.StatusRequest{User: a.user})
	want(t, err, core.Refused)
}

// A ticket enrols one device once, within its time and its challenge; the
// answer proves SS-CC; everything else is the same Refused.
// req: K-17.1-05, G-7.4-09, K-5.3-04b
func TestEnrol(t *testing.T) {
	r := newRealm(t)
	app := r.app(sscc.AppRequest{})
	et := r.ticket(app)
	id, key := newID(), newKey(t)
	good := r.enrolRequest(et, id, key)
	for name, edit := range map[string]func(*protocol.EnrolRequest){
		"mac":       func(q *protocol.EnrolRequest) { q.MAC[0] ^= 1 },
		"device":    func(q *protocol.EnrolRequest) { q.Device[0] ^= 1 },
		"app":       func(q *protocol.EnrolRequest) { q.App[0] ^= 1 },
		"key":       func(q *protocol.EnrolRequest) { q.Key = point(newKey(t)) },
		"challenge": func(q *protocol.EnrolRequest) { q.Challenge[0] ^= 1 },
		"ticket":    func(q *protocol.EnrolRequest) { q.Ticket = newID() },
		"no device": func(q *protocol.EnrolRequest) { r.sealMAC(et, q, func() { q.Device = protocol.ID{} }) },
		"no point":  func(q *protocol.EnrolRequest) { r.sealMAC(et, q, func() { q.Key = protocol.Point{7} }) },
		"other app": func(q *protocol.EnrolRequest) { r.sealMAC(et, q, func() { q.App = newID() }) },
	} {
		q := good
		edit(&q)
		if _, err := r.Enrol(bg, q); core.CodeOf(err) != core.Refused {
			t.Errorf("%s: %v", name, err)
		}
	}
	for range 2 {
		ans, err := r.Enrol(bg, good)
		r.must(err)
		if ans.MAC != sm.HMAC(et.Key.Bytes(), protocol.EnrolledMessage(app, id, good.Key, good.Challenge, r.id)) {
			t.Fatal("the answer does not prove SS-CC")
		}
	}
	_, err := r.Enrol(bg, r.enrolRequest(et, newID(), newKey(t)))
	want(t, err, core.Refused)
	_, err = r.Enrol(bg, r.enrolRequest(et, id, newKey(t)))
	want(t, err, core.Refused)
	// Another ticket does not give an enrolled device another key.
	_, err = r.Enrol(bg, r.enrolRequest(r.ticket(app), id, newKey(t)))
	want(t, err, core.Refused)
	// A replay after its challenge ran out.
	r.clock.move(3 * time.Minute)
	_, err = r.Enrol(bg, good)
	want(t, err, core.Refused)
	late := r.ticket(app)
	r.clock.move(8 * 24 * time.Hour)
	_, err = r.Enrol(bg, r.enrolRequest(late, newID(), newKey(t)))
	want(t, err, core.Refused)
	last := r.ticket(app)
	r.admin(func(tok sscc.Token) { r.must(r.RevokeApp(bg, tok, app)) })
	_, err = r.Enrol(bg, r.enrolRequest(last, newID(), newKey(t)))
	want(t, err, core.Refused)
}

// sealMAC changes a request and authenticates it again.
func (r *realm) sealMAC(et sscc.EnrolTicket, q *protocol.EnrolRequest, edit func()) {
	edit()
	q.MAC = sm.HMAC(et.Key.Bytes(), protocol.EnrolMessage(q.App, q.Device, q.Key, q.Challenge))
}
