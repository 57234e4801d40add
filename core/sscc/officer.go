package sscc

import (
	"context"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
)

// Token is an administrator's session: 16 bytes session id ‖ 8 expiry ‖ 32 MAC.
// It is a secret of whoever logged in. One session exists at a time; any
// unsealed replica takes it.
type Token [56]byte

// SetPassword sets SS-CC up (S-07): it makes the root key, the key ring and the
// identity, wraps them under the password and leaves SEALED. Both buffers are
// lent and must be equal.
// req: K-10.2-01, G-7.4-09
func (s *Server) SetPassword(ctx context.Context, password, again *secret.Buffer) error {
	const op = "sscc: set password"
	if st := s.machine.State(); st != Init {
		return core.Errorf(core.State, op, "state %s: a password is set once", st)
	}
	if err := s.strong(password, again); err != nil {
		return err
	}
	k, err := newKeyring(s.cfg.Rand)
	if err != nil {
		return err
	}
	defer k.wipe()
	root, err := secret.Read(s.cfg.Rand, 32)
	if err != nil {
		return core.Errorf(core.Internal, op, "%w", err)
	}
	defer root.Wipe()
	b := &boot{}
	sl, err := s.newSlot(ctx, SlotPassword, password, root)
	if err != nil {
		return err
	}
	b.slots = []slot{sl}
	if err := s.sealRing(b, k, root); err != nil {
		return err
	}
	if err := s.putBoot(ctx, b); err != nil {
		return err
	}
	return s.machine.Fire(EvSetPassword, GuardStrong)
}

// strong is the rule for an administrator's password: long enough, not one
// character repeated, entered twice.
func (s *Server) strong(password, again *secret.Buffer) error {
	const op = "sscc: set password"
	p := password.Bytes()
	if len(p) < s.cfg.Limits.MinPassword || len(p) > 1024 {
		return core.Errorf(core.Invalid, op, "want %d to 1024 bytes", s.cfg.Limits.MinPassword)
	}
	var diff byte
	for _, c := range p[1:] {
		diff |= c ^ p[0]
	}
	if diff == 0 {
		return core.Errorf(core.Invalid, op, "one character repeated is no password")
	}
	if !password.Equal(again) {
		return core.Errorf(core.Invalid, op, "the two entries differ")
	}
	return nil
}

// Login checks the administrator's password (lent) and opens the officer's
// session; on a sealed SS-CC it also unwraps the keys, and Logout then starts
// serving. Wrong passwords are counted durably across replicas: Auth, then
// Locked with the time to wait.
// req: K-10.3-01, G-7.4-05, S-08, S-09, S-10, S-11
func (s *Server) Login(ctx context.Context, password *secret.Buffer) (Token, error) {
	return s.login(ctx, SlotPassword, password)
}

func (s *Server) login(ctx context.Context, with SlotKind, what *secret.Buffer) (tok Token, err error) {
	const op = "sscc: login"
	if s.machine.Officer() == Locked {
		if err := s.tryUnlockOfficer(ctx); err != nil {
			return tok, err
		}
	}
	if s.machine.Officer() == Admin { // another login replaces the session
		_ = s.machine.endOfficer()
	}
	s.wasServing.Store(s.machine.State() != Sealed)
	if err := s.machine.Fire(EvLogin, GuardNone); err != nil {
		return tok, err
	}
	cancel := func() {
		if s.machine.Officer() == CSPEntry {
			_ = s.machine.Fire(EvCancel, s.before())
		}
	}
	now := s.now().Unix()
	// The try is charged before the password is looked at, so that parallel
	// guesses at several replicas cannot outrun the count.
	var refuse error
	g, err := s.editGuard(ctx, func(g *guard) {
		refuse = nil
		switch {
		case g.ended:
			refuse = core.Errorf(core.State, op, "this SS-CC was decommissioned")
		case g.until > now:
			refuse = tooMany(g.until - now)
		default:
			g.bad++
			if g.bad >= s.cfg.Limits.LoginTries {
				g.until, g.bad = now+int64(g.wait(s.cfg.Limits.LoginWait)/time.Second), 0
				g.rounds++
			}
		}
	})
	if err != nil {
		cancel()
		return tok, err
	}
	if refuse != nil {
		if core.CodeOf(refuse) == core.Locked {
			_ = s.machine.Fire(EvPasswordBad, GuardTriesGone)
		} else {
			cancel()
		}
		return tok, refuse
	}
	b, err := s.loadBoot(ctx)
	if err != nil {
		cancel()
		return tok, err
	}
	root, err := s.openSlot(ctx, b, with, what)
	if core.CodeOf(err) == core.Auth {
		s.audit.note(ctx, event{kind: evLoginBad, code: core.Auth})
		if g.until > now {
			_ = s.machine.Fire(EvPasswordBad, GuardTriesGone)
			return tok, tooMany(g.until - now)
		}
		_ = s.machine.Fire(EvPasswordBad, GuardTriesLeft)
		cancel()
		select {
		case <-time.After(s.cfg.Limits.LoginDelay):
		case <-ctx.Done():
		}
		return tok, err
	}
	if err != nil {
		cancel()
		return tok, err
	}
	defer root.Wipe()
	if err := s.install(ctx, b, root); err != nil {
		cancel()
		return tok, err
	}
	if _, err := s.editGuard(ctx, func(g *guard) { *g = guard{ended: g.ended} }); err != nil {
		cancel()
		return tok, err
	}
	if tok, err = s.newSession(ctx); err != nil {
		cancel()
		return tok, err
	}
	s.audit.note(ctx, event{kind: evLogin})
	return tok, s.machine.Fire(EvPasswordOk, GuardNone)
}

func (s *Server) before() Guard {
	if s.wasServing.Load() {
		return GuardServed
	}
	return GuardSealed
}

// tryUnlockOfficer leaves LOCKED once the durable wait is over (S-25, S-26);
// until then it is Locked.
func (s *Server) tryUnlockOfficer(ctx context.Context) error {
	b, err := s.loadBoot(ctx)
	if err != nil {
		return err
	}
	if now := s.now().Unix(); b != nil && b.guard.until > now {
		return tooMany(b.guard.until - now)
	}
	return s.machine.Fire(EvWaitOver, s.before())
}

func tooMany(seconds int64) error {
	return &core.Error{Code: core.Locked, Op: "sscc: login", Msg: "too many wrong passwords: wait", After: time.Duration(seconds) * time.Second}
}

// install opens the ring with root and makes it the one in use. The first
// install of a process opens the audit log and holds it against the head kept
// outside: a backend that was rolled back freezes every user until the
// administrator unlocks them (I7).
func (s *Server) install(ctx context.Context, b *boot, root *secret.Buffer) (err error) {
	k, err := openRing(b, root)
	if err != nil {
		return err
	}
	s.mu.Lock()
	first := s.keys == nil
	changed := first || s.keys.rev != k.rev
	if changed {
		s.keys.wipe()
		s.root.Wipe()
		s.keys, s.root = k, root.Clone()
	} else {
		k.wipe()
	}
	s.mu.Unlock()
	if !changed {
		return nil
	}
	err = s.holding(func(k *keyring) error {
		if !first {
			return s.audit.rekey(k)
		}
		old, err := s.audit.open(ctx, k)
		if err != nil {
			return err
		}
		restored, err := s.restored(ctx)
		if err != nil || !old && restored == 0 {
			return err
		}
		why := event{kind: evRollback}
		if restored > 0 {
			why.op = "restored"
			s.cfg.Logger.Warn("the backend was restored from a snapshot: every user is frozen until unlocked")
		} else {
			s.cfg.Logger.Error("the backend is older than the log head kept outside it: every user is frozen until unlocked")
		}
		s.audit.note(ctx, why)
		if err := s.editState(ctx, k, func(o *officerState) { o.freeze++ }); err != nil {
			return err
		}
		s.cfg.Step.At("restore.frozen")
		return s.forgetRestore(ctx, restored)
	})
	if err != nil && first {
		s.wipe()
		return err
	}
	if first {
		s.audit.note(ctx, event{kind: evUnsealed})
	}
	return err
}

// Logout drops the officer's rights; on an SS-CC just unsealed it starts
// serving (S-14).
func (s *Server) Logout(ctx context.Context, tok Token) error {
	err := s.asOfficer(ctx, tok, func(k *keyring) error {
		return s.editState(ctx, k, func(o *officerState) { o.session, o.expires = protocol.ID{}, 0 })
	})
	if err != nil {
		return err
	}
	s.audit.note(ctx, event{kind: evLogout})
	if s.machine.Officer() == Admin {
		return s.machine.Fire(EvLogout, GuardStoreOpen)
	}
	return nil
}

// Unseal is Login and Logout: the keys are unwrapped and serving starts (S-33).
func (s *Server) Unseal(ctx context.Context, password *secret.Buffer) error {
	tok, err := s.login(ctx, SlotPassword, password)
	if err != nil {
		return err
	}
	return s.Logout(ctx, tok)
}

// AutoUnseal opens the root key with the content (lent) of a key file or a
// systemd credential, where the administrator allowed it.
// req: X-09
func (s *Server) AutoUnseal(ctx context.Context, content *secret.Buffer) error {
	tok, err := s.login(ctx, SlotAuto, content)
	if err != nil {
		return err
	}
	return s.Logout(ctx, tok)
}

// Seal wipes the keys and leaves SEALED (S-15). Only this replica is sealed.
func (s *Server) Seal(ctx context.Context, tok Token) error {
	err := s.asOfficer(ctx, tok, func(k *keyring) error {
		return s.editState(ctx, k, func(o *officerState) { o.session, o.expires = protocol.ID{}, 0 })
	})
	if err != nil {
		return err
	}
	s.audit.note(ctx, event{kind: evSeal})
	if err := s.machine.force(Admin); err != nil {
		return err
	}
	if err := s.machine.Fire(EvSeal, GuardNone); err != nil {
		return err
	}
	s.wipe()
	return nil
}

// Decommission destroys every slot and the key ring: no record of this SS-CC
// can be opened again (S-16). confirm must be the realm id.
func (s *Server) Decommission(ctx context.Context, tok Token, confirm protocol.ID) error {
	err := s.asOfficer(ctx, tok, func(k *keyring) error {
		if confirm != k.realm {
			return core.Errorf(core.Usage, "sscc: decommission", "confirm with the realm id of this SS-CC")
		}
		for {
			b, err := s.loadBoot(ctx)
			if err != nil {
				return err
			}
			b.guard.ended = true
			if err = s.putBoot(ctx, b); core.CodeOf(err) != core.Conflict {
				return err
			}
		}
	})
	if err != nil {
		return err
	}
	if err := s.machine.force(Admin); err != nil {
		return err
	}
	if err := s.machine.Fire(EvDecommission, GuardConfirmed); err != nil {
		return err
	}
	s.audit.note(ctx, event{kind: evDecommission})
	s.wipe()
	return nil
}
