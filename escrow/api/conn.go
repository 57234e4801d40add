package api

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/escrow/api/internal/codec"
	"github.com/keposs/keposs/escrow/api/internal/wire"
)

// Peer is what a terminal knows after provisioning.
type Peer struct {
	Endpoint string // host:port
	CA       string // PEM bundle, or SystemCA
	Realm    protocol.ID
	App      protocol.ID
	Device   protocol.ID
	Server   sm.PublicKey   // SS-CC's pinned identity key
	Key      *sm.PrivateKey // the device's, lent until Close
}

// A Conn is a terminal's session with SS-CC. It makes a new key exchange when
// the session ended or SS-CC no longer knows it. Safe for concurrent use.
type Conn struct {
	peer Peer
	link *link

	exchanging sync.Mutex // one key exchange at a time

	mu      sync.Mutex
	session *session
	closed  bool
}

var _ mstcc.Escrow = (*Conn)(nil)

// Dial connects and makes the first session. Errors: Refused when SS-CC does
// not hold the pinned identity key, or does not know this device; Unavailable;
// State while SS-CC is sealed; Invalid for a malformed Peer.
func Dial(ctx context.Context, p Peer) (*Conn, error) {
	const op = "api: dial"
	if p.Key == nil || p.Server.IsZero() || p.Realm.IsZero() || p.App.IsZero() || p.Device.IsZero() {
		return nil, core.Errorf(core.Usage, op, "want realm, app, device, the device's key and SS-CC's identity key")
	}
	l, err := newLink(p.Endpoint, p.CA, maxAnswer)
	if err != nil {
		return nil, err
	}
	c := &Conn{peer: p, link: l}
	s, err := c.take(ctx, 0)
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	c.release(s)
	return c, nil
}

// Close ends the session and wipes its keys once calls under way are done.
func (c *Conn) Close() error {
	c.mu.Lock()
	c.closed = true
	c.retire(c.session)
	c.mu.Unlock()
	return c.link.close()
}

// Sessions are renewed this long before their end, when there is time for it.
const (
	renewEarly = 10 * time.Minute
	renewLate  = 5 * time.Second
)

// margin is how much life a session must have for a call. What comes before
// the prompts renews early, so that no key exchange falls between the last PPD
// entry and the signature.
func margin(m codec.Method) time.Duration {
	switch m {
	case codec.Policy, codec.Status, codec.Challenge, codec.RecoverPolicy, codec.Prepare:
		return renewEarly
	}
	return renewLate
}

// take returns a session with at least early of its life left; release gives
// it back.
func (c *Conn) take(ctx context.Context, early time.Duration) (*session, error) {
	if s, err := c.current(early); s != nil || err != nil {
		return s, err
	}
	c.exchanging.Lock()
	defer c.exchanging.Unlock()
	if s, err := c.current(early); s != nil || err != nil { // another call made one
		return s, err
	}
	s, err := c.exchange(ctx)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		s.keys.Wipe()
		return nil, core.Errorf(core.Closed, "api", "the connection was closed")
	}
	c.retire(c.session)
	c.session = s
	s.users++
	return s, nil
}

func (c *Conn) current(early time.Duration) (*session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, core.Errorf(core.Closed, "api", "the connection was closed")
	}
	s := c.session
	if s == nil || time.Until(s.until) < min(early, s.life/2) {
		return nil, nil
	}
	s.users++
	return s, nil
}

// release gives a session back; the last user of a retired one wipes it.
func (c *Conn) release(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.users--
	if s.retired && s.users == 0 {
		s.keys.Wipe()
	}
}

// retire takes s out of use; mu is held.
func (c *Conn) retire(s *session) {
	if s == nil || s.retired {
		return
	}
	s.retired = true
	if c.session == s {
		c.session = nil
	}
	if s.users == 0 {
		s.keys.Wipe()
	}
}

func (c *Conn) drop(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retire(s)
}

// ask makes one sealed call. Auth is SS-CC's word for a session it does not
// know or that ended: the call is made once more in a new one. It never leaves
// this package, where Auth means a wrong factor.
func ask[A any](ctx context.Context, c *Conn, m codec.Method, request any) (a A, err error) {
	op := "api: " + m.String()
	for try := 0; ; try++ {
		s, err := c.take(ctx, margin(m))
		if err != nil {
			return a, err
		}
		v, err := c.once(ctx, op, s, m, request)
		if core.CodeOf(err) == core.Auth {
			c.drop(s)
			c.release(s)
			if try == 0 {
				continue
			}
			return a, core.Errorf(core.Unavailable, op, "SS-CC does not take the session it just gave: several servers without one root key, or messages are changed on the way")
		}
		c.release(s)
		if err != nil {
			return a, err
		}
		p, ok := v.(*A)
		if !ok {
			return a, core.Errorf(core.Internal, op, "no such answer")
		}
		return *p, nil
	}
}

// once seals, calls and opens. What is wrong with the answer after the request
// was sent is Indeterminate: SS-CC may have applied it.
func (c *Conn) once(ctx context.Context, op string, s *session, m codec.Method, request any) (any, error) {
	body, err := codec.MarshalRequest(m, request)
	if err != nil {
		return nil, err
	}
	sealed, err := s.keys.SealRequest(sm.Rand(), s.seq.Add(1), body)
	if err != nil {
		clear(body)
		return nil, err
	}
	var answer any
	err = c.link.do(ctx, op, func(ctx context.Context, cc *grpc.ClientConn) error {
		r, err := wire.NewSessionClient(cc).Call(ctx, &wire.SealedRequest{Ticket: s.ticket, Sealed: sealed})
		if err != nil {
			return guard(op, err)
		}
		plain, err := s.keys.OpenAnswer(sealed, r.GetSealed())
		if err != nil {
			return core.Errorf(core.Indeterminate, op, "the answer is not SS-CC's or was changed on the way")
		}
		v, refusal, err := codec.ParseAnswer(m, plain)
		if err != nil {
			return core.Errorf(core.Indeterminate, op, "SS-CC answered in a form this build does not read: %w", err)
		}
		if refusal != nil {
			return told(op, refusal)
		}
		answer = v
		return nil
	})
	return answer, err
}

// told is SS-CC's sealed error as the caller sees it. Auth and Canceled mean
// something else on this side.
func told(op string, e *core.Error) *core.Error {
	e = codec.Inward(e)
	switch e.Code {
	case core.Auth:
		e.Code = core.Refused
	case core.Canceled, core.Timeout, core.Internal:
		return &core.Error{Code: core.Indeterminate, Op: op, Msg: "SS-CC failed: " + e.Error()}
	}
	return e
}
