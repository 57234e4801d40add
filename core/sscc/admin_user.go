package sscc

import (
	"context"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
)

// UserInfo describes a user's record to the administrator. It holds nothing of
// the policy.
type UserInfo struct {
	App       protocol.ID   `json:"app"`
	ID        protocol.ID   `json:"id"`
	State     string        `json:"state"` // active, locked, frozen, destroyed, unbound, removed
	Mode      protocol.Mode `json:"mode"`
	Gen       uint64        `json:"gen"`
	Used      uint32        `json:"used"`
	Limit     uint32        `json:"limit"`
	UnlockSeq uint64        `json:"unlock_seq"`
	Device    protocol.ID   `json:"device"`
	LastTry   int64         `json:"last_try"` // Unix seconds, 0 = never
	Subject   string        `json:"subject"`  // the user's digest in the audit log
}

func (s *Server) userInfo(k *keyring, u *user, app, id protocol.ID) UserInfo {
	h := u.hot
	i := UserInfo{App: app, ID: id, State: h.state.String(), Mode: h.mode, Gen: h.gen, Used: h.used(), Limit: uint32(h.limit),
		UnlockSeq: h.unlockSeq, Device: h.device, LastTry: h.lastTry, Subject: digestOf(nil, k, u.key).hex()}
	if !h.state.gone() && h.freeze < s.freeze.Load() {
		i.State = "frozen"
	}
	return i
}

const (
	maxUserPage = 1000
	scanUsers   = 100 // records of one read: a page of blobs stays within a few MB
)

// Users lists up to most users (1 to 1000) in the order of their keys, which
// tells nothing. next continues the list, nil ends it.
// req: K-10.1-02
func (s *Server) Users(ctx context.Context, tok Token, after []byte, most int) (users []UserInfo, next []byte, err error) {
	if most < 1 || most > maxUserPage || len(after) > core.MaxKey {
		return nil, nil, core.Errorf(core.Invalid, "sscc: users", "page of %d users, want 1 to %d", most, maxUserPage)
	}
	err = s.asOfficer(ctx, tok, func(k *keyring) error {
		next, err = s.scan(ctx, after, true, func(r core.Record) (bool, error) {
			if kindOf(r) != kindUserHot {
				return true, nil
			}
			u, err := s.openUser(nil, k, r)
			if err != nil {
				return false, err
			}
			plain, err := k.open(kindUserBlob, u.key, u.hot.blobRev, r.Blob)
			if err != nil {
				return false, err
			}
			b, err := parseBlob(plain)
			if err != nil {
				return false, err
			}
			users = append(users, s.userInfo(k, u, b.app, b.user))
			return len(users) < most, nil
		})
		return err
	})
	return users, next, err
}

// kindOf reads what a stored record is from the clear byte of its seal.
func kindOf(r core.Record) kind {
	if len(r.Hot) < sealOverhead || r.Hot[0] != frameVersion {
		return 0
	}
	return kind(r.Hot[1])
}

// scan calls fn for each record after a key until it returns false; next is
// where to go on, nil at the end.
func (s *Server) scan(ctx context.Context, after core.Key, blobs bool, fn func(core.Record) (more bool, err error)) (next core.Key, err error) {
	for {
		page, err := s.cfg.Backend.Scan(ctx, core.ScanRequest{After: after, Limit: scanUsers, Hot: true, Blob: blobs})
		if err != nil {
			return nil, err
		}
		for i, r := range page.Records {
			more, err := fn(r)
			if err != nil {
				return nil, err
			}
			if !more {
				if i == len(page.Records)-1 && page.Next == nil {
					return nil, nil
				}
				return r.Key, nil
			}
		}
		if page.Next == nil {
			return nil, nil
		}
		after = page.Next
	}
}

// FindUser looks for a user under every app. NotFound.
func (s *Server) FindUser(ctx context.Context, tok Token, id protocol.ID) (info UserInfo, err error) {
	err = s.asOfficer(ctx, tok, func(k *keyring) error {
		as, err := s.apps(ctx, k)
		if err != nil {
			return err
		}
		for _, a := range as {
			u, err := s.reload(ctx, k, &user{key: k.userKey(nil, a.id, id)})
			if err != nil {
				return err
			}
			if u.version > 0 {
				info = s.userInfo(k, u, a.id, id)
				return nil
			}
		}
		return core.Errorf(core.NotFound, "sscc: user", "no such user")
	})
	return info, err
}

// order changes one user's record on the administrator's order.
func (s *Server) order(ctx context.Context, tok Token, app, id protocol.ID, of eventKind, fn func(k *keyring, u *user) (*blob, error)) error {
	return s.asOfficer(ctx, tok, func(k *keyring) error {
		u, err := s.reload(ctx, k, &user{key: k.userKey(nil, app, id)})
		if err != nil {
			return err
		}
		if u.version == 0 {
			return core.Errorf(core.NotFound, "sscc: user", "no such user under this app")
		}
		err = s.edit(ctx, k, u, func(u *user) (*blob, bool, error) {
			if u.hot.state.gone() {
				return nil, false, core.Errorf(core.State, "sscc: user", "this user is %s: the sealed keys are gone for good", u.hot.state)
			}
			b, err := fn(k, u)
			return b, err == nil, err
		})
		if err != nil {
			return err
		}
		s.cfg.Step.At("order.stored")
		return s.audit.record(ctx, event{kind: of, seq: u.hot.seq, head: u.hot.head, subject: s.audit.digest(k, u.key)})
	})
}

// UnlockUser starts a new count: held tries are dropped, the unlock number goes
// up, seq and head go on (I4). It lifts a lock, an ordered lock and a freeze.
// req: K-15.4-L2b, G-7.4-05
func (s *Server) UnlockUser(ctx context.Context, tok Token, app, id protocol.ID) error {
	return s.order(ctx, tok, app, id, evUnlock, func(k *keyring, u *user) (*blob, error) {
		freeze, err := s.realmFreeze(ctx, k)
		if err != nil {
			return nil, err
		}
		u.hot.release()
		u.hot.unlockSeq++
		u.hot.state, u.hot.ordered, u.hot.freeze = userActive, false, freeze
		return nil, nil
	})
}

// LockUser refuses every try until UnlockUser; a confirmation does not lift it.
func (s *Server) LockUser(ctx context.Context, tok Token, app, id protocol.ID) error {
	return s.order(ctx, tok, app, id, evLock, func(_ *keyring, u *user) (*blob, error) {
		u.hot.state, u.hot.ordered = userLocked, true
		return nil, nil
	})
}

// RemoveUser cancels the user: the sealed keys are dropped for good, and the
// bound terminal's life ends when it next asks (F-22, F-43).
// req: K-17.1-08b
func (s *Server) RemoveUser(ctx context.Context, tok Token, app, id protocol.ID) error {
	return s.drop(ctx, tok, app, id, evRemove, userRemoved)
}

// UnbindUser drops the user's sealed keys for good and lets the bound terminal
// initialise a new user once it has asked (F-42).
// req: K-17.1-08
func (s *Server) UnbindUser(ctx context.Context, tok Token, app, id protocol.ID) error {
	return s.drop(ctx, tok, app, id, evUnbind, userUnbound)
}

func (s *Server) drop(ctx context.Context, tok Token, app, id protocol.ID, of eventKind, to userState) error {
	return s.order(ctx, tok, app, id, of, func(k *keyring, u *user) (*blob, error) {
		b, err := s.blob(ctx, k, u)
		if err != nil {
			return nil, err
		}
		u.hot.state = to
		return b.emptied(), nil
	})
}
