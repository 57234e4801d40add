package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	hclog "github.com/hashicorp/go-hclog"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins/plugintest/check"
)

// debugLine is one line of a trace.
type debugLine struct {
	MS   float64 `json:"ms"`
	From string  `json:"from"` // call, plugin, step
	Text string  `json:"text"`
}

// debugged is what `keposs plugin debug --json` prints.
type debugged struct {
	Path  string      `json:"path"`
	Kind  string      `json:"kind"`
	Name  string      `json:"name"`
	OK    bool        `json:"ok"`
	Error string      `json:"error,omitempty"`
	Trace []debugLine `json:"trace"`
}

func pluginDebugCommand(e *Env) *cobra.Command {
	var t check.Target
	var config []string
	var wait bool
	c := &cobra.Command{
		Use:   "debug PATH",
		Short: "Use a plugin once and show every call, answer and log line",
		Long: `Start a plugin program as a host does, use it once for what its kind is for, and
show every call, every frame and every line it logs, with the time since the start.
Samples and secrets are made up and never shown, nor their lengths; of other bytes
only the number is.

With --wait it stops once the program runs and tells its process id, so that a
debugger can be attached (gdb -p, dlv attach, py-spy dump -p); Enter goes on. What
PATH may be, --config says as for keposs plugin check.`,
		Example: `  keposs plugin debug ./my-camera --config folder=captures
  keposs plugin debug ./my-store --config path={dir}/log
  keposs plugin debug ./my-source --wait`,
		Args: exactly(1, "one PATH"),
		RunE: func(c *cobra.Command, args []string) error {
			const op = "plugin debug"
			var err error
			if t.Config, err = parseConfig(op, "--config", config); err != nil {
				return err
			}
			if err := knownKind(op, t.Kind); err != nil {
				return err
			}
			if t.Path, err = check.Program(c.Context(), args[0], e.Stderr); err != nil {
				return err
			}
			if t.Kind == "" {
				i, err := check.Identify(c.Context(), t)
				if err != nil {
					return advise(core.Errorf(core.Invalid, op, "%s does not say what it is: %w", t.Path, err), "name its --kind to see how far it gets, or run `keposs plugin check %s`", t.Path)
				}
				t.Kind, t.Name = i.Kind, i.Name
			}
			d := &debugger{e: e, start: time.Now()}
			w := check.Watch{
				Tell: func(line string) { d.say("call", line) },
				Log:  hclog.New(&hclog.LoggerOptions{Level: hclog.Debug, Output: lineWriter{func(s string) { d.say("plugin", s) }}, DisableTime: true}),
				Event: func(what string, failed bool) {
					d.say("step", map[bool]string{false: "ok: ", true: "failed: "}[failed]+what)
				},
			}
			if wait {
				w.Started = func(pid int) error { return d.attach(c.Context(), pid) }
			}
			err = check.Exercise(c.Context(), t, w)
			if c.Context().Err() != nil {
				return core.Errorf(core.Canceled, op, "%w", c.Context().Err())
			}
			out := debugged{Path: t.Path, Kind: t.Kind, Name: t.Name, OK: err == nil, Trace: d.all()}
			if err != nil {
				out.Error = err.Error()
			}
			return e.Verdict(out.OK, out, func(w io.Writer) {
				if out.OK {
					fmt.Fprintf(w, "%s %s was used without an error\n", out.Kind, out.Name)
					return
				}
				fmt.Fprintf(w, "it failed: %s\nwhat to do: `keposs plugin check %s` tests each rule by itself and says what to change\n", oneLine(out.Error), t.Path)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&t.Kind, "kind", "", "source, sensor, kdf or backend (default: what the program says)")
	f.StringVar(&t.Name, "name", "", "`name` the program must go by (default: what it says)")
	f.StringArrayVar(&config, "config", nil, "a setting as `name=value`, or @FILE with one a line; may be repeated")
	f.BoolVar(&wait, "wait", false, "stop once the program runs, until Enter, so that a debugger can be attached")
	return c
}

// debugger collects the lines of a trace and shows them as they come.
type debugger struct {
	e     *Env
	start time.Time
	mu    sync.Mutex
	lines []debugLine
}

func (d *debugger) say(from, text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := debugLine{float64(time.Since(d.start).Microseconds()) / 1000, from, oneLine(text)}
	d.lines = append(d.lines, l)
	if !d.e.JSON() {
		fmt.Fprintf(d.e.Stdout, "%9.1f ms  %-6s  %s\n", l.MS, l.From, l.Text)
	}
}

func (d *debugger) all() []debugLine {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lines
}

// attach waits until the operator goes on.
func (d *debugger) attach(ctx context.Context, pid int) error {
	d.e.Note("it runs as process %d; attach a debugger, then press Enter", pid)
	gone := make(chan error, 1)
	go func() {
		_, err := bufio.NewReader(d.e.Stdin).ReadString('\n')
		gone <- err
	}()
	select {
	case err := <-gone:
		if err != nil {
			return core.Errorf(core.Canceled, "plugin debug", "standard input ended: %w", err)
		}
		return nil
	case <-ctx.Done():
		return core.Errorf(core.Canceled, "plugin debug", "%w", ctx.Err())
	}
}

// lineWriter passes each write on as a line.
type lineWriter struct{ line func(string) }

func (w lineWriter) Write(p []byte) (int, error) {
	w.line(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}
