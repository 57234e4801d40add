package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
)

// adminCommands are the administrator's services (clause 10.2, table 1).
func adminCommands(e *Env) []*cobra.Command {
	return []*cobra.Command{group("admin", "Administer SS-CC: apps, tickets, devices, users, audit",
		"  keposs admin login\n  keposs admin app create bank\n  keposs admin ticket APP --out bank.ticket",
		adminLogin(e), adminLogout(e), adminApp(e), adminTicket(e), adminDevice(e), adminUser(e), adminStatus(e), adminAudit(e), adminRotate(e))}
}

// done is what a command prints that changed one thing.
type done struct {
	Done string `json:"done"`
	App  string `json:"app,omitempty"`
	ID   string `json:"id,omitempty"`
}

func (e *Env) reportDone(d done, text string) error {
	return e.Report(d, func(w io.Writer) { fmt.Fprintln(w, text) })
}

// idArg reads a 32-digit id.
func idArg(op, what, text string) (protocol.ID, error) {
	id, err := protocol.ParseID(text)
	if err != nil {
		return id, usagef(op, "%s %.40q: want 32 hex digits", what, text)
	}
	return id, nil
}

func when(unix int64) string {
	if unix == 0 {
		return "-"
	}
	return time.Unix(unix, 0).UTC().Format(time.RFC3339)
}

func adminLogin(e *Env) *cobra.Command {
	var p passwordFlag
	var at target
	c := &cobra.Command{
		Use:   "login",
		Short: "Open an administrator's session with the password",
		Long: `Open an administrator's session with the password. One session exists at a time; it
ends by logout, after an hour, or when another begins. On a sealed SS-CC the login
opens the keys, and serving starts at logout or keposs ss-cc unseal.`,
		Example: `  keposs admin login
  keposs admin login --endpoint keys.example.org:7443 --ca ca.pem`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			const op = "admin login"
			ctx := c.Context()
			a, where, err := at.dial(ctx, e, op)
			if err != nil {
				return err
			}
			defer a.Close()
			password, err := p.read(ctx, e, "Administrator's password", false)
			if err != nil {
				return err
			}
			defer password.Wipe()
			if err := a.Login(ctx, password); err != nil {
				return passwordAdvice(err)
			}
			if err := e.saveSession(op, where, a.Token()); err != nil {
				return err
			}
			return e.reportDone(done{Done: "login"}, "logged in at "+where.Endpoint)
		},
	}
	p.register(c)
	at.register(c)
	return c
}

func adminLogout(e *Env) *cobra.Command {
	return &cobra.Command{
		Use:     "logout",
		Short:   "End the administrator's session",
		Example: "  keposs admin logout",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			err := e.withAdmin(c.Context(), "admin logout", func(ctx context.Context, a *administrator) error {
				return a.Logout(ctx)
			})
			if err != nil && core.CodeOf(err) != core.Auth { // an ended session is a logout
				return err
			}
			if err := e.forgetSession(); err != nil {
				return err
			}
			return e.reportDone(done{Done: "logout"}, "logged out")
		},
	}
}

func adminStatus(e *Env) *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "Show the realm: state, apps, keys, audit log",
		Example: "  keposs admin status\n  keposs admin status --json",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return e.withAdmin(c.Context(), "admin status", func(ctx context.Context, a *administrator) error {
				d, err := a.Describe(ctx)
				if err != nil {
					return err
				}
				out := struct {
					State    string `json:"state"`
					Officer  string `json:"officer"`
					Realm    string `json:"realm"`
					AutoSeal bool   `json:"auto_unseal"`
					Apps     int    `json:"apps"`
					AuditSeq uint64 `json:"audit_seq"`
					Endpoint string `json:"endpoint"`
					Backup   bool   `json:"backup_password"`
					KeyGen   uint16 `json:"key_generation"`
					KeyGens  int    `json:"key_generations"` // 1 = no rotation is under way
					Freezes  uint32 `json:"freezes"`
				}{d.State, d.Officer, d.Realm.String(), d.AutoSeal, d.Apps, d.AuditSeq, a.where.Endpoint, d.Backup, d.KeyGen, d.KeyGens, d.Freezes}
				return e.Report(out, func(w io.Writer) {
					fmt.Fprintf(w, "state    %s\nofficer  %s\nrealm    %s\nendpoint %s\napps     %d\naudit    %d events\n",
						out.State, out.Officer, out.Realm, out.Endpoint, out.Apps, out.AuditSeq)
					fmt.Fprintf(w, "keys     generation %d\n", out.KeyGen)
					if out.KeyGens > 1 {
						fmt.Fprintln(w, "rotation UNFINISHED: `keposs admin rotate` ends it")
					}
					fmt.Fprintf(w, "backup   %s\n", pickText(out.Backup, "a second password opens the root key", "none: who loses the password loses every key"))
					if out.Freezes > 0 {
						fmt.Fprintf(w, "frozen   %d times, after a restore or a rollback: `keposs admin user list` shows who still is\n", out.Freezes)
					}
					if out.AutoSeal {
						fmt.Fprintln(w, "unseal   AUTOMATIC: whoever starts this machine opens the keys")
					}
				})
			})
		},
	}
}
