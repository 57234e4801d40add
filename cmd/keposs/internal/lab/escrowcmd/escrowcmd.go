// Package escrowcmd is `keposs lab escrow`: what a counted, durable try costs
// SS-CC in processor time, beside the floor it cannot go under.
//
// SS-CC runs in this process on one core, over Badger with synchronous writes
// and group commit, behind its network interface with the inner channel. The
// terminals are a process of their own, so that their work is not counted.
// Rounds of each kind follow each other in turn and medians are told, so that
// a busy moment of the machine falls on all alike.
package escrowcmd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/cmd/keposs/internal/lab/escrowcmd/bench"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sm"
)

// rounds of each kind; odd, for a median.
const rounds = 11

// Result is what --json prints: microseconds of SS-CC's processor time each.
type Result struct {
	Us      Micros `json:"us"`
	Floors  Floors `json:"floors"`
	Users   int    `json:"users"`
	Rounds  int    `json:"rounds"`
	Calls   int    `json:"calls_per_round"`
	Backend string `json:"backend"`
}

// Micros are medians over the rounds.
type Micros struct {
	Evaluate   float64 `json:"evaluate"`
	Proof      float64 `json:"evaluate_dleq"`
	ScalarMult float64 `json:"scalar_mult"`
	Echo       float64 `json:"echo"`
}

// Command is `lab escrow`.
func Command() *cobra.Command {
	var evaluate, asJSON, driver bool
	var store storeFlags
	c := &cobra.Command{
		Use:   "escrow",
		Short: "Measure a storage backend, or what a counted try costs SS-CC",
		Long: `Measure a storage backend the way SS-CC uses it, each figure beside a limit program of
the same run: fetches over TLS beside a bare echo, through a plugin beside an echo one
process further, durable writes beside the bare engine; with --records the growth of a
store. Goals stand beside the figures. Everything is made in a temporary folder, or in
the schema or below the prefix keposs_lab of the database that --config names, and removed.

With --evaluate, measure SS-CC's processor time for one durable, counted Evaluate on
one core, without and with proof, beside one raw scalar multiplication and a bare gRPC
echo of the same run, over Badger; the terminals are another process. The floors are what
parts of a try cost when nothing else is done: an echo of its length with a connection for
each terminal, a durable commit of its record, multiplications that come together, the
SM3 and SM4 of request, record and answer.`,
		Example: "  keposs lab escrow --backend badger --records 100000 --html report.html\n  keposs lab escrow --backend postgres --config postgres.toml --json\n  keposs lab escrow --evaluate --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if driver {
				return drive(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout())
			}
			if !evaluate {
				return store.run(cmd, asJSON)
			}
			r, err := Run(cmd.Context())
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if asJSON {
				e := json.NewEncoder(out)
				e.SetIndent("", "  ")
				return e.Encode(r)
			}
			for _, row := range []struct {
				name string
				us   float64
			}{{"evaluate, durable", r.Us.Evaluate}, {"with proof", r.Us.Proof}, {"scalar multiplication", r.Us.ScalarMult}, {"bare gRPC echo", r.Us.Echo},
				{"floor: echo, a connection each", r.Floors.EchoEach}, {"floor: durable commit", r.Floors.Commit}, {"floor: multiplications at once", r.Floors.Lane}, {"floor: sealing", r.Floors.Sealing}} {
				fmt.Fprintf(out, "%-31s %7.1f µs\n", row.name, row.us)
			}
			return nil
		},
	}
	f := c.Flags()
	f.BoolVar(&evaluate, "evaluate", false, "measure Evaluate")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	f.BoolVar(&driver, "drive", false, "be the terminals' process")
	_ = f.MarkHidden("drive")
	store.register(c)
	return c
}

// Run measures. The temporary folder is removed.
func Run(ctx context.Context) (res *Result, err error) {
	const op = "lab escrow"
	dir, err := os.MkdirTemp("", "keposs-escrow-")
	if err != nil {
		return nil, core.Errorf(core.Environment, op, "temporary folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	c, err := newCenter(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	self, err := os.Executable()
	if err != nil {
		return nil, core.Errorf(core.Environment, op, "%w", err)
	}
	child := exec.CommandContext(ctx, self, "lab", "escrow", "--drive")
	child.Stderr = os.Stderr
	to, err := child.StdinPipe()
	if err != nil {
		return nil, core.Errorf(core.Environment, op, "%w", err)
	}
	from, err := child.StdoutPipe()
	if err != nil {
		return nil, core.Errorf(core.Environment, op, "%w", err)
	}
	if err := child.Start(); err != nil {
		return nil, core.Errorf(core.Environment, op, "%w", err)
	}
	defer func() {
		_ = to.Close()
		if werr := child.Wait(); werr != nil && err == nil {
			err = core.Errorf(core.Internal, op, "the terminals' process: %w", werr)
		}
	}()
	words := bufio.NewScanner(from)
	say := func(line []byte) error {
		if _, err := to.Write(append(line, '\n')); err != nil {
			return core.Errorf(core.Internal, op, "%w", err)
		}
		if !words.Scan() || words.Text() != "ok" {
			return core.Errorf(core.Internal, op, "the terminals' process gave up")
		}
		return nil
	}
	p, err := json.Marshal(c.plan)
	if err != nil {
		return nil, core.Errorf(core.Internal, op, "%w", err)
	}
	if err := say(p); err != nil {
		return nil, err
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	got := map[string][]float64{}
	const calls = users * limit
	told := func(kind string) error { // a round the terminals make
		runtime.GC()
		before := bench.CPU()
		err := say([]byte(kind))
		got[kind] = append(got[kind], float64((bench.CPU()-before).Nanoseconds())/calls/1e3)
		return err
	}
	for range rounds {
		for _, kind := range []string{roundEcho, roundEvaluate, roundProof} {
			if kind != roundEcho {
				if err := c.unlock(ctx); err != nil {
					return nil, err
				}
			}
			if err := told(kind); err != nil {
				return nil, err
			}
		}
		got["scalar"] = append(got["scalar"], scalar(calls))
	}
	disk, err := newWriter(ctx, c.store)
	if err != nil {
		return nil, err
	}
	for range rounds {
		if err := told(roundEchoEach); err != nil {
			return nil, err
		}
		got["lane"] = append(got["lane"], lane())
		runtime.GC()
		us, err := disk.round(ctx)
		if err != nil {
			return nil, err
		}
		got["commit"] = append(got["commit"], us)
		if us, err = sealing(); err != nil {
			return nil, err
		}
		got["sealing"] = append(got["sealing"], us)
	}
	mid := func(kind string) float64 {
		slices.Sort(got[kind])
		return got[kind][len(got[kind])/2]
	}
	return &Result{Us: Micros{mid(roundEvaluate), mid(roundProof), mid("scalar"), mid(roundEcho)},
		Floors: Floors{EchoEach: mid(roundEchoEach), Commit: mid("commit"), Lane: mid("lane"), Sealing: mid("sealing")}, Users: users, Rounds: rounds, Calls: calls, Backend: "badger"}, nil
}

// scalar is the processor time of one multiplication of a point, in µs.
func scalar(n int) float64 {
	q, _ := sm.BaseMult(&[32]byte{31: 7})
	k := [32]byte{1, 2, 3, 31: 9}
	before := bench.CPU()
	for range n {
		q, _ = q.Mult(&k)
	}
	return float64((bench.CPU() - before).Nanoseconds()) / float64(n) / 1e3
}
