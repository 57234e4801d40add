package sscc

import (
	"context"
	"slices"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
)

// minAuto is the least a key file or credential holds: it is not stretched.
const minAuto = 32

// ChangePassword replaces the administrator's password. Both buffers are lent
// and must be equal. The root key stays, so that other slots and running
// replicas are not concerned; the session goes on.
// req: G-7.4-10
func (s *Server) ChangePassword(ctx context.Context, tok Token, password, again *secret.Buffer) error {
	if err := s.strong(password, again); err != nil {
		return err
	}
	return s.setSlot(ctx, tok, SlotPassword, password)
}

// SetBackup sets or replaces a second password that opens the root key, for a
// safe. LoginBackup takes it.
func (s *Server) SetBackup(ctx context.Context, tok Token, password, again *secret.Buffer) error {
	if err := s.strong(password, again); err != nil {
		return err
	}
	return s.setSlot(ctx, tok, SlotBackup, password)
}

// AllowAuto lets content, what a key file or a systemd credential holds (at
// least 32 random bytes, lent), unseal SS-CC without the administrator. Status
// tells every user so.
// req: X-09
func (s *Server) AllowAuto(ctx context.Context, tok Token, content *secret.Buffer) error {
	if content.Len() < minAuto || content.Len() > 4096 {
		return core.Errorf(core.Invalid, "sscc: allow auto", "want %d to 4096 random bytes", minAuto)
	}
	return s.setSlot(ctx, tok, SlotAuto, content)
}

// DropSlot removes the backup password or the auto slot; NotFound when there is
// none. The password's slot stays.
func (s *Server) DropSlot(ctx context.Context, tok Token, of SlotKind) error {
	if of != SlotBackup && of != SlotAuto {
		return core.Errorf(core.Usage, "sscc: drop slot", "only the backup and the auto slot can be dropped")
	}
	return s.editSlots(ctx, tok, func(b *boot) error {
		n := len(b.slots)
		b.slots = slices.DeleteFunc(b.slots, func(sl slot) bool { return sl.kind == of })
		if len(b.slots) == n {
			return core.Errorf(core.NotFound, "sscc: drop slot", "there is no such slot")
		}
		return nil
	})
}

// setSlot wraps the root key for what, in place of what the slot held.
func (s *Server) setSlot(ctx context.Context, tok Token, of SlotKind, what *secret.Buffer) error {
	var sl slot
	err := s.asOfficer(ctx, tok, func(*keyring) (err error) {
		sl, err = s.newSlot(ctx, of, what, s.root)
		return err
	})
	if err != nil {
		return err
	}
	return s.editSlots(ctx, tok, func(b *boot) error {
		b.slots = append(slices.DeleteFunc(b.slots, func(old slot) bool { return old.kind == of }), sl)
		return nil
	})
}

func (s *Server) editSlots(ctx context.Context, tok Token, fn func(b *boot) error) error {
	return s.asOfficer(ctx, tok, func(*keyring) error {
		if err := s.editBoot(ctx, fn); err != nil {
			return err
		}
		return s.audit.record(ctx, event{kind: evSlot})
	})
}

// editBoot changes the boot record by compare-and-set.
func (s *Server) editBoot(ctx context.Context, fn func(b *boot) error) error {
	for {
		b, err := s.loadBoot(ctx)
		if err != nil {
			return err
		}
		if b == nil || b.guard.ended {
			return core.Errorf(core.State, "sscc", "SS-CC is not set up")
		}
		if err := fn(b); err != nil {
			return err
		}
		if err = s.putBoot(ctx, b); core.CodeOf(err) != core.Conflict || ctx.Err() != nil {
			return err
		}
	}
}

// LoginBackup is Login with the backup password; the administrator then sets a
// new one with ChangePassword.
func (s *Server) LoginBackup(ctx context.Context, password *secret.Buffer) (Token, error) {
	return s.login(ctx, SlotBackup, password)
}

// autoSeal reports whether an auto slot exists.
func (s *Server) autoSeal(ctx context.Context) (bool, error) {
	b, err := s.loadBoot(ctx)
	if err != nil || b == nil {
		return false, err
	}
	return slices.ContainsFunc(b.slots, func(sl slot) bool { return sl.kind == SlotAuto }), nil
}

// Freeze refuses every try of every user that exists until the administrator
// unlocks each: after a restore, whose counters may be older than what was
// answered (I7).
func (s *Server) Freeze(ctx context.Context, tok Token) error {
	return s.asOfficer(ctx, tok, func(k *keyring) error {
		if err := s.editState(ctx, k, func(o *officerState) { o.freeze++ }); err != nil {
			return err
		}
		return s.audit.record(ctx, event{kind: evRollback, op: "ordered"})
	})
}
