package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins"
	"github.com/keposs/keposs/plugins/plugintest/check"
)

// checkedCase is one row of the table.
type checkedCase struct {
	Name    string  `json:"name"`
	Group   string  `json:"group"`
	Rule    string  `json:"rule"`
	Outcome string  `json:"outcome"` // passed, failed, skipped
	Found   string  `json:"found,omitempty"`
	Advice  string  `json:"what_to_do,omitempty"`
	TookMS  float64 `json:"took_ms"`
}

// checkedPlugin is one program.
type checkedPlugin struct {
	Path    string        `json:"path"`
	Kind    string        `json:"kind"`
	Name    string        `json:"name"`
	Version string        `json:"version"`
	OK      bool          `json:"ok"`
	Passed  int           `json:"passed"`
	Failed  int           `json:"failed"`
	Skipped int           `json:"skipped"`
	TookMS  float64       `json:"took_ms"`
	Cases   []checkedCase `json:"cases"`
}

// checked is what `keposs plugin check --json` prints.
type checked struct {
	OK      bool            `json:"ok"`
	Plugins []checkedPlugin `json:"plugins"`
}

func pluginCheckCommand(e *Env) *cobra.Command {
	var kind, name string
	var config []string
	var level int
	var samples string
	c := &cobra.Command{
		Use:   "check PATH...",
		Short: "Test any plugin program against the protocol and the kit of its kind",
		Long: `Start a plugin program as a host does and test every rule of
docs/plugin-protocol.md, then the conformance kit of its kind. PATH is the program,
or a folder with one executable at its top; a script that says which program it
builds (docs/plugin-guide.md) is run first. What fails is said with what was found
and what to do; exit status 1 when a case fails.

What the program is, it says itself; --kind and --name are for programs that serve
several plugins. The settings of --config are given to it before the kit begins; in
those of a backend {dir} is a fresh folder for each store, and {place} a fresh name,
for one that keeps many stores in a database (a prefix, a schema): they are not removed.

With --samples a source's claim of strength is measured: each person is enrolled
with their first takes, then tried with their others and with those of strangers.
A claim that what was seen refutes fails; what the samples speak for is told. The
samples are of the first kind the source declares.

The program is executed with your rights: check what you would also run by hand.`,
		Example: `  keposs plugin check ./my-camera
  keposs plugin check examples/sensor-python --config folder=captures
  keposs plugin check ./my-voice --samples recordings
  keposs plugin check ./my-store --config path={dir}/log --json
  keposs plugin check ./my-database --config address=127.0.0.1:6000 --config prefix={place} --level 1`,
		Args: atLeastOne("one or more PATHs"),
		RunE: func(c *cobra.Command, args []string) error {
			const op = "plugin check"
			values, err := parseConfig(op, "--config", config)
			if err != nil {
				return err
			}
			if err := knownKind(op, kind); err != nil {
				return err
			}
			out := checked{OK: true}
			for _, path := range args {
				path, err := check.Program(c.Context(), path, e.Stderr)
				if err != nil {
					return err
				}
				p := checkOne(c.Context(), check.Target{Path: path, Kind: kind, Name: name, Config: values, Level: level, Samples: samples})
				if c.Context().Err() != nil {
					return core.Errorf(core.Canceled, op, "%w", c.Context().Err())
				}
				out.OK = out.OK && p.OK
				out.Plugins = append(out.Plugins, p)
				if !e.JSON() {
					p.print(e.Stdout)
				}
			}
			return e.Verdict(out.OK, out, func(io.Writer) {})
		},
	}
	f := c.Flags()
	f.StringVar(&kind, "kind", "", "source, sensor, kdf or backend (default: what the program says)")
	f.StringVar(&name, "name", "", "`name` the program must go by (default: what it says)")
	f.StringArrayVar(&config, "config", nil, "a setting as `name=value`, or @FILE with one a line; may be repeated")
	f.StringVar(&samples, "samples", "", "`folder` of real samples for a source: a folder for each person, a file for each take")
	f.IntVar(&level, "level", 0, "0 fast, 1 as in CI, 2 long")
	return c
}

// atLeastOne is a Usage error with advice for no argument at all.
func atLeastOne(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return nil
		}
		return advise(usagef(c.CommandPath(), "want %s, got none", what), "see `%s --help`", c.CommandPath())
	}
}

// knownKind refuses a --kind that is none; no kind at all is fine.
func knownKind(op, kind string) error {
	switch kind {
	case "", plugins.KindSource, plugins.KindSensor, plugins.KindKDF, plugins.KindBackend:
		return nil
	}
	return usagef(op, "--kind %.16q, want source, sensor, kdf or backend", kind)
}

// parseConfig reads name=value settings and @FILE, a file with one a line; none
// is nil. flag is what the operator wrote them after.
func parseConfig(op, flag string, list []string) (map[string]string, error) {
	lines, err := settingLines(op, list)
	if err != nil {
		return nil, err
	}
	var out map[string]string
	for _, text := range lines {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, usagef(op, "%s %.40q, want name=value", flag, text)
		}
		if out == nil {
			out = map[string]string{}
		}
		out[name] = value
	}
	return out, nil
}

// settingLines puts the lines of an @FILE where it stands; blank ones and those
// that begin with # are left out.
func settingLines(op string, list []string) (lines []string, err error) {
	for _, c := range list {
		file, ok := strings.CutPrefix(c, "@")
		if !ok {
			lines = append(lines, c)
			continue
		}
		text, err := (&Env{}).readInput(op, file, 64<<10)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				lines = append(lines, line)
			}
		}
	}
	return lines, nil
}

// checkOne runs every case against one program.
func checkOne(ctx context.Context, t check.Target) checkedPlugin {
	p := checkedPlugin{Path: t.Path, Kind: t.Kind, Name: t.Name}
	start := time.Now()
	if i, err := check.Identify(ctx, t); err == nil {
		p.Version = i.Version
		if t.Kind == "" {
			t.Kind = i.Kind
		}
		if t.Name == "" {
			t.Name = i.Name
		}
		p.Kind, p.Name = t.Kind, t.Name
	} else if t.Kind == "" {
		t.Kind = plugins.KindSource // the handshake is the same for all; its case says what is wrong
	}
	p.OK = check.Run(ctx, t, func(r check.Result) {
		c := checkedCase{Name: r.Case.Name, Group: r.Case.Group, Rule: r.Case.Rule, Outcome: r.Outcome(), Found: r.Skipped + r.Note, TookMS: float64(r.Took.Microseconds()) / 1000}
		switch c.Outcome {
		case "failed":
			p.Failed++
			c.Found, c.Advice = r.Err.Error(), r.Advice()
		case "skipped":
			p.Skipped++
		default:
			p.Passed++
		}
		p.Cases = append(p.Cases, c)
	})
	p.TookMS = float64(time.Since(start).Microseconds()) / 1000
	return p
}

// print is the table: a line for each rule, and under one that fails what was
// found and what to do.
func (p checkedPlugin) print(w io.Writer) {
	what := strings.TrimSpace(strings.Join([]string{p.Kind, p.Name, p.Version}, " "))
	if what == "" {
		what = "not known, for it does not say"
	}
	fmt.Fprintf(w, "%s: %s\n", p.Path, what)
	waiting := 0
	for _, c := range p.Cases {
		if c.Found == check.NoHandshake {
			waiting++ // one line for all
			continue
		}
		fmt.Fprintf(w, "  %-7s %-9s %-24s %s\n", map[string]string{"passed": "ok", "failed": "FAILED", "skipped": "skipped"}[c.Outcome], c.Group, c.Name, c.Rule)
		switch c.Outcome {
		case "failed":
			fmt.Fprintf(w, "          found:      %s\n          what to do: %s\n", oneLine(c.Found), c.Advice)
		case "passed":
			if c.Found != "" {
				fmt.Fprintf(w, "          measured:   %s\n", oneLine(c.Found))
			}
		case "skipped":
			fmt.Fprintf(w, "          because:    %s\n", oneLine(c.Found))
		}
	}
	if waiting > 0 {
		fmt.Fprintf(w, "  skipped %d more rules: %s\n", waiting, check.NoHandshake)
	}
	verdict := "it keeps every rule that was tested"
	if !p.OK {
		verdict = "it breaks what is marked FAILED"
	}
	fmt.Fprintf(w, "%d passed, %d failed, %d skipped in %.1f s: %s\n", p.Passed, p.Failed, p.Skipped, p.TookMS/1000, verdict)
}

// oneLine keeps what a foreign program said to one line without control characters.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < ' ' || r == 0x7f:
			return -1
		}
		return r
	}, s)
}
