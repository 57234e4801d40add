package kdfcmd

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/kdf"
	"github.com/keposs/keposs/kdf/lab"
)

// calibration is what `kdf calibrate` prints.
type calibration struct {
	Params   string    `json:"params"`
	KDF      string    `json:"kdf"`
	Approved bool      `json:"approved"`
	TargetMs float64   `json:"target_ms"`
	TookMs   []float64 `json:"took_ms"`  // runs at params, in order
	CPUMs    []float64 `json:"cpu_ms"`   // processor time of the same runs
	LeastMs  float64   `json:"least_ms"` // what an idle core takes: the least of both
	Off      float64   `json:"off"`      // least ÷ target − 1
	AtFloor  bool      `json:"at_floor"`
	AtCeil   bool      `json:"at_ceiling"`
	Within   bool      `json:"within_ten_percent"`
	Memory   uint64    `json:"memory_bytes"`
}

// CalibrateCommand is `kdf calibrate`.
func CalibrateCommand() *cobra.Command {
	var target time.Duration
	var floors, ceilings []string
	var memory uint64
	var wide uint64
	var runs int
	var check, asJSON bool
	c := &cobra.Command{
		Use:   "calibrate [NAME]",
		Short: "Find the cost at which a KDF takes a wanted time on this machine",
		Long: `Finds parameters whose derivation takes the target time here, never under the
floors nor over the ceilings of the default policy or of --floor and --ceiling,
then derives again at the found cost and says how far off it is. The least of
the runs counts, and processor time where it is less than the time that passed:
every disturbance makes a run longer and none makes it shorter.

--check ends with status 9 when the time is more than 10 % off and neither a
floor nor a ceiling explains it.`,
		Example: `  keposs kdf calibrate
  keposs kdf calibrate --target 100ms --wide 8
  keposs kdf calibrate argon2id --floor t=3 --max-memory 64 --check --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := kdf.Default
			if len(args) == 1 {
				name = args[0]
			}
			l, err := kdf.DefaultLimits(name)
			if err != nil {
				return err
			}
			if err := bounds(&l, floors, ceilings, memory<<20, wide, name); err != nil {
				return err
			}
			if runs < 1 || runs > 100 {
				return core.Errorf(core.Usage, "kdf calibrate", "--runs %d, want 1 to 100", runs)
			}
			r, err := calibrateKDF(cmd.Context(), name, target, l, runs)
			if err != nil {
				return err
			}
			if asJSON {
				if err := writeJSON(cmd.OutOrStdout(), r); err != nil {
					return err
				}
			} else {
				w := cmd.OutOrStdout()
				fmt.Fprintln(w, r.Params)
				fmt.Fprintf(w, "%.1f ms on an idle core, best of %d runs, %+.1f %% off %v%s\n", r.LeastMs, runs, 100*r.Off, target, reason(r))
			}
			if check && !r.Within && !r.AtFloor && !r.AtCeil {
				return core.Errorf(core.Environment, "kdf calibrate", "%s is %+.1f %% off the target: run again on an idle machine", r.Params, 100*r.Off)
			}
			return nil
		},
	}
	f := c.Flags()
	f.DurationVar(&target, "target", 250*time.Millisecond, "time of one derivation")
	f.StringArrayVar(&floors, "floor", nil, "floor of a parameter, key=n, repeatable; replaces the default policy's")
	f.StringArrayVar(&ceilings, "ceiling", nil, "ceiling of a parameter, key=n, repeatable")
	f.Uint64Var(&memory, "max-memory", 0, "ceiling of memory in MiB (default 1024)")
	f.Uint64Var(&wide, "wide", 0, "pbkdf2sm3: this many blocks side by side")
	f.IntVar(&runs, "runs", 5, "runs at the found cost")
	f.BoolVar(&check, "check", false, "fail when more than 10 % off")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func reason(r calibration) string {
	switch {
	case r.AtFloor && r.Off > 0:
		return ": a floor is above it"
	case r.AtCeil && r.Off < 0:
		return ": a ceiling is below it"
	}
	return ""
}

// bounds puts the options on top of the default limits.
func bounds(l *core.Limits, floors, ceilings []string, memory, wide uint64, name string) error {
	const op = "kdf calibrate"
	put := func(m *map[string]uint64, flag string, list []string) error {
		for _, s := range list {
			key, v, ok := strings.Cut(s, "=")
			n, err := strconv.ParseUint(v, 10, 64)
			if !ok || err != nil || key == "" || len(key) > 8 {
				return core.Errorf(core.Usage, op, "--%s %.40q, want key=n", flag, s)
			}
			if *m == nil {
				*m = map[string]uint64{}
			}
			(*m)[key] = n
		}
		return nil
	}
	if err := put(&l.Floor, "floor", floors); err != nil {
		return err
	}
	if err := put(&l.Ceiling, "ceiling", ceilings); err != nil {
		return err
	}
	if memory>>20 > 1<<20 {
		return core.Errorf(core.Usage, op, "--max-memory %d MiB is beyond 1 TiB", memory>>20)
	}
	l.MaxMemory = memory
	if wide > 0 {
		if name != kdf.Default {
			return core.Errorf(core.Usage, op, "--wide is of %s, not of %.32s", kdf.Default, name)
		}
		l.Floor["w"] = wide
	}
	return nil
}

func calibrateKDF(ctx context.Context, name string, target time.Duration, l core.Limits, runs int) (calibration, error) {
	k, err := kdf.Builtin(name)
	if err != nil {
		return calibration{}, err
	}
	info, err := k.Describe(ctx)
	if err != nil {
		return calibration{}, err
	}
	p, err := k.Calibrate(ctx, target, l)
	if err != nil {
		return calibration{}, err
	}
	r := calibration{Params: p.String(), KDF: name, Approved: info.Approved, TargetMs: float64(target) / 1e6}
	if s, ok := k.(interface{ Memory(core.Params) uint64 }); ok {
		r.Memory = s.Memory(p)
	}
	wall, cpu, err := lab.TimeDerive(ctx, k, p, runs)
	if err != nil {
		return r, err
	}
	r.LeastMs = math.Inf(1)
	for i := range wall {
		r.TookMs, r.CPUMs = append(r.TookMs, wall[i]/1e6), append(r.CPUMs, cpu[i]/1e6)
		// A run that waited for a core used less of it than it lasted; one with
		// lanes of its own used more.
		r.LeastMs = min(r.LeastMs, wall[i]/1e6, cpu[i]/1e6)
	}
	r.Off = r.LeastMs/r.TargetMs - 1
	r.Within = r.Off <= 0.1 && r.Off >= -0.1
	// A bound explains a miss when no parameter could go further that way.
	r.AtFloor, r.AtCeil = len(p.Values) > 0, len(p.Values) > 0
	for _, q := range info.Params {
		n, ok := p.Get(q.Key)
		if !ok {
			continue
		}
		lo, hi := q.Min, q.Max
		if f, ok := l.Floor[q.Key]; ok {
			lo = f
		}
		if c, ok := l.Ceiling[q.Key]; ok {
			hi = min(hi, c)
		}
		r.AtFloor = r.AtFloor && n <= lo
		r.AtCeil = r.AtCeil && (n >= hi || q.Key == "w")
	}
	return r, nil
}

// ListCommand is `kdf list`.
func ListCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "list",
		Short:   "Name the built-in KDFs, their parameters and bounds",
		Example: `  keposs kdf list`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			type line struct {
				Name     string           `json:"name"`
				Approved bool             `json:"approved"`
				Default  string           `json:"default"`
				Params   []core.ParamInfo `json:"params"`
				Floor    core.Limits      `json:"limits"`
			}
			var out []line
			for _, name := range kdf.Names() {
				k, err := kdf.Builtin(name)
				if err != nil {
					return err
				}
				in, err := k.Describe(cmd.Context())
				if err != nil {
					return err
				}
				l, err := kdf.DefaultLimits(name)
				if err != nil {
					return err
				}
				out = append(out, line{in.Name, in.Approved, in.Default.String(), in.Params, l})
			}
			if asJSON {
				return writeJSON(cmd.OutOrStdout(), out)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(w, "name\tapproved\tdefault\tparameter\tbounds\tpolicy\t")
			for _, l := range out {
				approved := "no"
				if l.Approved {
					approved = "yes"
				}
				head := l.Name + "\t" + approved + "\t" + l.Default
				if len(l.Params) == 0 {
					fmt.Fprintf(w, "%s\t\t\tno cost: refused for guessable factors\t\n", head)
				}
				for _, p := range l.Params {
					policy := "as bounds"
					if f, ok := l.Floor.Floor[p.Key]; ok {
						policy = fmt.Sprintf("%d..%d", f, min(p.Max, l.Floor.Ceiling[p.Key]))
					} else if c, ok := l.Floor.Ceiling[p.Key]; ok {
						policy = fmt.Sprintf("..%d", c)
					}
					fmt.Fprintf(w, "%s\t%s, %s\t%d..%d\t%s\t\n", head, p.Key, p.Help, p.Min, p.Max, policy)
					head = "\t\t"
				}
			}
			return w.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}
