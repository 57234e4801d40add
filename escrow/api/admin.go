package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/core/sscc"
	"github.com/keposs/keposs/escrow/api/internal/wire"
)

// Admin is the administrator's desk at one SS-CC, over TLS. It holds the token
// of a login; the methods mirror those of sscc.Server, whose errors they give.
// Calls may run at once; Login and SetToken must not race with others.
type Admin struct {
	link  *link
	token sscc.Token
}

// Info is what SS-CC tells everybody.
type Info struct {
	SetUp          bool // realm and identity are there
	Realm          protocol.ID
	Identity       sm.PublicKey
	State, Officer string
	Oldest, Newest uint32 // versions of the protocol it speaks
}

// DialAdmin prepares a connection; it is made by the first call. ca is a PEM
// bundle or SystemCA.
func DialAdmin(_ context.Context, endpoint, ca string) (*Admin, error) {
	l, err := newLink(endpoint, ca, maxAdminAnswer)
	if err != nil {
		return nil, err
	}
	return &Admin{link: l}, nil
}

// Close drops the connection and the token; the login lasts until Logout.
func (a *Admin) Close() error {
	secret.Zero(a.token[:])
	return a.link.close()
}

// Token returns the session's token, a secret; zero before Login.
func (a *Admin) Token() sscc.Token { return a.token }

// SetToken continues a session.
func (a *Admin) SetToken(t sscc.Token) { a.token = t }

// admin runs one call of the Admin service.
func admin[A any](ctx context.Context, a *Admin, name string, rpc func(context.Context, wire.AdminClient) (A, error)) (out A, err error) {
	err = a.link.do(ctx, "api: "+name, func(ctx context.Context, cc *grpc.ClientConn) (err error) {
		out, err = rpc(ctx, wire.NewAdminClient(cc))
		return err
	})
	return out, err
}

// Info asks for realm, identity and state, without a login.
func (a *Admin) Info(ctx context.Context) (i Info, err error) {
	const op = "api: info"
	err = a.link.do(ctx, op, func(ctx context.Context, cc *grpc.ClientConn) error {
		r, err := wire.NewInfoClient(cc).Info(ctx, &wire.InfoRequest{})
		if err != nil {
			return err
		}
		i = Info{SetUp: r.GetSetUp(), State: r.GetState(), Officer: r.GetOfficer(), Oldest: r.GetOldest(), Newest: r.GetNewest()}
		if !i.SetUp {
			return nil
		}
		if err := idIn(op, r.GetRealm(), &i.Realm); err != nil {
			return err
		}
		if i.Identity, err = sm.ParsePoint(r.GetIdentity()); err != nil {
			return core.Errorf(core.Unavailable, op, "the server's identity key is malformed")
		}
		return nil
	})
	return i, harmless(err)
}

// Login opens a session; password is lent.
func (a *Admin) Login(ctx context.Context, password *secret.Buffer) error {
	block, err := passwordOut(password)
	if err != nil {
		return err
	}
	defer block.Wipe()
	r, err := admin(ctx, a, "login", func(ctx context.Context, c wire.AdminClient) (*wire.LoginAnswer, error) {
		return c.Login(ctx, &wire.LoginRequest{Password: block.Bytes()})
	})
	if err != nil {
		return err
	}
	if len(r.GetToken()) != len(a.token) {
		return core.Errorf(core.Unavailable, "api: login", "the server's token is malformed")
	}
	copy(a.token[:], r.GetToken())
	secret.Zero(r.GetToken())
	return nil
}

// Logout ends the session; an SS-CC just unsealed starts serving.
func (a *Admin) Logout(ctx context.Context) error {
	_, err := admin(ctx, a, "logout", func(ctx context.Context, c wire.AdminClient) (*wire.Empty, error) {
		return c.Logout(ctx, a.request())
	})
	if err == nil {
		secret.Zero(a.token[:])
	}
	return err
}

// Unseal is Login and Logout; password is lent.
func (a *Admin) Unseal(ctx context.Context, password *secret.Buffer) error {
	block, err := passwordOut(password)
	if err != nil {
		return err
	}
	defer block.Wipe()
	_, err = admin(ctx, a, "unseal", func(ctx context.Context, c wire.AdminClient) (*wire.Empty, error) {
		return c.Unseal(ctx, &wire.LoginRequest{Password: block.Bytes()})
	})
	return err
}

// Seal wipes SS-CC's keys and ends the session.
func (a *Admin) Seal(ctx context.Context) error {
	_, err := admin(ctx, a, "seal", func(ctx context.Context, c wire.AdminClient) (*wire.Empty, error) {
		return c.Seal(ctx, a.request())
	})
	if err == nil {
		secret.Zero(a.token[:])
	}
	return err
}

func (a *Admin) request() *wire.AdminRequest { return &wire.AdminRequest{Token: a.token[:]} }

// Describe tells what this SS-CC is and how it is kept.
func (a *Admin) Describe(ctx context.Context) (d sscc.Description, err error) {
	return text[sscc.Description](ctx, a, "describe", func(ctx context.Context, c wire.AdminClient) (*wire.Json, error) {
		return c.Describe(ctx, a.request())
	})
}

// AuditPage returns at most most events (1..1000) from one on.
func (a *Admin) AuditPage(ctx context.Context, from uint64, most int) ([]sscc.AuditEvent, error) {
	return text[[]sscc.AuditEvent](ctx, a, "audit", func(ctx context.Context, c wire.AdminClient) (*wire.Json, error) {
		return c.AuditPage(ctx, &wire.AuditPageRequest{Token: a.token[:], From: from, Most: page(most)})
	})
}

// VerifyAudit checks the audit log's chain and heads.
func (a *Admin) VerifyAudit(ctx context.Context) (sscc.AuditReport, error) {
	return text[sscc.AuditReport](ctx, a, "audit verify", func(ctx context.Context, c wire.AdminClient) (*wire.Json, error) {
		return c.VerifyAudit(ctx, a.request())
	})
}

// rotateLimit bounds a rotation; a longer one is ended by running it again.
const rotateLimit = 24 * time.Hour

// Rotate has SS-CC seal every record under new keys and destroy the old ones,
// while it serves. progress, if not nil, hears how many records are done. Ended
// early, the next Rotate goes on.
func (a *Admin) Rotate(ctx context.Context, progress func(records int)) (records int, err error) {
	const op = "api: rotate"
	ctx, cancel := context.WithTimeout(ctx, rotateLimit)
	defer cancel()
	err = a.link.do(ctx, op, func(ctx context.Context, cc *grpc.ClientConn) error {
		in, err := wire.NewAdminClient(cc).Rotate(ctx, a.request())
		if err != nil {
			return err
		}
		for {
			m, err := in.Recv()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			var r rotated
			if err := json.Unmarshal(m.GetText(), &r); err != nil {
				return core.Errorf(core.Unavailable, op, "the server's answer is malformed: %w", err)
			}
			if records = r.Records; progress != nil {
				progress(records)
			}
		}
	})
	return records, err
}

// text runs a call whose answer is a JSON object or array.
func text[T any](ctx context.Context, a *Admin, name string, rpc func(context.Context, wire.AdminClient) (*wire.Json, error)) (out T, err error) {
	r, err := admin(ctx, a, name, rpc)
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(r.GetText(), &out); err != nil {
		return out, core.Errorf(core.Unavailable, "api: "+name, "the server's answer is malformed: %w", err)
	}
	return out, nil
}

// page bounds the size of a page.
func page(most int) uint32 { return uint32(min(max(most, 1), maxPage)) }

// idIn reads an id of the other end.
func idIn(op string, b []byte, id *protocol.ID) error {
	if len(b) != protocol.IDSize {
		return core.Errorf(core.Invalid, op, "an id of %d bytes, want %d", len(b), protocol.IDSize)
	}
	copy(id[:], b)
	return nil
}
