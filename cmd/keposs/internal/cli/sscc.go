package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/cmd/keposs/internal/server"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// ssccCommands run SS-CC itself.
func ssccCommands(e *Env) []*cobra.Command {
	return []*cobra.Command{group("ss-cc", "Set up and run the server that keeps the sealed keys",
		"  keposs ss-cc init\n  keposs ss-cc serve\n  keposs ss-cc unseal",
		ssccInit(e), ssccServe(e), ssccUnseal(e), ssccSeal(e), ssccStatus(e),
		ssccPassword(e), ssccBackup(e), ssccAuto(e), ssccDecommission(e),
		ssccMigrate(e), ssccSnapshot(e), ssccRestore(e), ssccVerify(e))}
}

// serverFolder is where this run's SS-CC lives.
func (e *Env) serverFolder() (server.Folder, error) {
	l, err := e.Layout()
	return server.Folder(l.Server), err
}

// realmResult is what `keposs ss-cc init --json` prints.
type realmResult struct {
	Realm    string `json:"realm"`
	Identity string `json:"identity_key"` // PEM
	Folder   string `json:"folder"`
	Backend  string `json:"backend"`
}

// backendSettings reads a TOML file of a backend's settings; "" is none.
func (e *Env) backendSettings(op, file string) (map[string]string, error) {
	if file == "" {
		return nil, nil
	}
	b, err := e.readInput(op, file, 64<<10)
	if err != nil {
		return nil, err
	}
	return server.ParseSettings(b)
}

func ssccInit(e *Env) *cobra.Command {
	var p passwordFlag
	var o server.InitOptions
	var settings string
	var set []string
	c := &cobra.Command{
		Use:   "init",
		Short: "Set up SS-CC: certificate, database, and the administrator's password",
		Long: `Set up SS-CC in the data folder: configuration, certificate, database, its
identity key and the root key, sealed under the administrator's password. The
password has at least 10 bytes; who loses it loses every key this server keeps.

If the command is interrupted, run it again with the same password: it completes
what was begun, or starts over.`,
		Example: `  keposs ss-cc init
  keposs ss-cc init --hosts keys.example.org,192.0.2.7 --listen :7443
  keposs ss-cc init --backend my-store --set path=/srv/keposs/records
  keposs ss-cc init --password-fd 3 3<password-file`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			const op = "ss-cc init"
			f, err := e.serverFolder()
			if err != nil {
				return err
			}
			if o.Backend.Settings, err = e.backendSettings(op, settings); err != nil {
				return err
			}
			given, err := parseConfig(op, "--set", set)
			if err != nil {
				return err
			}
			if o.Backend.Settings == nil {
				o.Backend.Settings = given
			} else {
				maps.Copy(o.Backend.Settings, given)
			}
			o.Password = func(ctx context.Context) (*secret.Buffer, error) {
				return p.read(ctx, e, "New administrator's password", true)
			}
			r, err := f.Init(c.Context(), o)
			if err != nil {
				return err
			}
			out := realmResult{r.Realm.String(), r.Identity, string(f), o.Backend.Name}
			return e.Report(out, func(w io.Writer) {
				fmt.Fprintf(w, "realm    %s\n", out.Realm)
				if k, err := sm.ParsePEM([]byte(r.Identity)); err == nil {
					fmt.Fprintf(w, "identity %x\n", k.Compressed())
				}
				fmt.Fprintf(w, "folder   %s\n", out.Folder)
				fmt.Fprintln(w, "next     `keposs ss-cc serve`, then `keposs ss-cc unseal`")
			})
		},
	}
	p.register(c)
	f := c.Flags()
	f.StringSliceVar(&o.Hosts, "hosts", nil, "`names` and addresses terminals reach SS-CC by; the first stands in tickets (default localhost)")
	f.StringVar(&o.Listen, "listen", server.DefaultListen, "`address:port` to listen on")
	f.StringVar(&o.Backend.Name, "backend", "badger", "storage `backend`: badger, memory, postgres, etcd or the name of a pinned plugin")
	f.StringVar(&settings, "config", "", "TOML `file` of the backend's settings")
	f.StringArrayVar(&set, "set", nil, "a setting of the backend as `name=value`, over those of --config; may be repeated")
	return c
}

func ssccServe(e *Env) *cobra.Command {
	var o server.ServeOptions
	var life bool
	var unseal int
	var keyFile string
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve terminals until a signal ends it; starts SEALED",
		Long: `Serve terminals until SIGTERM or SIGINT, then let requests under way finish. It
starts SEALED: nobody is served before the administrator runs keposs ss-cc unseal,
or the password comes through --unseal-fd, or a key file opens it. Log lines are JSON on standard error.
SIGHUP reads the log level and the certificate again, and takes over a storage
plugin that was pinned anew: keposs plugin reload sends it and tells what came of it.

With --json the first line on standard output tells where it listens.`,
		Example: `  keposs ss-cc serve
  keposs ss-cc serve --listen 127.0.0.1:0 --json
  keposs ss-cc serve --unseal-fd 3 3</run/credentials/keposs/password`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			f, err := e.serverFolder()
			if err != nil {
				return err
			}
			if unseal >= 0 {
				p := passwordFlag{fd: unseal}
				if o.Password, err = p.read(c.Context(), e, "", false); err != nil {
					return err
				}
				defer o.Password.Wipe()
			}
			if keyFile != "" {
				if unseal >= 0 {
					return usagef("ss-cc serve", "--key-file and --unseal-fd both open the root key: give one")
				}
				if o.Key, err = server.ReadKeyFile("ss-cc serve", keyFile); err != nil {
					return err
				}
				defer o.Key.Wipe()
			}
			ctx, cancel := context.WithCancel(c.Context())
			defer cancel()
			hup := make(chan os.Signal, 1)
			signal.Notify(hup, syscall.SIGHUP)
			defer signal.Stop(hup)
			o.Stderr, o.Getenv, o.Reload = e.Stderr, e.Getenv, hup
			o.Ready = func(r server.Ready) {
				e.reportReady(r)
				if life { // not before: whoever started it hears that it came up
					go func() {
						_, _ = io.Copy(io.Discard, e.Stdin)
						cancel()
					}()
				}
			}
			return f.Serve(ctx, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Listen, "listen", "", "`address:port` to listen on; port 0 = any (default as configured)")
	f.StringVar(&o.Log, "log", "", "log `level`: debug, info, warn, error (default as configured)")
	f.StringVar(&o.Metrics, "metrics", "", "`address:port` for /metrics, /livez and /readyz over HTTP (default as configured, else none)")
	f.IntVar(&unseal, "unseal-fd", -1, "read the administrator's password from the inherited descriptor `N` and unseal at once")
	f.StringVar(&keyFile, "key-file", "", "`file` that opens the root key, as keposs ss-cc auto-unseal allowed")
	f.BoolVar(&life, "until-stdin-ends", false, "drain and end also when standard input ends")
	return c
}

// reportReady prints the one line others wait for.
func (e *Env) reportReady(r server.Ready) {
	if e.json {
		fmt.Fprintf(e.Stdout, `{"listening":%q,"pid":%d,"backend":%q,"backend_pid":%d,"state":%q}`+"\n",
			r.Listening, r.PID, r.Backend, r.BackendID, r.State)
		return
	}
	fmt.Fprintf(e.Stdout, "listening on %s (%s, backend %s in process %d)\n", r.Listening, r.State, r.Backend, r.BackendID)
	if r.State == "SEALED" {
		fmt.Fprintln(e.Stdout, "next: `keposs ss-cc unseal`")
	}
}

// sealState is what unseal, seal and status print.
type sealState struct {
	State    string `json:"state"`
	Realm    string `json:"realm"`
	Endpoint string `json:"endpoint,omitempty"`
	PID      int    `json:"pid,omitempty"`
	Backend  string `json:"backend,omitempty"`
	Identity string `json:"identity_key,omitempty"` // PEM

	Level     int    `json:"level,omitempty"`          // as configured here
	Protected string `json:"host_protected,omitempty"` // who vouches for the host
}

// claim adds what this machine's configuration says of the level.
func (e *Env) claim(s *sealState) {
	if f, err := e.serverFolder(); err == nil {
		s.Level, s.Protected, _ = f.Claim("ss-cc status") // none on a machine that only administers
	}
}

func (s sealState) printClaim(w io.Writer) {
	if s.Level != 0 {
		fmt.Fprintf(w, "level    %d\n", s.Level)
	}
	if s.Protected != "" {
		fmt.Fprintf(w, "host     physically protected, says %s\n", s.Protected)
	}
}

func ssccUnseal(e *Env) *cobra.Command {
	var p passwordFlag
	var at target
	c := &cobra.Command{
		Use:   "unseal",
		Short: "Open the root key with the administrator's password: serving starts",
		Example: `  keposs ss-cc unseal
  keposs ss-cc unseal --password-fd 3 3<password-file`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			a, where, err := at.dial(ctx, e, "ss-cc unseal")
			if err != nil {
				return err
			}
			defer a.Close()
			password, err := p.read(ctx, e, "Administrator's password", false)
			if err != nil {
				return err
			}
			defer password.Wipe()
			if err := a.Unseal(ctx, password); err != nil {
				return passwordAdvice(err)
			}
			return e.reportState(ctx, a, where)
		},
	}
	p.register(c)
	at.register(c)
	return c
}

func ssccSeal(e *Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "seal",
		Short: "Wipe the keys from the server's memory: nobody is served until unseal",
		Example: `  keposs admin login
  keposs ss-cc seal`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return e.withAdmin(c.Context(), "ss-cc seal", func(ctx context.Context, a *administrator) error {
				if err := a.Seal(ctx); err != nil {
					return err
				}
				if err := e.forgetSession(); err != nil { // sealing ended it
					return err
				}
				return e.reportState(ctx, a.Admin, a.where)
			})
		},
	}
	return c
}

func ssccStatus(e *Env) *cobra.Command {
	var at target
	c := &cobra.Command{
		Use:   "status",
		Short: "Show whether SS-CC runs and serves; asks for nothing",
		Example: `  keposs ss-cc status
  keposs ss-cc status --json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			a, where, err := at.dial(ctx, e, "ss-cc status")
			if core.CodeOf(err) == core.Unavailable && at.endpoint == "" {
				return e.reportStopped()
			}
			if err != nil {
				return err
			}
			defer a.Close()
			err = e.reportState(ctx, a, where)
			if core.CodeOf(err) == core.Unavailable && at.endpoint == "" { // it was killed
				return e.reportStopped()
			}
			return err
		},
	}
	at.register(c)
	return c
}

// reportStopped is the status of an SS-CC that is set up and does not run.
func (e *Env) reportStopped() error {
	f, err := e.serverFolder()
	if err != nil {
		return err
	}
	r, err := f.LoadRealm("ss-cc status")
	if err != nil {
		return err
	}
	out := sealState{State: "OFF", Realm: r.Realm.String(), Identity: r.Identity}
	e.claim(&out)
	return e.Report(out, func(w io.Writer) {
		fmt.Fprintf(w, "state    OFF\nrealm    %s\n", r.Realm)
		out.printClaim(w)
		fmt.Fprintln(w, "next     `keposs ss-cc serve`")
	})
}

// passwordAdvice says what to do about a refused password.
func passwordAdvice(err error) error {
	switch core.CodeOf(err) {
	case core.Auth:
		return advise(err, "enter the administrator's password again; after several wrong ones SS-CC makes you wait")
	case core.Locked:
		return advise(err, "wait, then try again; the wait doubles each time")
	default:
		return err
	}
}
