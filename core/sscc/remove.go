package sscc

import (
	"context"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
)

// Unbind gives the user up on this device: the sealed keys are dropped and
// every later request is refused. The confirm key signed for it, so PPD was
// entered. A repeat changes nothing.
// req: K-17.1-08
func (s *Server) Unbind(ctx context.Context, peer protocol.Peer, r protocol.RemoveRequest) error {
	return s.remove(ctx, peer, r, false)
}

// Deregister cancels the user on every device, else like Unbind.
// req: K-17.1-08b, K-17.1-09
func (s *Server) Deregister(ctx context.Context, peer protocol.Peer, r protocol.RemoveRequest) error {
	return s.remove(ctx, peer, r, true)
}

func (s *Server) remove(ctx context.Context, peer protocol.Peer, r protocol.RemoveRequest, deregister bool) error {
	op, to, kind := "unbind", userUnbound, evUnbind
	if deregister {
		op, to, kind = "deregister", userRemoved, evDeregister
	}
	return s.serve(ctx, op, peer, r.User, false, func(c *call, u *user) error {
		done := false
		err := s.edit(ctx, c.k, u, func(u *user) (*blob, bool, error) {
			done = false
			if err := c.bound(u); err != nil {
				return nil, false, err
			}
			b, err := s.blob(ctx, c.k, u)
			if err != nil {
				return nil, false, err
			}
			msg := protocol.RemoveMessage(deregister, c.k.realm, peer.App, r.User, r.Gen, peer.Device)
			if r.Gen != u.hot.gen || !verify(b.conf, msg, protocol.ConfirmID, r.Sig) || u.hot.state.gone() && u.hot.state != to {
				return nil, false, refused
			}
			if u.hot.state == to {
				return nil, false, nil
			}
			u.hot.state, done = to, true
			return b.emptied(), true, nil
		})
		if err != nil || !done {
			if err == nil {
				err = s.audit.settled(ctx)
			}
			return err
		}
		s.cfg.Step.At("remove.stored")
		if err := c.dropPending(ctx, r.User); err != nil {
			return err
		}
		return s.audit.record(ctx, event{kind: kind, subject: s.audit.digest(c.k, u.key), device: s.audit.digest(c.k, peer.Device[:])})
	})
}

// dropPending forgets the bytes a removed user's device had staged.
func (c *call) dropPending(ctx context.Context, user protocol.ID) error {
	p, err := c.s.loadPending(ctx, c.k, c.peer, user, false)
	if err != nil || p == nil || p.done {
		return err
	}
	p.done, p.idem = true, protocol.ID{}
	if err = c.putPending(ctx, user, p); core.CodeOf(err) == core.Conflict {
		return nil
	}
	return err
}
