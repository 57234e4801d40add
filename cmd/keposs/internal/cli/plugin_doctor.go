package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/plugins/plugintest/check"
)

// finding is one line of the doctor's report.
type finding struct {
	What   string `json:"what"`
	State  string `json:"state"` // ok, missing, optional
	Found  string `json:"found"`
	Advice string `json:"what_to_do,omitempty"`
}

// diagnosis is what `keposs plugin doctor --json` prints.
type diagnosis struct {
	OK       bool      `json:"ok"` // nothing is missing
	Findings []finding `json:"findings"`
}

func (d *diagnosis) add(what string, err error, found, advice string) {
	f := finding{What: what, State: "ok", Found: found}
	if err != nil {
		f.State, f.Found, f.Advice, d.OK = "missing", oneLine(err.Error()), advice, false
	}
	d.Findings = append(d.Findings, f)
}

func (d *diagnosis) optional(what string, there bool, found, advice string) {
	f := finding{What: what, State: "ok", Found: found}
	if !there {
		f.State, f.Found, f.Advice = "optional", "not here", advice
	}
	d.Findings = append(d.Findings, f)
}

func pluginDoctorCommand(e *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor [PATH...]",
		Short: "Say what this machine lacks for each plugin, and what to do",
		Long: `Look at what plugins need of this machine, then at every pinned plugin and at each
program or folder PATH: its files, its interpreter, loader and modules, whether it
starts, is what it was pinned as and takes its settings. What is missing is named
with what to do; exit status 1 when something is.`,
		Example: `  keposs plugin doctor
  keposs plugin doctor ./my-camera --json`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			out := diagnosis{OK: true}
			e.examineMachine(ctx, &out)
			store, err := e.pinned()
			if err != nil {
				return err
			}
			e.examinePinned(ctx, store, &out)
			for _, path := range args {
				e.examinePath(ctx, path, &out)
			}
			if ctx.Err() != nil {
				return core.Errorf(core.Canceled, "plugin doctor", "%w", ctx.Err())
			}
			return e.Verdict(out.OK, out, out.print)
		},
	}
}

// examineMachine looks at what every plugin needs, and what only some do.
func (e *Env) examineMachine(ctx context.Context, out *diagnosis) {
	sup := plugins.NewSupervisor(plugins.Options{})
	s, err := sup.Source(ctx, plugins.Builtin(plugins.KindSource, "pin"))
	if err == nil {
		err = sup.Warm(ctx, s)
	}
	out.add("plugin processes", errors.Join(err, sup.Close()), "a built-in one starts from a sealed copy and answers",
		"check that TMPDIR may be written and /proc is mounted; until then --in-process runs built-in sources without processes")
	limit := plugins.ProcessLimit()
	out.optional("process limit", limit != "", limit, "give this user a delegated control group (systemd: Delegate=pids) to bound what a plugin may start; its helpers are ended with it in any case")
	box := plugins.Sandbox()
	out.optional("plugin sandbox", box != "", box, "a kernel with Landlock and seccomp shuts the sources and KDFs of keposs agent off from network and files")
	go1, err := exec.LookPath("go")
	out.optional("Go", err == nil, go1, "install Go from https://go.dev/dl to write plugins with --lang go")
	const python = "/usr/bin/python3"
	err = exec.CommandContext(ctx, python, "-c", "import grpc, google.protobuf, cryptography").Run()
	out.optional("Python", err == nil, python+" with grpc, protobuf and cryptography", "apt install python3-grpcio python3-protobuf python3-cryptography to run plugins written with --lang python")
}

// examinePinned looks at each plugin the operator vouched for.
func (e *Env) examinePinned(ctx context.Context, store client.PinnedPlugins, out *diagnosis) {
	c, err := store.Catalog()
	if err != nil {
		out.add("pinned plugins", err, "", "restore "+store.Dir+" from a backup, or remove it and pin your plugins again")
		return
	}
	for _, p := range c.Manifest.Plugins {
		what := p.Kind + " " + p.Name
		err := p.Verify(store.Dir)
		if err != nil {
			out.add(what, err, "", "find out who changed it, then `keposs plugin pin` it again from a copy you trust")
			continue
		}
		entry := c.Entry(p.Kind, p.Name)
		values, err := store.Settings(p.Kind, p.Name)
		if err == nil {
			err = examineEntry(ctx, entry, plugins.Options{}, values)
		}
		out.failure(what, err, fmt.Sprintf("version %s, %d files, starts, trust %s", p.Version, len(p.Files), entry.Trust))
	}
}

// failure explains why a plugin does not do what it should.
func (d *diagnosis) failure(what string, err error, good string) {
	advice := "`keposs plugin check` on the program tells which rule it breaks; `keposs plugin debug` shows how far it gets"
	var m *check.Missing
	if !errors.As(err, &m) {
		m = check.Lacks(err)
	}
	if m != nil {
		err, advice = m, m.Fix
	} else if core.CodeOf(err) == core.Invalid {
		advice = "correct its settings: pin it again with the right --config"
	}
	d.add(what, err, good, advice)
}

// examineEntry runs a plugin up to its settings. A backend's would open its
// records, which have an owner; it is only started.
func examineEntry(ctx context.Context, e plugins.Entry, o plugins.Options, values map[string]string) (err error) {
	if err := check.Diagnose(ctx, e.Path); err != nil {
		return err
	}
	sup := plugins.NewSupervisor(o)
	defer func() { err = errors.Join(err, sup.Close()) }()
	v, err := open(ctx, sup, e)
	if err == nil {
		err = sup.Warm(ctx, v)
	}
	if err != nil || len(values) == 0 || e.Kind == plugins.KindBackend {
		return err
	}
	if c, ok := v.(interface {
		Configure(context.Context, core.Config) error
	}); ok {
		return c.Configure(ctx, core.Config{Values: values})
	}
	return nil
}

// examinePath looks at a program nobody pinned.
func (e *Env) examinePath(ctx context.Context, path string, out *diagnosis) {
	program, err := check.Program(ctx, path, e.Stderr)
	if err != nil {
		advice := "name a program, or a folder with one executable at its top"
		if core.CodeOf(err) == core.Environment {
			advice = "run the script by hand; what it misses to build its program it says there"
		}
		out.add(path, err, "", advice)
		return
	}
	if err = check.Diagnose(ctx, program); err == nil {
		var i check.Identity
		if i, err = check.Identify(ctx, check.Target{Path: program}); err == nil {
			out.add(path, nil, fmt.Sprintf("%s %s %s starts; nobody vouches for it yet", i.Kind, i.Name, i.Version), "")
			return
		}
	}
	out.failure(path, err, "")
}

func (d diagnosis) print(w io.Writer) {
	for _, f := range d.Findings {
		what := f.What
		if rel, err := filepath.Rel(".", what); err == nil && filepath.IsAbs(what) && len(rel) < len(what) {
			what = rel
		}
		fmt.Fprintf(w, "%-8s  %-24s  %s\n", f.State, what, f.Found)
		if f.Advice != "" {
			fmt.Fprintf(w, "%-8s  %-24s  what to do: %s\n", "", "", f.Advice)
		}
	}
	if d.OK {
		fmt.Fprintln(w, "nothing is missing")
	}
}
