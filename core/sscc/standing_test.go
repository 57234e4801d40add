package sscc_test

import (
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sscc"
)

// Standing tells the bound device what was done to its user and app, and tells
// every other device what it tells of a user nobody has.
// req: K-17.1-08, K-17.1-10
func TestStanding(t *testing.T) {
	r := newRealm(t)
	app := r.app(sscc.AppRequest{})
	p, other, gone := r.phone(app), r.phone(app), r.phone(app)
	kept, unbound, removed := p.account(protocol.ModePlain), p.account(protocol.ModePlain), p.account(protocol.ModeHardened)
	given := p.account(protocol.ModePlain)
	r.must(r.Unbind(bg, p.peer, given.removal(false)))
	r.admin(func(tok sscc.Token) {
		r.must(r.UnbindUser(bg, tok, app, unbound.user))
		want(t, r.UnbindUser(bg, tok, app, unbound.user), core.State)
		r.must(r.RemoveUser(bg, tok, app, removed.user))
		r.must(r.RevokeDevice(bg, tok, app, gone.peer.Device))
	})
	for name, c := range map[string]struct {
		user protocol.ID
		want protocol.Kept
	}{
		"kept": {kept.user, protocol.KeptUser}, "unbound": {unbound.user, protocol.KeptUnbound}, "removed": {removed.user, protocol.KeptRemoved},
		"given up": {given.user, protocol.KeptUnbound}, "nobody": {newID(), protocol.KeptNothing}, "none": {protocol.ID{}, protocol.KeptNothing},
	} {
		for _, by := range []struct {
			peer protocol.Peer
			want protocol.Kept
		}{{p.peer, c.want}, {other.peer, protocol.KeptNothing}} {
			a, err := r.Standing(bg, by.peer, protocol.StandingRequest{User: c.user})
			if err != nil || a.Revoked || a.User != by.want {
				t.Errorf("%s: %+v, %v", name, a, err)
			}
		}
	}
	wrongKey := p.peer
	wrongKey.Key = point(newKey(t))
	for name, peer := range map[string]protocol.Peer{"revoked device": gone.peer, "another key": wrongKey, "unknown device": {App: app, Device: newID(), Key: p.peer.Key},
		"unknown app": {App: newID(), Device: p.peer.Device, Key: p.peer.Key}} {
		if _, err := r.Standing(bg, peer, protocol.StandingRequest{User: kept.user}); core.CodeOf(err) != core.Refused {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.admin(func(tok sscc.Token) { r.must(r.RevokeApp(bg, tok, app)) })
	a, err := r.Standing(bg, p.peer, protocol.StandingRequest{User: kept.user})
	r.must(err)
	if !a.Revoked {
		t.Error("the revoked app is not told")
	}
	_, err = r.Standing(bg, gone.peer, protocol.StandingRequest{})
	want(t, err, core.Refused)
	_, err = kept.fetch()
	want(t, err, core.Refused)
}
