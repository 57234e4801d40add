package escrowcmd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/cmd/keposs/internal/builtins"
	"github.com/keposs/keposs/cmd/keposs/internal/lab/escrowcmd/bench"
	"github.com/keposs/keposs/cmd/keposs/internal/server"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/plugins"
)

// storeFlags are those of the measurement of a backend.
type storeFlags struct {
	backend, config, html, part string
	records, rounds             int
	slice                       time.Duration
}

func (s *storeFlags) register(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.backend, "backend", "badger", "storage `backend` to measure")
	f.StringVar(&s.config, "config", "", "TOML `file` of its settings, as for ss-cc init; dsn_file or endpoints of a server")
	f.IntVar(&s.records, "records", 0, "grow a store to so many records of 2 KiB and measure it on the way")
	f.IntVar(&s.rounds, "rounds", 5, "rounds of each kind, in turn; an odd `number`")
	f.DurationVar(&s.slice, "slice", 700*time.Millisecond, "length of one measurement")
	f.StringVar(&s.html, "html", "", "write a self-contained HTML report to `file`")
	f.StringVar(&s.part, "part", "", "be another process of a measurement")
	_ = f.MarkHidden("part")
}

func (s *storeFlags) run(cmd *cobra.Command, asJSON bool) error {
	const op = "lab escrow"
	if s.part != "" {
		return bench.Part(cmd.Context(), s.part, cmd.InOrStdin(), cmd.OutOrStdout())
	}
	if s.rounds < 1 || s.rounds > 99 || s.rounds%2 == 0 || s.records < 0 || s.records > 1<<26 || s.slice < 20*time.Millisecond || s.slice > time.Minute {
		return core.Errorf(core.Usage, op, "want an odd number of rounds up to 99, up to 67108864 records, a slice of 20ms to 1m")
	}
	o := bench.Options{Backend: s.backend, Records: s.records, Rounds: s.rounds, Slice: s.slice,
		Progress: func(what string) { fmt.Fprintln(cmd.ErrOrStderr(), what) }}
	if err := s.settings(&o); err != nil {
		return err
	}
	host := plugins.NewSupervisor(plugins.Options{})
	defer func() { _ = host.Close() }()
	o.Open = func(ctx context.Context, name string, process bool) (core.Backend, error) {
		if !process {
			return builtins.Backend(name)
		}
		return host.Backend(ctx, plugins.Builtin(plugins.KindBackend, name))
	}
	r, err := bench.Run(cmd.Context(), o)
	if err != nil {
		return err
	}
	if s.html != "" {
		if err := s.report(r); err != nil {
			return err
		}
	}
	if asJSON {
		e := json.NewEncoder(cmd.OutOrStdout())
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	bench.Text(cmd.OutOrStdout(), r)
	return nil
}

func (s *storeFlags) settings(o *bench.Options) error {
	const op = "lab escrow"
	if !slices.Contains(builtins.BackendNames(), s.backend) {
		return core.Errorf(core.NotFound, op, "no storage %.32q: built in are %v", s.backend, builtins.BackendNames())
	}
	if s.config == "" {
		if s.backend == "postgres" {
			return core.Errorf(core.Usage, op, "want --config with dsn_file: the file of the connection string")
		}
		if s.backend == "etcd" {
			return core.Errorf(core.Usage, op, "want --config with endpoints: host:port of every member")
		}
		return nil
	}
	text, err := os.ReadFile(s.config)
	if err != nil {
		return core.Errorf(core.Usage, op, "%w", err)
	}
	if o.Settings, err = server.ParseSettings(text); err != nil {
		return err
	}
	if name, ok := o.Settings["dsn_file"]; ok {
		delete(o.Settings, "dsn_file")
		if o.DSN, err = os.ReadFile(name); err != nil {
			return core.Errorf(core.Usage, op, "dsn_file: %w", err)
		}
		o.DSN = bytes.TrimRight(o.DSN, "\r\n")
	}
	return nil
}

func (s *storeFlags) report(r *bench.Result) error {
	f, err := os.Create(s.html)
	if err != nil {
		return core.Errorf(core.Usage, "lab escrow", "%w", err)
	}
	err = bench.HTML(f, r, "keposs lab escrow --backend "+s.backend+fmt.Sprintf(" --records %d", s.records))
	if cerr := f.Close(); err == nil && cerr != nil {
		err = core.Errorf(core.Exhausted, "lab escrow", "%w", cerr)
	}
	return err
}
