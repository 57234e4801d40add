package sscc

import (
	"context"

	"github.com/keposs/keposs/core/protocol"
)

// Standing tells an enrolled device why it is refused: its app was revoked, or
// the user bound to it was unbound or removed. It tells nothing about others: a
// user who is bound elsewhere and one who never was are the same. It serves
// devices of a revoked app as well, and them alone beside the devices every
// call serves.
// req: K-17.1-10, K-17.1-08
func (s *Server) Standing(ctx context.Context, peer protocol.Peer, r protocol.StandingRequest) (ans protocol.StandingAnswer, err error) {
	err = s.serveIf(ctx, "standing", peer, r.User, true, func(c *call, u *user) error {
		ans.Revoked = c.app.revoked
		if c.bound(u) != nil {
			return nil
		}
		switch u.hot.state {
		case userUnbound:
			ans.User = protocol.KeptUnbound
		case userRemoved:
			ans.User = protocol.KeptRemoved
		case userActive, userLocked:
			ans.User = protocol.KeptUser
		}
		return nil
	})
	return ans, err
}
