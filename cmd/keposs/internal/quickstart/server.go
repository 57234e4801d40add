package quickstart

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/cmd/keposs/internal/server"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/core/sscc"
	"github.com/keposs/keposs/escrow/api"
)

func (r *run) serverDir() string { return filepath.Join(r.dir, "ss-cc") }
func (r *run) terminal() string  { return filepath.Join(r.dir, "terminal") }

// administrator is the person with the password: a drawn one, kept in memory
// for this run only.
type administrator struct {
	*api.Admin
	password *secret.Buffer
	ca       string // PEM
}

// startServer makes a new SS-CC and runs it as a process of its own.
func (r *run) startServer(ctx context.Context) error {
	const op = "quickstart"
	password, err := randomPassword(sm.Rand())
	if err != nil {
		return err
	}
	r.admin = &administrator{password: password}
	if err := initServer(ctx, r.dir, password); err != nil {
		return err
	}
	r.screen.did("root key made and sealed under the administrator's password, certificate issued")
	if r.server, err = startServer(ctx, r.dir); err != nil {
		return err
	}
	s := r.server.ready
	r.screen.did("SS-CC runs as process %d at %s, %s as plugin process %d", s.PID, s.Listening, s.Backend, s.BackendID)
	if _, r.admin.ca, err = server.Folder(r.serverDir()).Find(op); err != nil {
		return err
	}
	if r.admin.Admin, err = api.DialAdmin(ctx, s.Listening, r.admin.ca); err != nil {
		return err
	}
	if s.State != "SERVING" {
		if err := r.admin.Unseal(ctx, password); err != nil {
			return err
		}
		r.screen.did("it started %s and was unsealed by the administrator", s.State)
	}
	return nil
}

// as runs do in a session of the administrator: each needs a login.
func (a *administrator) as(ctx context.Context, do func() error) error {
	if err := a.Login(ctx, a.password); err != nil {
		return err
	}
	return errors.Join(do(), a.Logout(ctx))
}

// close ends the connection and wipes the password.
func (a *administrator) close() error {
	a.password.Wipe()
	if a.Admin == nil {
		return nil
	}
	return a.Admin.Close()
}

// makeApp creates the app and draws the single-use ticket for its terminal.
func (r *run) makeApp(ctx context.Context) error {
	return r.admin.as(ctx, func() (err error) {
		if r.app, err = r.admin.CreateApp(ctx, sscc.AppRequest{Name: "quickstart"}); err != nil {
			return err
		}
		r.screen.did("app %s", r.app)
		t, err := r.admin.NewTicket(ctx, r.app)
		if err != nil {
			return err
		}
		defer t.Key.Wipe()
		t.Endpoint, t.CA = r.server.ready.Listening, r.admin.ca
		r.ticket = t.Marshal()
		r.screen.did("a ticket for one terminal")
		return nil
	})
}

// makeTerminal provisions the terminal's folder with the ticket.
func (r *run) makeTerminal(ctx context.Context) error {
	defer r.ticket.Wipe()
	b, err := client.Provision(ctx, r.terminal(), r.ticket.Bytes())
	if err != nil {
		return err
	}
	r.screen.did("device %s: its key was made here and enrolled", b.Device)
	return nil
}

// unlock is the administrator's order for one user.
func (a *administrator) unlock(ctx context.Context, app, user client.ID) error {
	return a.as(ctx, func() error { return a.UnlockUser(ctx, app, user) })
}

// initServer runs `ss-cc init`. The password goes through a pipe: it stands in
// no argument and no variable.
func initServer(ctx context.Context, dir string, password *secret.Buffer) error {
	const op = "quickstart: make SS-CC"
	exe, err := os.Executable()
	if err != nil {
		return core.Errorf(core.Environment, op, "own executable: %w", err)
	}
	in, out, err := os.Pipe()
	if err != nil {
		return core.Errorf(core.Environment, op, "pipe: %w", err)
	}
	defer in.Close()
	_, err = out.Write(password.Bytes()) // 32 bytes fit any pipe
	if err = errors.Join(err, out.Close()); err != nil {
		return core.Errorf(core.Environment, op, "pipe: %w", err)
	}
	cmd := exec.CommandContext(ctx, exe, "ss-cc", "init", "--dir", dir, "--password-fd", "3")
	cmd.Args[0] = "keposs"
	cmd.ExtraFiles = []*os.File{in}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		return core.Errorf(core.Internal, op, "%w: %s", err, bytes.TrimSpace(said.Bytes()))
	}
	return nil
}
