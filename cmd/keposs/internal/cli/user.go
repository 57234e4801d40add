package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/mstcc/probes"
)

func userCommands(e *Env) []*cobra.Command {
	return []*cobra.Command{initCommand(e), statusCommand(e), unbindCommand(e), deregisterCommand(e), zeroiseCommand(e)}
}

// initResult is what `keposs init --json` prints.
type initResult struct {
	UserID   string            `json:"user_id"`
	Policy   string            `json:"policy"`
	Sign     string            `json:"sign_key"`
	Enc      string            `json:"enc_key"`
	Approved bool              `json:"approved"`
	Resumed  bool              `json:"resumed"`
	Strength map[string]string `json:"strength,omitempty"`
}

func initCommand(e *Env) *cobra.Command {
	var s session
	var r client.InitRequest
	profile := client.DefaultProfile()
	var params []string
	var mode string
	c := &cobra.Command{
		Use:   "init",
		Short: "Make a key for a user and seal it under their factors (clause 7.1)",
		Long: `Make a key for a user and seal it under their factors (clause 7.1). Asks for
every factor of the policy, typed ones twice. Prints the user id; the public keys
go to the terminal's folder and to --json.

If the command is interrupted, run it again: it completes what SS-CC already
acknowledged, or starts over and asks again.`,
		Example: `  keposs init
  keposs init --policy 'pin & gesture'
  keposs init --escrow plain
  keposs init --policy '2 of (pin, gesture, pin:work)' --limit 3
  keposs init --param pin:alphanumeric=true --ppd-fd 3 3<answers`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if r.Params, err = parseParams(params); err != nil {
				return err
			}
			if profile.Mode, err = escrowMode("init", mode); err != nil {
				return err
			}
			return s.withProfile(c.Context(), e, profile, func(cl *client.Client) error {
				u, err := cl.Initialize(c.Context(), r)
				if err != nil {
					return err
				}
				return reportInit(e, u, r.Policy, u.Approved && !s.ppd.given())
			})
		},
	}
	s.register(c)
	f := c.Flags()
	f.StringVar(&r.Policy, "policy", client.DefaultPolicy, "`text` of the factor policy: a & b, a | b, k of (a, b, c)")
	f.StringVar(&r.KDF, "kdf", "", "slow KDF and cost as `name$key=n,…` (default pbkdf2sm3 at the floor)")
	f.Uint64Var(&profile.SlowFloor, "min-iterations", profile.SlowFloor, "lowest iteration `count` this terminal will ever accept; sealed")
	f.Uint32Var(&profile.Limit, "limit", profile.Limit, "wrong tries until the lock, 1 to 10; sealed")
	registerEscrow(f, &mode)
	f.BoolVar(&profile.VerifyOpen, "verify-open", false, "verify without entering factors first; sealed")
	f.StringArrayVar(&params, "param", nil, "setting of a factor's enrolment as `label:name=value`; may be repeated")
	return c
}

// reportInit prints the user id and what each factor is worth.
func reportInit(e *Env, u *client.Initialized, policy string, approved bool) error {
	out := initResult{UserID: u.ID.String(), Policy: policy, Sign: u.Sign, Enc: u.Enc, Approved: approved, Resumed: u.Resumed, Strength: map[string]string{}}
	labels := make([]string, 0, len(u.Strength))
	for label, st := range u.Strength {
		out.Strength[label] = fmt.Sprintf("one random try passes with probability 2^-%.1f (%s)", float64(st.PerTry)/1000, st.Evidence)
		labels = append(labels, label)
	}
	slices.Sort(labels)
	return e.Report(out, func(w io.Writer) {
		if u.Resumed {
			fmt.Fprintln(w, "completed the interrupted initialisation; nothing had to be asked")
		}
		fmt.Fprintf(w, "user     %s\n", out.UserID)
		for _, label := range labels {
			fmt.Fprintf(w, "%-8s %s\n", label, out.Strength[label])
		}
		fmt.Fprintln(w, "A factor forgotten in every set of the policy is a lost key: nobody can restore it.")
	})
}

// parseParams reads label:name=value; the label may itself hold a colon.
func parseParams(list []string) (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	for _, text := range list {
		left, value, ok := strings.Cut(text, "=")
		i := strings.LastIndex(left, ":")
		if !ok || i <= 0 || i == len(left)-1 {
			return nil, usagef("init", "--param %q, want label:name=value", text)
		}
		label, name := left[:i], left[i+1:]
		if out[label] == nil {
			out[label] = map[string]string{}
		}
		out[label][name] = value
	}
	return out, nil
}

// statusResult is what `keposs status --json` prints.
type statusResult struct {
	State    string   `json:"state"`
	UserID   string   `json:"user_id,omitempty"`
	App      string   `json:"app,omitempty"`
	Device   string   `json:"device,omitempty"`
	Endpoint string   `json:"endpoint,omitempty"`
	Policy   string   `json:"policy,omitempty"`
	KDF      string   `json:"kdf,omitempty"`
	Anchor   []string `json:"anchor,omitempty"`
	Level    uint32   `json:"level"`
	Mode     string   `json:"mode"`
	Verify   string   `json:"verify"` // strict or open
	Used     uint32   `json:"tries_used"`
	Limit    uint32   `json:"tries_limit"`
	Server   *struct {
		Used     uint32   `json:"tries_used"`
		Limit    uint32   `json:"tries_limit"`
		Locked   bool     `json:"locked"`
		AutoSeal bool     `json:"auto_unseal"`
		Reads    []string `json:"policy_reads,omitempty"`
	} `json:"server,omitempty"`
	ServerError string   `json:"server_error,omitempty"`
	Foreign     []string `json:"foreign_tries,omitempty"`
	Alarm       bool     `json:"alarm"`

	Probes   []probes.Finding `json:"probes,omitempty"` // of the environment
	Pending  bool             `json:"pending"`
	Approved bool             `json:"approved"`
}

func describeStatus(cl *client.Client, st mstcc.Status) statusResult {
	out := statusResult{
		State: string(st.State), Level: st.Profile.Level, Mode: st.Profile.Mode.String(), Verify: "strict",
		Policy: st.Policy, KDF: st.KDF, Anchor: st.Anchor,
		Used: st.Used, Limit: st.Profile.Limit, Alarm: st.Alarm, Pending: st.Pending,
	}
	if st.Profile.VerifyOpen {
		out.Verify = "open"
	}
	if !st.User.IsZero() {
		out.UserID = st.User.String()
	}
	if b, ok := cl.Binding(); ok {
		out.App, out.Device, out.Endpoint = b.App.String(), b.Device.String(), b.Endpoint
	}
	if a := st.Server; a != nil {
		out.Server = &struct {
			Used     uint32   `json:"tries_used"`
			Limit    uint32   `json:"tries_limit"`
			Locked   bool     `json:"locked"`
			AutoSeal bool     `json:"auto_unseal"`
			Reads    []string `json:"policy_reads,omitempty"`
		}{Used: a.Tries.Used, Limit: a.Tries.Limit, Locked: a.Tries.Locked, AutoSeal: a.AutoSeal}
		for _, r := range a.Reads {
			out.Server.Reads = append(out.Server.Reads, time.Unix(r.Unix, 0).UTC().Format(time.RFC3339)+" device "+r.Device.String())
		}
	}
	if st.ServerErr != nil {
		out.ServerError = st.ServerErr.Error()
	}
	out.Probes = st.Probes
	for _, h := range st.Foreign {
		out.Foreign = append(out.Foreign, fmt.Sprintf("try %d by device %s", h.Seq, h.Device))
	}
	return out
}

func statusCommand(e *Env) *cobra.Command {
	var s session
	var offline bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the module's state, tries and what SS-CC says; asks for nothing",
		Example: `  keposs status
  keposs status --offline --json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return s.with(c.Context(), e, func(cl *client.Client) error {
				st, err := cl.Status(c.Context(), !offline)
				if err != nil {
					return err
				}
				out := describeStatus(cl, st)
				return e.Report(out, func(w io.Writer) { out.print(w) })
			})
		},
	}
	s.register(c)
	c.Flags().BoolVar(&offline, "offline", false, "do not ask SS-CC")
	return c
}

// print is the status for a person.
func (o statusResult) print(w io.Writer) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-9s%s\n", name, fmt.Sprintf(format, args...))
	}
	row("state", "%s", o.State)
	if o.App == "" {
		row("next", "`keposs provision FILE` with the administrator's ticket")
		return
	}
	row("app", "%s", o.App)
	row("device", "%s", o.Device)
	row("SS-CC", "%s", o.Endpoint)
	if o.UserID == "" {
		row("next", "`keposs init`")
		return
	}
	row("user", "%s", o.UserID)
	if o.Policy != "" {
		row("policy", "%s", o.Policy)
	}
	row("kdf", "%s", o.KDF)
	row("profile", "level %d, %s escrow, %s verify", o.Level, o.Mode, o.Verify)
	for _, line := range attackers(o.Mode, o.Limit) {
		row("", "%s", line)
	}
	row("tries", "%d of %d used here", o.Used, o.Limit)
	if s := o.Server; s != nil {
		lock := ""
		if s.Locked {
			lock = ", LOCKED"
		}
		row("", "%d of %d used at SS-CC%s", s.Used, s.Limit, lock)
		for _, r := range s.Reads {
			row("", "policy read %s", r)
		}
	}
	if o.ServerError != "" {
		row("SS-CC", "no answer: %s", o.ServerError)
	}
	for _, f := range o.Foreign {
		row("FOREIGN", "%s: somebody else has this terminal's key", f)
	}
	for _, f := range o.Probes {
		if f.Verdict != probes.Bad && (f.Verdict != probes.Unknown || !f.Mandatory) {
			continue
		}
		word := "advisory"
		if f.Mandatory {
			word = "mandatory"
		}
		row("probe", "%s %s: %s (%s)", f.ID, f.Name, f.Verdict, word)
	}
	if o.Alarm {
		row("ALARM", "SS-CC's try counter went backwards or does not chain")
	}
	if o.Pending {
		row("pending", "a change was interrupted; the next command settles it")
	}
}

// removed is what unbind and deregister print.
type removed struct {
	UserID string `json:"user_id"`
	Done   string `json:"done"`
}

func unbindCommand(e *Env) *cobra.Command {
	return removeCommand(e, "unbind", "End this terminal's binding of the user; asks for the factors",
		"unbound: SS-CC dropped the record, this terminal its secrets; `keposs init` makes a new user",
		(*client.Client).Unbind)
}

func deregisterCommand(e *Env) *cobra.Command {
	return removeCommand(e, "deregister", "Cancel the user and end the module's life here; asks for the factors",
		"deregistered: every secret of this terminal is destroyed; a new ticket is needed to begin again",
		(*client.Client).Deregister)
}

func removeCommand(e *Env, name, short, done string, do func(*client.Client, context.Context, ...string) error) *cobra.Command {
	var s session
	c := &cobra.Command{
		Use: name, Short: short,
		Example: "  keposs " + name + "\n  keposs " + name + " --ppd-fd 3 3<answers",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return s.with(c.Context(), e, func(cl *client.Client) error {
				u, err := cl.User()
				if err != nil {
					return err
				}
				if err := do(cl, c.Context(), s.factors...); err != nil {
					return err
				}
				return e.Report(removed{u.ID.String(), name}, func(w io.Writer) { fmt.Fprintln(w, done) })
			})
		},
	}
	s.register(c)
	return c
}
