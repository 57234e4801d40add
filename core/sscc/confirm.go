package sscc

import (
	"context"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

// verify checks a signature of the user's confirm key.
func verify(p protocol.Point, msg []byte, id string, sig protocol.Sig) bool {
	k, err := sm.ParsePoint(p[:])
	return err == nil && sm.Verify(k, msg, []byte(id), sig)
}

// Confirm forgives held entries that the confirm key signed for, foreign ones
// included only when the message names them: the signature proves that RK was
// reached. It is looked at before the limit and accepted while LOCKED (I4); a
// replay changes nothing.
func (s *Server) Confirm(ctx context.Context, peer protocol.Peer, r protocol.ConfirmRequest) (ans protocol.ConfirmAnswer, err error) {
	err = s.serve(ctx, "confirm", peer, r.User, false, func(c *call, u *user) error {
		if len(r.Entries) == 0 || len(r.Entries) > 2*protocol.MaxHeld {
			return core.Errorf(core.Invalid, "ss-cc: confirm", "%d entries, want 1 to %d", len(r.Entries), 2*protocol.MaxHeld)
		}
		freed := 0
		err := s.edit(ctx, c.k, u, func(u *user) (*blob, bool, error) {
			freed = 0
			if err := c.alive(u); err != nil {
				return nil, false, err
			}
			b, err := s.blob(ctx, c.k, u)
			if err != nil {
				return nil, false, err
			}
			if r.Gen > u.hot.gen || !verify(b.conf, protocol.ConfirmMessage(c.k.realm, peer.App, r.User, r.Gen, r.Entries), protocol.ConfirmID, r.Sig) {
				return nil, false, refused
			}
			for i := range u.hot.entries {
				e := &u.hot.entries[i]
				for _, want := range r.Entries {
					// A try of the device bound before is foreign: it stays and is shown.
					if e.held && !e.old && e.seq == want.Seq && e.tag == want.Tag {
						e.held = false
						freed++
					}
				}
			}
			if freed > 0 && u.hot.state == userLocked && u.hot.used() < uint32(u.hot.limit) && !u.hot.ordered {
				u.hot.state = userActive
			}
			return nil, freed > 0, nil
		})
		if err != nil {
			return err
		}
		if freed > 0 {
			s.cfg.Step.At("confirm.applied")
			if err := s.audit.record(ctx, event{kind: evConfirm, seq: u.hot.seq, head: u.hot.head, n: uint32(freed), subject: s.audit.digest(c.k, u.key)}); err != nil {
				return err
			}
		}
		ans.Tries, err = c.tries(ctx, u, protocol.Seen{Seq: u.hot.seq})
		return err
	})
	return ans, err
}
