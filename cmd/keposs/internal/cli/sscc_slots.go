package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/cmd/keposs/internal/server"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sscc"
)

// What opens the root key: the administrator's password, a backup password for
// a safe, and a key file where the operator's policy allows it. These commands
// work on an SS-CC that is not running.

// newPasswordFlag is --new-fd: where a script hands over the new password.
type newPasswordFlag struct{ passwordFlag }

func (p *newPasswordFlag) register(c *cobra.Command) {
	c.Flags().IntVar(&p.fd, "new-fd", -1, "read the new password from the inherited descriptor `N`, up to the line end")
}

// offline logs in with the password read by p, or with the backup password, and
// runs do.
func (e *Env) offline(ctx context.Context, op string, p *passwordFlag, backup bool, do func(context.Context, *sscc.Server, sscc.Token) error) error {
	f, err := e.serverFolder()
	if err != nil {
		return err
	}
	err = f.Offline(ctx, op, func(ctx context.Context, s *sscc.Server) (tok sscc.Token, err error) {
		prompt := "Administrator's password"
		if backup {
			prompt = "Backup password"
		}
		password, err := p.read(ctx, e, prompt, false)
		if err != nil {
			return tok, err
		}
		defer password.Wipe()
		if backup {
			return s.LoginBackup(ctx, password)
		}
		return s.Login(ctx, password)
	}, do)
	return passwordAdvice(err)
}

// setPassword asks for a new password and gives it to set.
func (p *newPasswordFlag) set(ctx context.Context, e *Env, prompt string, set func(password, again *secret.Buffer) error) error {
	password, err := p.read(ctx, e, prompt, true)
	if err != nil {
		return err
	}
	defer password.Wipe()
	again := password.Clone()
	defer again.Wipe()
	return set(password, again)
}

func ssccPassword(e *Env) *cobra.Command {
	var p passwordFlag
	var fresh newPasswordFlag
	var backup bool
	c := &cobra.Command{
		Use:   "password",
		Short: "Change the administrator's password, while SS-CC is stopped",
		Long: `Change the administrator's password, while SS-CC is stopped. Where it was lost, the
backup password opens the root key: --with-backup.`,
		Example: `  keposs ss-cc password
  keposs ss-cc password --with-backup
  keposs ss-cc password --password-fd 3 --new-fd 4 3<old 4<new`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			err := e.offline(c.Context(), "ss-cc password", &p, backup, func(ctx context.Context, s *sscc.Server, tok sscc.Token) error {
				return fresh.set(ctx, e, "New administrator's password", func(password, again *secret.Buffer) error {
					return s.ChangePassword(ctx, tok, password, again)
				})
			})
			if err != nil {
				return err
			}
			return e.reportDone(done{Done: "password"}, "the administrator's password is changed")
		},
	}
	p.register(c)
	fresh.register(c)
	c.Flags().BoolVar(&backup, "with-backup", false, "log in with the backup password")
	return c
}

func ssccBackup(e *Env) *cobra.Command {
	var p passwordFlag
	var fresh newPasswordFlag
	var drop bool
	c := &cobra.Command{
		Use:   "backup-password",
		Short: "Set or drop a second password that opens the root key, while SS-CC is stopped",
		Example: `  keposs ss-cc backup-password
  keposs ss-cc backup-password --drop`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			text := "the backup password is set: keep it in a safe, and try it with `keposs ss-cc password --with-backup`"
			err := e.offline(c.Context(), "ss-cc backup-password", &p, false, func(ctx context.Context, s *sscc.Server, tok sscc.Token) error {
				if drop {
					text = "the backup password opens nothing any more"
					return s.DropSlot(ctx, tok, sscc.SlotBackup)
				}
				return fresh.set(ctx, e, "New backup password", func(password, again *secret.Buffer) error {
					return s.SetBackup(ctx, tok, password, again)
				})
			})
			if err != nil {
				return err
			}
			return e.reportDone(done{Done: "backup-password"}, text)
		},
	}
	p.register(c)
	fresh.register(c)
	c.Flags().BoolVar(&drop, "drop", false, "make the backup password useless")
	return c
}

func ssccAuto(e *Env) *cobra.Command {
	var p passwordFlag
	var file string
	var drop bool
	c := &cobra.Command{
		Use:   "auto-unseal",
		Short: "Let a key file open the root key at start, or stop that, while SS-CC is stopped",
		Long: `Let a key file open the root key, so that ` + "`keposs ss-cc serve --key-file FILE`" + ` serves
without the administrator. Who reads that file and the database opens every key
ring, so it belongs on another disk or into a systemd credential; every terminal's
status says that SS-CC opens itself. A file that does not exist is made, with
random bytes; one of your own holds at least 32 random bytes.`,
		Example: `  keposs ss-cc auto-unseal --key-file /run/keys/keposs
  keposs ss-cc auto-unseal --drop`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			const op = "ss-cc auto-unseal"
			if drop == (file != "") {
				return usagef(op, "want --key-file FILE or --drop")
			}
			text := "who reads " + file + " opens the root key now"
			err := e.offline(c.Context(), op, &p, false, func(ctx context.Context, s *sscc.Server, tok sscc.Token) error {
				if drop {
					text = "only the administrator opens the root key now"
					return s.DropSlot(ctx, tok, sscc.SlotAuto)
				}
				if err := server.MakeKeyFile(op, file); err != nil && core.CodeOf(err) != core.State {
					return err
				}
				content, err := server.ReadKeyFile(op, file)
				if err != nil {
					return err
				}
				defer content.Wipe()
				return s.AllowAuto(ctx, tok, content)
			})
			if err != nil {
				return err
			}
			return e.reportDone(done{Done: "auto-unseal"}, text)
		},
	}
	p.register(c)
	c.Flags().StringVar(&file, "key-file", "", "`file` whose content opens the root key")
	c.Flags().BoolVar(&drop, "drop", false, "no file opens the root key any more")
	return c
}
