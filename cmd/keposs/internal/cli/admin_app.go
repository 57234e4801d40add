package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sscc"
)

func adminApp(e *Env) *cobra.Command {
	return group("app", "Create, list and revoke apps", "  keposs admin app create bank\n  keposs admin app list",
		adminAppCreate(e), adminAppList(e), adminAppRevoke(e))
}

// appResult is an app in --json.
type appResult struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Limit   uint8  `json:"limit,omitempty"` // 0 = the server's default
	Destroy bool   `json:"destroy"`
	Revoked bool   `json:"revoked"`
	Created string `json:"created,omitempty"`
	Attest  string `json:"attest,omitempty"`
}

func adminAppCreate(e *Env) *cobra.Command {
	var r sscc.AppRequest
	c := &cobra.Command{
		Use:   "create NAME",
		Short: "Create an app id: opens the life of its terminals (clause 17.1)",
		Example: `  keposs admin app create bank
  keposs admin app create vault --limit 3 --destroy
  keposs admin app create phone --attest play=com.example.bank`,
		Args: exactly(1, "one NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			r.Name = args[0]
			if r.Limit > protocol.MaxHeld {
				return usagef("admin app create", "--limit %d, want 1 to %d", r.Limit, protocol.MaxHeld)
			}
			return e.withAdmin(c.Context(), "admin app create", func(ctx context.Context, a *administrator) error {
				id, err := a.CreateApp(ctx, r)
				if err != nil {
					return err
				}
				out := appResult{ID: id.String(), Name: r.Name, Limit: r.Limit, Destroy: r.Destroy, Attest: r.Attest}
				return e.Report(out, func(w io.Writer) {
					fmt.Fprintf(w, "app      %s (%s)\nnext     `keposs admin ticket %s --out FILE`\n", id, r.Name, id)
				})
			})
		},
	}
	c.Flags().Uint8Var(&r.Limit, "limit", 0, "wrong tries of a user until the lock, 1 to 10 (default the server's)")
	c.Flags().StringVar(&r.Attest, "attest", "", "serve only terminals that a `PLATFORM=SUBJECT` vouches for; the service's key stands in config.toml")
	c.Flags().BoolVar(&r.Destroy, "destroy", false, "destroy a user's sealed key at the limit instead of locking it")
	return c
}

func adminAppList(e *Env) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the apps", Example: "  keposs admin app list --json", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return e.withAdmin(c.Context(), "admin app list", func(ctx context.Context, a *administrator) error {
				apps, err := a.Apps(ctx)
				if err != nil {
					return err
				}
				out := struct {
					Apps []appResult `json:"apps"`
				}{make([]appResult, len(apps))}
				for i, x := range apps {
					out.Apps[i] = appResult{x.ID.String(), x.Name, x.Limit, x.Destroy, x.Revoked, when(x.Created), x.Attest}
				}
				return e.Report(out, func(w io.Writer) {
					t := newTable(w, "APP", "NAME", "LIMIT", "AT THE LIMIT", "STATE", "CREATED")
					for _, x := range out.Apps {
						t.row(x.ID, x.Name, x.Limit, pickText(x.Destroy, "destroy", "lock"), pickText(x.Revoked, "revoked", "active"), x.Created)
					}
					t.end()
				})
			})
		},
	}
}

func adminAppRevoke(e *Env) *cobra.Command {
	return &cobra.Command{
		Use: "revoke APP", Short: "Revoke an app id: ends its terminals at once, for good",
		Example: "  keposs admin app revoke 0123456789abcdef0123456789abcdef",
		Args:    exactly(1, "one APP"),
		RunE: func(c *cobra.Command, args []string) error {
			const op = "admin app revoke"
			app, err := idArg(op, "app", args[0])
			if err != nil {
				return err
			}
			return e.withAdmin(c.Context(), op, func(ctx context.Context, a *administrator) error {
				if err := a.RevokeApp(ctx, app); err != nil {
					return err
				}
				return e.reportDone(done{Done: "revoke", App: app.String()}, "revoked app "+app.String())
			})
		},
	}
}

// ticketResult is what `keposs admin ticket --json` prints.
type ticketResult struct {
	App      string `json:"app"`
	Ticket   string `json:"ticket"`
	Endpoint string `json:"endpoint"`
	Expires  string `json:"expires"`
	Output   string `json:"output"`
}

func adminTicket(e *Env) *cobra.Command {
	var out, endpoint, ca string
	c := &cobra.Command{
		Use:   "ticket APP",
		Short: "Write the file that provisions one terminal",
		Long: `Write the file that provisions one terminal: app id, endpoint, SS-CC's identity key,
its certificate authority and a key good once. The file is a secret until it is
used; it has mode 0600.`,
		Example: `  keposs admin ticket APP --out bank.ticket
  keposs admin ticket APP --out bank.ticket --endpoint keys.example.org:443 --ca system`,
		Args: exactly(1, "one APP"),
		RunE: func(c *cobra.Command, args []string) error {
			const op = "admin ticket"
			app, err := idArg(op, "app", args[0])
			if err != nil {
				return err
			}
			if out == "-" && e.json {
				return usagef(op, "--out - and --json both want standard output: name a file")
			}
			return e.withAdmin(c.Context(), op, func(ctx context.Context, a *administrator) error {
				at := place{Public: a.where.Public, CA: a.where.CA}
				if endpoint != "" {
					at.Public = endpoint
				}
				switch ca {
				case "":
				case "system":
					at.CA = ca
				default:
					pem, err := e.readInput(op, ca, 64<<10)
					if err != nil {
						return err
					}
					at.CA = string(pem)
				}
				t, err := a.NewTicket(ctx, app)
				if err != nil {
					return err
				}
				defer t.Key.Wipe()
				t.Endpoint, t.CA = at.Public, at.CA
				text := t.Marshal()
				defer text.Wipe()
				if err := e.writeOutput(op, out, text.Bytes(), 0o600); err != nil {
					return err
				}
				if out == "-" {
					return nil
				}
				r := ticketResult{app.String(), t.ID.String(), t.Endpoint, when(t.Expires), out}
				return e.Report(r, func(w io.Writer) {
					fmt.Fprintf(w, "%s for one terminal of app %s at %s, until %s\nnext     `keposs provision %s` on the terminal\n", out, app, r.Endpoint, r.Expires, out)
				})
			})
		},
	}
	f := c.Flags()
	f.StringVarP(&out, "out", "o", "", "`file` to write, - = standard output (required)")
	f.StringVar(&endpoint, "endpoint", "", "`host:port` terminals reach SS-CC by (default the first configured host)")
	f.StringVar(&ca, "ca", "", "PEM `file` of the certificate authority terminals trust, or system (default SS-CC's own)")
	_ = c.MarkFlagRequired("out")
	return c
}

func adminDevice(e *Env) *cobra.Command {
	return group("device", "List and revoke an app's terminals", "  keposs admin device list APP",
		adminDeviceList(e), adminDeviceRevoke(e))
}

type deviceResult struct {
	App     string `json:"app"`
	ID      string `json:"id"`
	Revoked bool   `json:"revoked"`
	Created string `json:"created"`
}

func adminDeviceList(e *Env) *cobra.Command {
	return &cobra.Command{
		Use: "list APP", Short: "List an app's terminals", Example: "  keposs admin device list APP --json", Args: exactly(1, "one APP"),
		RunE: func(c *cobra.Command, args []string) error {
			const op = "admin device list"
			app, err := idArg(op, "app", args[0])
			if err != nil {
				return err
			}
			return e.withAdmin(c.Context(), op, func(ctx context.Context, a *administrator) error {
				devices, err := a.Devices(ctx, app)
				if err != nil {
					return err
				}
				out := struct {
					Devices []deviceResult `json:"devices"`
				}{make([]deviceResult, len(devices))}
				for i, d := range devices {
					out.Devices[i] = deviceResult{d.App.String(), d.ID.String(), d.Revoked, when(d.Created)}
				}
				return e.Report(out, func(w io.Writer) {
					t := newTable(w, "DEVICE", "STATE", "CREATED")
					for _, d := range out.Devices {
						t.row(d.ID, pickText(d.Revoked, "revoked", "active"), d.Created)
					}
					t.end()
				})
			})
		},
	}
}

func adminDeviceRevoke(e *Env) *cobra.Command {
	return &cobra.Command{
		Use: "revoke APP DEVICE", Short: "Revoke one terminal: it is refused at once, for good",
		Example: "  keposs admin device revoke APP DEVICE", Args: exactly(2, "APP and DEVICE"),
		RunE: func(c *cobra.Command, args []string) error {
			const op = "admin device revoke"
			app, err := idArg(op, "app", args[0])
			if err != nil {
				return err
			}
			device, err := idArg(op, "device", args[1])
			if err != nil {
				return err
			}
			return e.withAdmin(c.Context(), op, func(ctx context.Context, a *administrator) error {
				if err := a.RevokeDevice(ctx, app, device); err != nil {
					return err
				}
				return e.reportDone(done{"revoke", app.String(), device.String()}, "revoked device "+device.String())
			})
		},
	}
}
