package api

import (
	"context"
	"encoding/json"
	"math"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sscc"
	"github.com/keposs/keposs/escrow/api/internal/wire"
)

const adminOp = "ss-cc: admin"

// adminService serves the administrator's desk. Passwords, tokens and ticket
// keys are wiped from the messages as soon as they are read or sent on.
type adminService struct {
	wire.UnimplementedAdminServer
	s *Server
}

// token reads a session's token and wipes the message's copy.
func token(b []byte) (t sscc.Token, err error) {
	defer secret.Zero(b)
	if len(b) != len(t) {
		return t, core.Errorf(core.Auth, adminOp, "no session: log in")
	}
	copy(t[:], b)
	return t, nil
}

// withToken runs fn under the token of a request.
func withToken[A any](b []byte, fn func(sscc.Token) (A, error)) (a A, err error) {
	t, err := token(b)
	if err != nil {
		return a, err
	}
	defer secret.Zero(t[:])
	return fn(t)
}

// order is withToken for what answers nothing.
func order(b []byte, fn func(sscc.Token) error) (*wire.Empty, error) {
	return withToken(b, func(t sscc.Token) (*wire.Empty, error) {
		if err := fn(t); err != nil {
			return nil, err
		}
		return &wire.Empty{}, nil
	})
}

// about is order on the app and the other record a request names.
func about(b, app, other []byte, fn func(t sscc.Token, app, other protocol.ID) error) (*wire.Empty, error) {
	return order(b, func(t sscc.Token) error {
		var a, o protocol.ID
		if err := idIn(adminOp, app, &a); err != nil {
			return err
		}
		if err := idIn(adminOp, other, &o); err != nil {
			return err
		}
		return fn(t, a, o)
	})
}

func (a *adminService) Login(ctx context.Context, r *wire.LoginRequest) (*wire.LoginAnswer, error) {
	password, err := passwordIn(r.GetPassword())
	if err != nil {
		return nil, err
	}
	defer password.Wipe()
	t, err := a.s.core.Login(ctx, password)
	if err != nil {
		return nil, err
	}
	return &wire.LoginAnswer{Token: t[:]}, nil
}

func (a *adminService) Unseal(ctx context.Context, r *wire.LoginRequest) (*wire.Empty, error) {
	password, err := passwordIn(r.GetPassword())
	if err != nil {
		return nil, err
	}
	defer password.Wipe()
	if err := a.s.core.Unseal(ctx, password); err != nil {
		return nil, err
	}
	return &wire.Empty{}, nil
}

func (a *adminService) Logout(ctx context.Context, r *wire.AdminRequest) (*wire.Empty, error) {
	return order(r.GetToken(), func(t sscc.Token) error { return a.s.core.Logout(ctx, t) })
}

func (a *adminService) Seal(ctx context.Context, r *wire.AdminRequest) (*wire.Empty, error) {
	return order(r.GetToken(), func(t sscc.Token) error { return a.s.core.Seal(ctx, t) })
}

func (a *adminService) CreateApp(ctx context.Context, r *wire.CreateAppRequest) (*wire.CreateAppAnswer, error) {
	return withToken(r.GetToken(), func(t sscc.Token) (*wire.CreateAppAnswer, error) {
		if r.GetLimit() > math.MaxUint8 {
			return nil, core.Errorf(core.Invalid, adminOp, "limit of %d tries, want 1 to %d", r.GetLimit(), protocol.MaxHeld)
		}
		id, err := a.s.core.CreateApp(ctx, t, sscc.AppRequest{Name: r.GetName(), Limit: uint8(r.GetLimit()), Destroy: r.GetDestroy(), Attest: r.GetAttest()})
		if err != nil {
			return nil, err
		}
		return &wire.CreateAppAnswer{App: id[:]}, nil
	})
}

func (a *adminService) Apps(ctx context.Context, r *wire.AdminRequest) (*wire.AppsAnswer, error) {
	return withToken(r.GetToken(), func(t sscc.Token) (*wire.AppsAnswer, error) {
		apps, err := a.s.core.Apps(ctx, t)
		if err != nil {
			return nil, err
		}
		out := &wire.AppsAnswer{}
		for _, p := range apps {
			out.Apps = append(out.Apps, &wire.App{App: p.ID[:], Name: p.Name, Revoked: p.Revoked, Limit: uint32(p.Limit), Destroy: p.Destroy, Created: p.Created, Attest: p.Attest})
		}
		return out, nil
	})
}

func (a *adminService) RevokeApp(ctx context.Context, r *wire.AppRequest) (*wire.Empty, error) {
	return about(r.GetToken(), r.GetApp(), r.GetApp(), func(t sscc.Token, app, _ protocol.ID) error {
		return a.s.core.RevokeApp(ctx, t, app)
	})
}

func (a *adminService) NewTicket(ctx context.Context, r *wire.AppRequest) (*wire.TicketAnswer, error) {
	return withToken(r.GetToken(), func(t sscc.Token) (*wire.TicketAnswer, error) {
		var app protocol.ID
		if err := idIn(adminOp, r.GetApp(), &app); err != nil {
			return nil, err
		}
		k, err := a.s.core.NewTicket(ctx, t, app)
		if err != nil {
			return nil, err
		}
		identity := k.Identity.Compressed()
		// gRPC marshals after this returns: the key's bytes go with the message.
		return &wire.TicketAnswer{Id: k.ID[:], App: k.App[:], Realm: k.Realm[:], Key: k.Key.Bytes(), Identity: identity[:], Expires: k.Expires}, nil
	})
}

func (a *adminService) Devices(ctx context.Context, r *wire.AppRequest) (*wire.DevicesAnswer, error) {
	return withToken(r.GetToken(), func(t sscc.Token) (*wire.DevicesAnswer, error) {
		var app protocol.ID
		if err := idIn(adminOp, r.GetApp(), &app); err != nil {
			return nil, err
		}
		devices, err := a.s.core.Devices(ctx, t, app)
		if err != nil {
			return nil, err
		}
		out := &wire.DevicesAnswer{}
		for _, d := range devices {
			out.Devices = append(out.Devices, &wire.Device{App: d.App[:], Device: d.ID[:], Revoked: d.Revoked, Created: d.Created})
		}
		return out, nil
	})
}

func (a *adminService) RevokeDevice(ctx context.Context, r *wire.DeviceRequest) (*wire.Empty, error) {
	return about(r.GetToken(), r.GetApp(), r.GetDevice(), func(t sscc.Token, app, device protocol.ID) error {
		return a.s.core.RevokeDevice(ctx, t, app, device)
	})
}

func (a *adminService) Users(ctx context.Context, r *wire.PageRequest) (*wire.UsersAnswer, error) {
	return withToken(r.GetToken(), func(t sscc.Token) (*wire.UsersAnswer, error) {
		users, next, err := a.s.core.Users(ctx, t, nilIfEmpty(r.GetAfter()), int(page(int(r.GetMost()))))
		if err != nil {
			return nil, err
		}
		out := &wire.UsersAnswer{Next: next}
		for _, u := range users {
			out.Users = append(out.Users, userOut(u))
		}
		return out, nil
	})
}

func nilIfEmpty(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

func userOut(u sscc.UserInfo) *wire.User {
	return &wire.User{App: u.App[:], User: u.ID[:], State: u.State, Mode: uint32(u.Mode), Gen: u.Gen, Used: u.Used, Limit: u.Limit,
		UnlockSeq: u.UnlockSeq, Device: u.Device[:], LastTry: u.LastTry}
}

func (a *adminService) FindUser(ctx context.Context, r *wire.FindUserRequest) (*wire.User, error) {
	return withToken(r.GetToken(), func(t sscc.Token) (*wire.User, error) {
		var user protocol.ID
		if err := idIn(adminOp, r.GetUser(), &user); err != nil {
			return nil, err
		}
		u, err := a.s.core.FindUser(ctx, t, user)
		if err != nil {
			return nil, err
		}
		return userOut(u), nil
	})
}

func (a *adminService) UnlockUser(ctx context.Context, r *wire.UserRequest) (*wire.Empty, error) {
	return about(r.GetToken(), r.GetApp(), r.GetUser(), func(t sscc.Token, app, user protocol.ID) error {
		return a.s.core.UnlockUser(ctx, t, app, user)
	})
}

func (a *adminService) LockUser(ctx context.Context, r *wire.UserRequest) (*wire.Empty, error) {
	return about(r.GetToken(), r.GetApp(), r.GetUser(), func(t sscc.Token, app, user protocol.ID) error {
		return a.s.core.LockUser(ctx, t, app, user)
	})
}

func (a *adminService) RemoveUser(ctx context.Context, r *wire.UserRequest) (*wire.Empty, error) {
	return about(r.GetToken(), r.GetApp(), r.GetUser(), func(t sscc.Token, app, user protocol.ID) error {
		return a.s.core.RemoveUser(ctx, t, app, user)
	})
}

func (a *adminService) UnbindUser(ctx context.Context, r *wire.UserRequest) (*wire.Empty, error) {
	return about(r.GetToken(), r.GetApp(), r.GetUser(), func(t sscc.Token, app, user protocol.ID) error {
		return a.s.core.UnbindUser(ctx, t, app, user)
	})
}

func (a *adminService) Describe(ctx context.Context, r *wire.AdminRequest) (*wire.Json, error) {
	return document(r.GetToken(), func(t sscc.Token) (any, error) { return a.s.core.Describe(ctx, t) })
}

func (a *adminService) AuditPage(ctx context.Context, r *wire.AuditPageRequest) (*wire.Json, error) {
	return document(r.GetToken(), func(t sscc.Token) (any, error) {
		return a.s.core.AuditPage(ctx, t, r.GetFrom(), int(page(int(r.GetMost()))))
	})
}

func (a *adminService) VerifyAudit(ctx context.Context, r *wire.AdminRequest) (*wire.Json, error) {
	return document(r.GetToken(), func(t sscc.Token) (any, error) { return a.s.core.VerifyAudit(ctx, t) })
}

// rotateNews is how often Rotate tells how far it is.
const rotateNews = 250 * time.Millisecond

// rotated is what Rotate tells.
type rotated struct {
	Records int `json:"records"` // sealed anew so far
}

func (a *adminService) Rotate(r *wire.AdminRequest, to wire.Admin_RotateServer) error {
	t, err := token(r.GetToken())
	if err != nil {
		return err
	}
	defer secret.Zero(t[:])
	tell := func(n int) error {
		text, err := json.Marshal(rotated{n})
		if err != nil {
			return core.Errorf(core.Internal, adminOp, "%w", err)
		}
		return to.Send(&wire.Json{Text: text})
	}
	var last time.Time
	done := 0
	err = a.s.core.RotateKeys(to.Context(), t, func(n int) {
		done = n
		if time.Since(last) >= rotateNews {
			last = time.Now()
			_ = tell(n) // whoever left also ended the context
		}
	})
	if err != nil {
		return err
	}
	return tell(done)
}

// document answers with JSON: reports whose fields grow.
func document(b []byte, fn func(sscc.Token) (any, error)) (*wire.Json, error) {
	return withToken(b, func(t sscc.Token) (*wire.Json, error) {
		v, err := fn(t)
		if err != nil {
			return nil, err
		}
		text, err := json.Marshal(v)
		if err != nil {
			return nil, core.Errorf(core.Internal, adminOp, "%w", err)
		}
		return &wire.Json{Text: text}, nil
	})
}
