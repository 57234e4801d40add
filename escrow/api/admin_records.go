package api

import (
	"context"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/core/sscc"
	"github.com/keposs/keposs/escrow/api/internal/wire"
)

// maxPage bounds how many records one call lists.
const maxPage = 1000

// CreateApp makes an app and returns its id.
func (a *Admin) CreateApp(ctx context.Context, r sscc.AppRequest) (id protocol.ID, err error) {
	ans, err := admin(ctx, a, "create app", func(ctx context.Context, c wire.AdminClient) (*wire.CreateAppAnswer, error) {
		return c.CreateApp(ctx, &wire.CreateAppRequest{Token: a.token[:], Name: r.Name, Limit: uint32(r.Limit), Destroy: r.Destroy, Attest: r.Attest})
	})
	if err != nil {
		return id, err
	}
	return id, idIn("api: create app", ans.GetApp(), &id)
}

// Apps lists the apps.
func (a *Admin) Apps(ctx context.Context) ([]sscc.AppInfo, error) {
	ans, err := admin(ctx, a, "apps", func(ctx context.Context, c wire.AdminClient) (*wire.AppsAnswer, error) {
		return c.Apps(ctx, a.request())
	})
	if err != nil {
		return nil, err
	}
	out := make([]sscc.AppInfo, len(ans.GetApps()))
	for i, p := range ans.GetApps() {
		out[i] = sscc.AppInfo{Name: p.GetName(), Revoked: p.GetRevoked(), Limit: uint8(p.GetLimit()), Destroy: p.GetDestroy(), Created: p.GetCreated(), Attest: p.GetAttest()}
		if err := idIn("api: apps", p.GetApp(), &out[i].ID); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// RevokeApp refuses an app's devices and users from now on.
func (a *Admin) RevokeApp(ctx context.Context, app protocol.ID) error {
	_, err := admin(ctx, a, "revoke app", func(ctx context.Context, c wire.AdminClient) (*wire.Empty, error) {
		return c.RevokeApp(ctx, &wire.AppRequest{Token: a.token[:], App: app[:]})
	})
	return err
}

// NewTicket makes a single-use ticket. The caller sets Endpoint and CA to what
// the terminal is to use, and wipes Key.
func (a *Admin) NewTicket(ctx context.Context, app protocol.ID) (*Ticket, error) {
	const op = "api: new ticket"
	ans, err := admin(ctx, a, "new ticket", func(ctx context.Context, c wire.AdminClient) (*wire.TicketAnswer, error) {
		return c.NewTicket(ctx, &wire.AppRequest{Token: a.token[:], App: app[:]})
	})
	if err != nil {
		return nil, err
	}
	t := &Ticket{Key: secret.Copy(ans.GetKey()), Expires: ans.GetExpires()}
	secret.Zero(ans.GetKey())
	for _, f := range []struct {
		from []byte
		to   *protocol.ID
	}{{ans.GetId(), &t.ID}, {ans.GetApp(), &t.App}, {ans.GetRealm(), &t.Realm}} {
		if err := idIn(op, f.from, f.to); err != nil {
			t.Key.Wipe()
			return nil, err
		}
	}
	if t.Identity, err = sm.ParsePoint(ans.GetIdentity()); err != nil || t.Key.Len() != ticketKeySize {
		t.Key.Wipe()
		return nil, core.Errorf(core.Unavailable, op, "the server's ticket is malformed")
	}
	return t, nil
}

// Devices lists the devices of an app.
func (a *Admin) Devices(ctx context.Context, app protocol.ID) ([]sscc.DeviceInfo, error) {
	ans, err := admin(ctx, a, "devices", func(ctx context.Context, c wire.AdminClient) (*wire.DevicesAnswer, error) {
		return c.Devices(ctx, &wire.AppRequest{Token: a.token[:], App: app[:]})
	})
	if err != nil {
		return nil, err
	}
	out := make([]sscc.DeviceInfo, len(ans.GetDevices()))
	for i, d := range ans.GetDevices() {
		out[i] = sscc.DeviceInfo{Revoked: d.GetRevoked(), Created: d.GetCreated()}
		if err := idIn("api: devices", d.GetApp(), &out[i].App); err != nil {
			return nil, err
		}
		if err := idIn("api: devices", d.GetDevice(), &out[i].ID); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// RevokeDevice refuses a device from now on.
func (a *Admin) RevokeDevice(ctx context.Context, app, device protocol.ID) error {
	_, err := admin(ctx, a, "revoke device", func(ctx context.Context, c wire.AdminClient) (*wire.Empty, error) {
		return c.RevokeDevice(ctx, &wire.DeviceRequest{Token: a.token[:], App: app[:], Device: device[:]})
	})
	return err
}

// Users lists at most most users (1..1000) after a place a former call gave;
// nil starts, next nil is the end.
func (a *Admin) Users(ctx context.Context, after []byte, most int) (users []sscc.UserInfo, next []byte, err error) {
	ans, err := admin(ctx, a, "users", func(ctx context.Context, c wire.AdminClient) (*wire.UsersAnswer, error) {
		return c.Users(ctx, &wire.PageRequest{Token: a.token[:], After: after, Most: page(most)})
	})
	if err != nil {
		return nil, nil, err
	}
	users = make([]sscc.UserInfo, len(ans.GetUsers()))
	for i, u := range ans.GetUsers() {
		if users[i], err = userIn("api: users", u); err != nil {
			return nil, nil, err
		}
	}
	if len(ans.GetNext()) > 0 {
		next = ans.GetNext()
	}
	return users, next, nil
}

// FindUser looks a user up in every app.
func (a *Admin) FindUser(ctx context.Context, user protocol.ID) (u sscc.UserInfo, err error) {
	ans, err := admin(ctx, a, "find user", func(ctx context.Context, c wire.AdminClient) (*wire.User, error) {
		return c.FindUser(ctx, &wire.FindUserRequest{Token: a.token[:], User: user[:]})
	})
	if err != nil {
		return u, err
	}
	return userIn("api: find user", ans)
}

func userIn(op string, u *wire.User) (out sscc.UserInfo, err error) {
	out = sscc.UserInfo{State: u.GetState(), Mode: protocol.Mode(u.GetMode()), Gen: u.GetGen(), Used: u.GetUsed(), Limit: u.GetLimit(),
		UnlockSeq: u.GetUnlockSeq(), LastTry: u.GetLastTry()}
	if err := idIn(op, u.GetApp(), &out.App); err != nil {
		return out, err
	}
	if err := idIn(op, u.GetUser(), &out.ID); err != nil {
		return out, err
	}
	return out, idIn(op, u.GetDevice(), &out.Device)
}

// UnlockUser sets a user's count to 0.
func (a *Admin) UnlockUser(ctx context.Context, app, user protocol.ID) error {
	_, err := admin(ctx, a, "unlock user", func(ctx context.Context, c wire.AdminClient) (*wire.Empty, error) {
		return c.UnlockUser(ctx, a.user(app, user))
	})
	return err
}

// LockUser locks a user until UnlockUser.
func (a *Admin) LockUser(ctx context.Context, app, user protocol.ID) error {
	_, err := admin(ctx, a, "lock user", func(ctx context.Context, c wire.AdminClient) (*wire.Empty, error) {
		return c.LockUser(ctx, a.user(app, user))
	})
	return err
}

// RemoveUser drops a user's record for good and ends the bound terminal's life.
func (a *Admin) RemoveUser(ctx context.Context, app, user protocol.ID) error {
	_, err := admin(ctx, a, "remove user", func(ctx context.Context, c wire.AdminClient) (*wire.Empty, error) {
		return c.RemoveUser(ctx, a.user(app, user))
	})
	return err
}

// UnbindUser drops a user's record for good; the terminal may hold a new user.
func (a *Admin) UnbindUser(ctx context.Context, app, user protocol.ID) error {
	_, err := admin(ctx, a, "unbind user", func(ctx context.Context, c wire.AdminClient) (*wire.Empty, error) {
		return c.UnbindUser(ctx, a.user(app, user))
	})
	return err
}

func (a *Admin) user(app, user protocol.ID) *wire.UserRequest {
	return &wire.UserRequest{Token: a.token[:], App: app[:], User: user[:]}
}
