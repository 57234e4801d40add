package sscc

import (
	"context"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
)

// noteRefused writes down why a peer got no answer and returns err. A refusal
// and a lock are events like any answer. What the storage did (changed record,
// full disk, no answer) is told a few times and then as a number, since it
// meets everybody at once; it is stored when the storage takes it.
// req: G-7.6-03
func (s *Server) noteRefused(ctx context.Context, c *call, err error) error {
	code := core.CodeOf(err)
	storage := false
	switch code {
	case core.Refused, core.Locked, core.Environment:
	case core.Corrupt, core.Exhausted, core.Unavailable, core.Indeterminate, core.Fenced, core.Internal:
		storage = true
	default:
		return err
	}
	e := event{kind: evRefused, code: code, op: c.op, subject: digestOf(&c.cost, c.k, c.key), device: digestOf(&c.cost, c.k, c.peer.Device[:])}
	if code == core.Refused {
		c.k.level(&c.cost, callNames, callOpens)
	}
	if storage {
		s.audit.stranger(e)
		return err
	}
	if failed := s.audit.record(ctx, e); failed != nil {
		return failed
	}
	return err
}

// NoteRefusal writes down that a call was refused before it reached any
// operation: too large, too often, malformed. op is the method's name, at most
// 32 bytes of it are kept.
func (s *Server) NoteRefusal(op string, code core.Code) {
	s.audit.stranger(event{kind: evRefused, code: code, op: op})
}

// noteEnded writes down that a session is over or was never one; peer is zero
// where it is not known.
func (s *Server) noteEnded(k *keyring, op string, peer protocol.Peer) {
	e := event{kind: evRefused, code: core.Auth, op: op}
	if peer.Device != (protocol.ID{}) {
		e.device = s.audit.digest(k, peer.Device[:])
	}
	s.audit.stranger(e)
}
