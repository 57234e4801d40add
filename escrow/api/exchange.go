package api

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/escrow/api/internal/channel"
	"github.com/keposs/keposs/escrow/api/internal/wire"
)

// Versions of the protocol this build speaks.
const (
	oldestVersion = 1
	newestVersion = 1
)

// maxSessionTicket bounds the opaque ticket of a session.
const maxSessionTicket = 1024

// A session is the terminal's half of one key exchange.
type session struct {
	ticket []byte
	keys   *channel.Keys
	until  time.Time // by this side's monotonic clock
	life   time.Duration
	seq    atomic.Uint64

	users   int // under Conn.mu
	retired bool
}

// exchange is the initiator's half of GM/T 0003.3 with confirmation. Nothing
// is applied by it, so its failures are Unavailable, never Indeterminate.
func (c *Conn) exchange(ctx context.Context) (s *session, err error) {
	const op = "api: key exchange"
	x, err := sm.NewInitiator(c.peer.Key, c.peer.Device[:], c.peer.Server, c.peer.Realm[:], nil)
	if err != nil {
		return nil, core.Errorf(core.CodeOf(err), op, "%w", err)
	}
	defer x.Wipe()
	err = c.link.do(ctx, op, func(ctx context.Context, cc *grpc.ClientConn) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := wire.NewSessionClient(cc).Exchange(ctx)
		if err != nil {
			return err
		}
		s, err = c.handshake(stream, x)
		return err
	})
	var e *core.Error
	if errors.As(err, &e) && e.Code == core.Refused && e.Op != op { // SS-CC's word, uniform for all reasons
		return nil, core.Errorf(core.Refused, op, "SS-CC refuses this device: it is not enrolled there, or it or its app was revoked")
	}
	return s, harmless(err)
}

type exchangeStream = grpc.BidiStreamingClient[wire.ExchangeUp, wire.ExchangeDown]

// send reports the server's status rather than the io.EOF gRPC gives a sender.
func send(stream exchangeStream, m *wire.ExchangeUp) error {
	if err := stream.Send(m); err != nil {
		if errors.Is(err, io.EOF) {
			_, err = stream.Recv()
		}
		return err
	}
	return nil
}

func (c *Conn) handshake(stream exchangeStream, x *sm.Exchange) (*session, error) {
	const op = "api: key exchange"
	start := time.Now()
	r := x.R()
	if err := send(stream, &wire.ExchangeUp{Step: &wire.ExchangeUp_Hello{Hello: &wire.Hello{
		Version: newestVersion, App: c.peer.App[:], Device: c.peer.Device[:], R: r[:]}}}); err != nil {
		return nil, err
	}
	down, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	offer := down.GetOffer()
	if len(offer.GetR()) != 33 || len(offer.GetS()) != 32 {
		return nil, core.Errorf(core.Unavailable, op, "the server's offer is malformed")
	}
	if err := x.Agree(offer.GetR()); err != nil {
		return nil, core.Errorf(core.Refused, op, "%w", err)
	}
	mine := x.Confirmation()
	if err := x.Confirm([32]byte(offer.GetS())); err != nil {
		return nil, core.Errorf(core.Refused, op, "%s does not hold the identity key that was pinned at provisioning: it is not this terminal's SS-CC, or the connection is being tampered with", c.peer.Endpoint)
	}
	if err := send(stream, &wire.ExchangeUp{Step: &wire.ExchangeUp_Confirm{Confirm: &wire.Confirm{S: mine[:]}}}); err != nil {
		return nil, err
	}
	if down, err = stream.Recv(); err != nil {
		return nil, err
	}
	g := down.GetGrant()
	if n := len(g.GetTicket()); n == 0 || n > maxSessionTicket {
		return nil, core.Errorf(core.Unavailable, op, "the server's grant is malformed")
	}
	material, err := x.Key(channel.KeySize)
	if err != nil {
		return nil, err
	}
	keys, err := channel.NewKeys(material)
	if err != nil {
		material.Wipe()
		return nil, err
	}
	// The ticket's life by SS-CC's clock, counted from before the request: the
	// two clocks need not agree.
	life := time.Duration(max(0, min(g.GetExpires()-g.GetNow(), 3600))) * time.Second
	return &session{ticket: g.GetTicket(), keys: keys, life: life, until: start.Add(life)}, nil
}
