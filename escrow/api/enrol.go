package api

import (
	"context"
	"crypto/subtle"

	"google.golang.org/grpc"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/escrow/api/internal/wire"
)

// Enrol shows the ticket (lent) to SS-CC and has the device's key pinned there.
// Both sides prove that they know the ticket's key, neither sends it. Repeating
// it with the same device and key is harmless. Errors: Refused for a ticket
// that is unknown, used by another device or expired; Integrity when the other
// end does not prove the ticket; Unavailable; Indeterminate: repeat.
// req: K-17.1-05
func Enrol(ctx context.Context, t *Ticket, device protocol.ID, key sm.PublicKey) error {
	const op = "api: enrol"
	if t.Key.Len() != ticketKeySize || t.ID.IsZero() || device.IsZero() || key.IsZero() {
		return core.Errorf(core.Usage, op, "want a ticket with its key, a device id and a device key")
	}
	l, err := newLink(t.Endpoint, t.CA, maxAnswer)
	if err != nil {
		return err
	}
	defer func() { _ = l.close() }()
	point := protocol.Point(key.Compressed())
	var challenge protocol.Hash
	err = l.do(ctx, op, func(ctx context.Context, cc *grpc.ClientConn) error {
		c, err := wire.NewEnrolmentClient(cc).Challenge(ctx, &wire.EnrolChallengeRequest{Ticket: t.ID[:]})
		if err == nil && len(c.GetChallenge()) != protocol.HashSize {
			return core.Errorf(core.Unavailable, op, "the server's challenge is malformed")
		}
		copy(challenge[:], c.GetChallenge())
		return err
	})
	if err != nil {
		return harmless(err)
	}
	mac := sm.HMAC(t.Key.Bytes(), protocol.EnrolMessage(t.App, device, point, challenge))
	want := sm.HMAC(t.Key.Bytes(), protocol.EnrolledMessage(t.App, device, point, challenge, t.Realm))
	return l.do(ctx, op, func(ctx context.Context, cc *grpc.ClientConn) error {
		a, err := wire.NewEnrolmentClient(cc).Enrol(ctx, &wire.EnrolRequest{Ticket: t.ID[:], App: t.App[:], Device: device[:],
			Key: point[:], Challenge: challenge[:], Mac: mac[:]})
		if err == nil && subtle.ConstantTimeCompare(want[:], a.GetMac()) != 1 {
			return core.Errorf(core.Integrity, op, "the server did not prove that it knows the ticket: it is not the SS-CC the administrator meant")
		}
		return err
	})
}
