package api

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/escrow/api/internal/channel"
	"github.com/keposs/keposs/escrow/api/internal/codec"
	"github.com/keposs/keposs/escrow/api/internal/wire"
)

// sessionService serves terminals: key exchanges and sealed calls.
type sessionService struct {
	wire.UnimplementedSessionServer
	s *Server
}

// Exchange is the responder's half. It holds the ephemeral key for at most
// handshakeLimit and gives the ticket only after the initiator's confirmation.
func (x *sessionService) Exchange(stream grpc.BidiStreamingServer[wire.ExchangeUp, wire.ExchangeDown]) error {
	const op = "ss-cc: key exchange"
	ctx, cancel := context.WithTimeout(stream.Context(), handshakeLimit)
	defer cancel()
	up, err := receive(ctx, stream)
	if err != nil {
		return err
	}
	hello := up.GetHello()
	if hello == nil {
		return core.Errorf(core.Invalid, op, "want a hello first")
	}
	if v := hello.GetVersion(); v < oldestVersion || v > newestVersion {
		return core.Errorf(core.Unsupported, op, "version %d, this SS-CC speaks %d to %d", v, oldestVersion, newestVersion)
	}
	var app, device protocol.ID
	if err := idIn(op, hello.GetApp(), &app); err != nil {
		return err
	}
	if err := idIn(op, hello.GetDevice(), &device); err != nil {
		return err
	}
	if len(hello.GetR()) != protocol.PointSize {
		return core.Errorf(core.Invalid, op, "R has %d bytes, want %d", len(hello.GetR()), protocol.PointSize)
	}
	e, err := x.s.core.OpenExchange(ctx, app, device, [33]byte(hello.GetR()))
	if err != nil {
		return err
	}
	defer e.Wipe()
	r, c := e.R(), e.Confirmation()
	if err := stream.Send(&wire.ExchangeDown{Step: &wire.ExchangeDown_Offer{Offer: &wire.Offer{R: r[:], S: c[:]}}}); err != nil {
		return err
	}
	if up, err = receive(ctx, stream); err != nil {
		return err
	}
	if len(up.GetConfirm().GetS()) != protocol.HashSize {
		return core.Errorf(core.Invalid, op, "want a confirmation of %d bytes", protocol.HashSize)
	}
	session, err := e.Finish(ctx, [32]byte(up.GetConfirm().GetS()))
	if err != nil {
		return err
	}
	session.Keys.Wipe() // every call finds them in the ticket
	return stream.Send(&wire.ExchangeDown{Step: &wire.ExchangeDown_Grant{Grant: &wire.Grant{
		Ticket: session.Ticket, Expires: session.Expires, Now: time.Now().Unix()}}})
}

// receive waits for the next message no longer than ctx: a peer that stops
// half-way does not hold the ephemeral key.
func receive(ctx context.Context, stream grpc.BidiStreamingServer[wire.ExchangeUp, wire.ExchangeDown]) (*wire.ExchangeUp, error) {
	type result struct {
		up  *wire.ExchangeUp
		err error
	}
	got := make(chan result, 1)
	go func() { // ends with the stream, which ends with the handler
		up, err := stream.Recv()
		got <- result{up, err}
	}()
	select {
	case r := <-got:
		if errors.Is(r.err, io.EOF) {
			return nil, core.Errorf(core.Invalid, "ss-cc: key exchange", "the peer stopped half-way")
		}
		return r.up, r.err
	case <-ctx.Done():
		return nil, core.Errorf(core.Timeout, "ss-cc: key exchange", "the peer stopped half-way")
	}
}

// notOurs is the one refusal of a call that belongs to no session, whatever is
// wrong with it. Nothing was read or counted for it.
func notOurs() error {
	return core.Errorf(core.Auth, "ss-cc: call", "no such session: make a new key exchange")
}

// Call opens a sealed request, serves it and seals the answer. Errors of the
// service travel inside the sealed answer.
func (x *sessionService) Call(ctx context.Context, r *wire.SealedRequest) (*wire.SealedAnswer, error) {
	if n := len(r.GetSealed()); n > channel.MaxRequest {
		x.s.core.NoteRefusal("Call", core.TooLarge)
		return nil, core.Errorf(core.TooLarge, "ss-cc: call", "a sealed request of %d bytes, at most %d", n, channel.MaxRequest)
	}
	if n := len(r.GetTicket()); n == 0 || n > maxSessionTicket {
		return nil, notOurs()
	}
	peer, material, _, err := x.s.core.Resume(ctx, r.GetTicket())
	if err != nil {
		if core.CodeOf(err) == core.Auth {
			err = notOurs()
		}
		return nil, err
	}
	defer material.Wipe()
	keys, err := channel.NewKeys(material)
	if err != nil {
		return nil, err
	}
	_, plain, err := keys.OpenRequest(r.GetSealed())
	if err != nil {
		return nil, notOurs()
	}
	defer secret.Zero(plain)
	sealed, err := keys.SealAnswer(sm.Rand(), r.GetSealed(), x.answer(ctx, peer, plain))
	if err != nil {
		return nil, core.Errorf(core.Internal, "ss-cc: call", "%w", err)
	}
	return &wire.SealedAnswer{Sealed: sealed}, nil
}

// answer serves one opened request and returns the plain answer.
func (x *sessionService) answer(ctx context.Context, peer protocol.Peer, plain []byte) []byte {
	start := time.Now()
	m, v, err := codec.ParseRequest(plain)
	var out any
	if err == nil {
		out, err = x.serve(ctx, peer, m, v)
	}
	var body []byte
	if err == nil {
		body, err = codec.MarshalAnswer(m, out)
	}
	if err != nil {
		body = codec.MarshalError(m, err)
	}
	x.s.note(m.String(), err, time.Since(start))
	return body
}

func (x *sessionService) serve(ctx context.Context, peer protocol.Peer, m codec.Method, v any) (any, error) {
	c := x.s.core
	switch r := v.(type) {
	case *protocol.PolicyRequest:
		return some(c.Policy(ctx, peer, *r))
	case *protocol.FetchRequest:
		return some(c.Fetch(ctx, peer, *r))
	case *protocol.EvaluateRequest:
		return some(c.Evaluate(ctx, peer, *r))
	case *protocol.ConfirmRequest:
		return some(c.Confirm(ctx, peer, *r))
	case *protocol.PrepareRequest:
		defer secret.Zero(r.OPRFKey)
		return some(c.Prepare(ctx, peer, *r))
	case *protocol.CommitRequest:
		return some(c.Commit(ctx, peer, *r))
	case *protocol.StatusRequest:
		return some(c.Status(ctx, peer, *r))
	case *protocol.ChallengeRequest:
		return some(c.Challenge(ctx, peer, *r))
	case *protocol.AttestRequest:
		return &codec.Nothing{}, c.Attest(ctx, peer, *r)
	case *protocol.StandingRequest:
		return some(c.Standing(ctx, peer, *r))
	case *protocol.RemoveRequest:
		if m == codec.Deregister {
			return &codec.Nothing{}, c.Deregister(ctx, peer, *r)
		}
		return &codec.Nothing{}, c.Unbind(ctx, peer, *r)
	case *protocol.RebindRequest:
		if m == codec.Rebind {
			return &codec.Nothing{}, c.Rebind(ctx, peer, *r)
		}
		return some(c.RecoverPolicy(ctx, peer, *r))
	}
	return nil, core.Errorf(core.Unsupported, "ss-cc", "no such method")
}

// some is a result by pointer, as the codec takes it.
func some[A any](a A, err error) (any, error) { return &a, err }
