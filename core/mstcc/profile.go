package mstcc

import (
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/protocol"
)

// Profile is sealed at initialisation and cannot be relaxed by a flag later.
type Profile struct {
	Level      uint32        // security level 1 or 2
	VerifyOpen bool          // verify needs no PPD; shown in status
	Limit      uint32        // tries, 1..10, default 5 (K-15.4-L2b)
	Mode       protocol.Mode // escrow mode asked for
	SlowFloor  uint64        // lowest accepted iteration count of the slow KDF

	// approved names the key space: whether everything that made the keys was
	// approved. It is set by initialisation, never by the caller.
	approved bool
}

// ApprovedKeys reports whether the keys were made by approved functions and
// images only. Such keys are opened by nothing else (G-7.2-03).
func (p Profile) ApprovedKeys() bool { return p.approved }

// space refuses keys of the approved space to what is not approved.
// req: G-7.2-03, X-23
func (p Profile) space(approved bool) error {
	if p.approved && !approved {
		return core.Errorf(core.Policy, "mstcc", "these keys were made by approved functions and images only, and something asked for now is not: use the signed image, or initialise anew")
	}
	return nil
}

// DefaultProfile is level 1, strict verify, five tries, the mode given.
func DefaultProfile(mode protocol.Mode) Profile {
	return Profile{Level: 1, Limit: 5, Mode: mode, SlowFloor: 600_000}
}

// MinSlowFloor is the least a profile may ask: GM/T 0091's count of 1024.
const MinSlowFloor = 1024

// Check refuses values out of bounds.
func (p Profile) Check() error {
	const op = "mstcc: profile"
	switch {
	case p.Level != 1 && p.Level != 2:
		return core.Errorf(core.Invalid, op, "level %d, want 1 or 2", p.Level)
	case p.Limit < 1 || p.Limit > protocol.MaxHeld:
		return core.Errorf(core.Invalid, op, "limit of %d tries, want 1 to %d", p.Limit, protocol.MaxHeld)
	case p.Mode != protocol.ModePlain && p.Mode != protocol.ModeHardened:
		return core.Errorf(core.Invalid, op, "escrow mode %d, want plain or hardened", p.Mode)
	case p.SlowFloor < MinSlowFloor:
		return core.Errorf(core.Invalid, op, "iteration floor %d, want at least %d", p.SlowFloor, MinSlowFloor)
	}
	return nil
}

// costs refuses a slow KDF below the floor. The floor counts iterations, so a KDF
// that has none cannot protect keys alone: hybrid mixes one in.
func (p Profile) costs(k core.Params) error {
	const op = "mstcc: slow KDF"
	switch n, ok := k.Get("i"); {
	case !ok:
		return core.Errorf(core.Policy, op, "%s has no iteration count that the profile's floor of %d could bound: take pbkdf2sm3, wide or hybrid", k.Name, p.SlowFloor)
	case n < p.SlowFloor:
		return core.Errorf(core.Policy, op, "%d iterations are below the profile's floor %d", n, p.SlowFloor)
	}
	return nil
}

// marshal, version 1: level u32 ‖ verifyOpen u8 ‖ limit u32 ‖ mode u32 ‖
// slowFloor u64, and for keys of the approved space u8 1 at the end.
func (p Profile) marshal() []byte {
	w := &enc.Packer{}
	w.U32(p.Level)
	w.Flag(p.VerifyOpen)
	w.U32(p.Limit)
	w.U32(uint32(p.Mode))
	w.U64(p.SlowFloor)
	if p.approved {
		w.Flag(true)
	}
	return w.B
}

func parseProfile(b []byte) (Profile, error) {
	u := enc.NewUnpacker(b)
	p := Profile{Level: u.U32(), VerifyOpen: u.Flag(), Limit: u.U32(), Mode: protocol.Mode(u.U32()), SlowFloor: u.U64()}
	if !u.Done() && !u.Bad() { // a flag that is there is set: one form for one profile
		p.approved = u.Flag()
		if !p.approved {
			return Profile{}, malformed("profile")
		}
	}
	if !u.Done() {
		return Profile{}, malformed("profile")
	}
	if err := p.Check(); err != nil {
		return Profile{}, core.Errorf(core.Integrity, "mstcc: profile", "%w", err)
	}
	return p, nil
}
