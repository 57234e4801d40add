package sscc

import (
	"context"
	"io"
	"unicode"
	"unicode/utf8"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// AppRequest describes a new mobile-app identifier. Limit and Destroy hold for
// the users it gets.
type AppRequest struct {
	Name    string // 1 to 64 bytes of printable text
	Limit   uint8  // tries, 1 to 10; 0 = Limits.Tries
	Destroy bool   // exhausted = the sealed keys are destroyed; else locked
	Attest  string // PLATFORM=SUBJECT every terminal must prove (P-14); "" = none
}

// AppInfo describes an app to the administrator.
type AppInfo struct {
	ID      protocol.ID `json:"id"`
	Name    string      `json:"name"`
	Revoked bool        `json:"revoked"`
	Limit   uint8       `json:"limit"`
	Destroy bool        `json:"destroy"`
	Created int64       `json:"created"` // Unix seconds
	Attest  string      `json:"attest,omitempty"`
}

// CreateApp makes a mobile-app identifier.
// req: K-10.1-02, K-17.1-05
func (s *Server) CreateApp(ctx context.Context, tok Token, r AppRequest) (id protocol.ID, err error) {
	const op = "sscc: create app"
	if r.Limit == 0 {
		r.Limit = uint8(s.cfg.Limits.Tries)
	}
	if r.Limit > protocol.MaxHeld {
		return id, core.Errorf(core.Invalid, op, "limit of %d tries, want 1 to %d", r.Limit, protocol.MaxHeld)
	}
	if r.Name == "" || len(r.Name) > maxName || !printable(r.Name) {
		return id, core.Errorf(core.Invalid, op, "a name is 1 to %d bytes of printable text", maxName)
	}
	if err := s.checkAttest(r.Attest); err != nil {
		return id, err
	}
	err = s.asOfficer(ctx, tok, func(k *keyring) error {
		if id, err = s.newID(); err != nil {
			return err
		}
		// Listed first: a listed app without a record is skipped, an unlisted
		// record would be lost to the administrator.
		if err := s.listApp(ctx, k, id); err != nil {
			return err
		}
		a := &app{id: id, name: r.Name, limit: r.Limit, destroy: r.Destroy, created: s.now().Unix(), attest: r.Attest}
		if err := s.putDoc(ctx, k, kindApp, &doc{key: k.appKey(nil, id), plain: a.marshal()}); err != nil {
			return err
		}
		return s.audit.record(ctx, event{kind: evAppCreate, subject: s.audit.digest(k, id[:])})
	})
	return id, err
}

func printable(name string) bool {
	if !utf8.ValidString(name) {
		return false
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// Apps lists every app in the order of creation.
func (s *Server) Apps(ctx context.Context, tok Token) (out []AppInfo, err error) {
	err = s.asOfficer(ctx, tok, func(k *keyring) error {
		as, err := s.apps(ctx, k)
		for _, a := range as {
			out = append(out, AppInfo{a.id, a.name, a.revoked, a.limit, a.destroy, a.created, a.attest})
		}
		return err
	})
	return out, err
}

// RevokeApp ends an app: every device of it is refused at once. A repeat
// changes nothing; it is never undone.
// req: K-17.1-10
func (s *Server) RevokeApp(ctx context.Context, tok Token, id protocol.ID) error {
	return s.asOfficer(ctx, tok, func(k *keyring) error {
		return s.editDoc(ctx, k, kindApp, k.appKey(nil, id), "app", func(plain []byte) ([]byte, error) {
			a, err := parseApp(plain)
			if err != nil || a.revoked {
				return nil, err
			}
			a.revoked = true
			return a.marshal(), nil
		}, event{kind: evAppRevoke, subject: s.audit.digest(k, id[:])})
	})
}

// editDoc changes one small record by compare-and-set and records e when it
// did; fn returns nil for "as it is". NotFound names what is absent.
func (s *Server) editDoc(ctx context.Context, k *keyring, of kind, key core.Key, what string, fn func([]byte) ([]byte, error), e event) error {
	for {
		d, err := s.getDoc(ctx, k, of, key)
		if err != nil {
			return err
		}
		if d.version == 0 {
			return core.Errorf(core.NotFound, "sscc: admin", "no such %s", what)
		}
		next, err := fn(d.plain)
		if err != nil || next == nil {
			return err
		}
		d.plain = next
		if err = s.putDoc(ctx, k, of, d); core.CodeOf(err) == core.Conflict && ctx.Err() == nil {
			continue
		}
		if err != nil {
			return err
		}
		return s.audit.record(ctx, e)
	}
}

// The list of apps is kept in small records of up to listIDs ids, because a
// backend cannot be asked for "all apps": keys are HMACs.
//
//	1 u8 ‖ n u8 × id 16
const listIDs = 24

func (k *keyring) listKey(n uint32) core.Key { return k.index(enc.Str("apps"), enc.U32(n)) }

func marshalList(ids []protocol.ID) []byte {
	p := &enc.Packer{}
	p.U8(recordVersion)
	p.U8(uint8(len(ids)))
	for _, id := range ids {
		p.Raw(id[:])
	}
	return p.B
}

func parseList(b []byte) ([]protocol.ID, error) {
	u := enc.NewUnpacker(b)
	v, n := u.U8(), int(u.U8())
	var ids []protocol.ID
	for range min(n, listIDs) {
		var id protocol.ID
		u.Raw(id[:])
		ids = append(ids, id)
	}
	if v != recordVersion || n > listIDs || !u.Done() {
		return nil, corrupt("list of apps")
	}
	return ids, nil
}

// listApp adds id to the last record of the list, or begins one.
func (s *Server) listApp(ctx context.Context, k *keyring, id protocol.ID) error {
	for n := uint32(0); ; {
		d, err := s.getDoc(ctx, k, kindList, k.listKey(n))
		if err != nil {
			return err
		}
		var ids []protocol.ID
		if d.version > 0 {
			if ids, err = parseList(d.plain); err != nil {
				return err
			}
		}
		if len(ids) == listIDs {
			n++
			continue
		}
		d.plain = marshalList(append(ids, id))
		if err = s.putDoc(ctx, k, kindList, d); core.CodeOf(err) != core.Conflict || ctx.Err() != nil {
			return err
		}
	}
}

// apps reads every app.
func (s *Server) apps(ctx context.Context, k *keyring) (out []*app, err error) {
	for n := uint32(0); ; n++ {
		d, err := s.getDoc(ctx, k, kindList, k.listKey(n))
		if err != nil || d.version == 0 {
			return out, err
		}
		ids, err := parseList(d.plain)
		if err != nil {
			return nil, err
		}
		keys := make([]core.Key, len(ids))
		for i, id := range ids {
			keys[i] = k.appKey(nil, id)
		}
		recs, err := s.store.get(ctx, true, keys...)
		if err != nil {
			return nil, err
		}
		for _, r := range recs {
			ad, err := s.openDoc(nil, k, kindApp, r)
			if err != nil {
				return nil, err
			}
			if ad.version == 0 {
				continue
			}
			a, err := parseApp(ad.plain)
			if err != nil {
				return nil, err
			}
			out = append(out, a)
		}
	}
}

// EnrolTicket is the single use of one device's enrolment. Whoever holds it
// enrols a device: it travels like a password.
type EnrolTicket struct {
	ID, App, Realm protocol.ID
	Key            *secret.Buffer // 32 bytes, the pre-set channel key; owned by the caller
	Identity       sm.PublicKey
	Expires        int64 // Unix seconds
}

// NewTicket makes an enrolment ticket for one device of an app.
// req: K-17.1-05
func (s *Server) NewTicket(ctx context.Context, tok Token, id protocol.ID) (et EnrolTicket, err error) {
	err = s.asOfficer(ctx, tok, func(k *keyring) error {
		ad, err := s.getDoc(ctx, k, kindApp, k.appKey(nil, id))
		if err != nil {
			return err
		}
		if ad.version == 0 {
			return core.Errorf(core.NotFound, "sscc: ticket", "no such app")
		}
		a, err := parseApp(ad.plain)
		if err != nil {
			return err
		}
		if a.revoked {
			return core.Errorf(core.State, "sscc: ticket", "this app is revoked")
		}
		t := &ticket{app: id, expires: s.now().Add(s.cfg.Limits.TicketTTL).Unix()}
		defer secret.Zero(t.key[:])
		if _, err := io.ReadFull(s.cfg.Rand, t.key[:]); err != nil {
			return core.Errorf(core.Internal, "sscc: ticket", "random bytes: %w", err)
		}
		tid, err := s.newID()
		if err != nil {
			return err
		}
		plain := t.marshal()
		defer secret.Zero(plain)
		if err := s.putDoc(ctx, k, kindTicket, &doc{key: k.ticketKey(tid), plain: plain}); err != nil {
			return err
		}
		et = EnrolTicket{ID: tid, App: id, Realm: k.realm, Key: secret.Copy(t.key[:]), Identity: k.identity.Public(), Expires: t.expires}
		return s.audit.record(ctx, event{kind: evTicket, subject: s.audit.digest(k, id[:])})
	})
	if err != nil {
		et.Key.Wipe()
		return EnrolTicket{}, err
	}
	return et, nil
}
