// Package faultscmd is `keposs lab faults`: harm done to a backend while
// clients write, and a count of what they were told and is gone.
package faultscmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/escrowtest"
	"github.com/keposs/keposs/internal/cutdisk"
	"github.com/keposs/keposs/internal/etcdserver"
	"github.com/keposs/keposs/internal/pgserver"
)

// clients write at once.
const clients = 16

// Result is what --json prints.
type Result struct {
	Backend  string          `json:"backend"`
	Profile  string          `json:"profile"`
	Rounds   int             `json:"rounds"`
	Faults   map[string]int  `json:"faults"` // rounds by fault
	Acks     uint64          `json:"acks"`
	Lost     int             `json:"lost"`
	Findings []string        `json:"findings,omitempty"` // of what was lost
	Controls map[string]bool `json:"controls"`           // true = the broken store was caught
	Skipped  []string        `json:"skipped"`            // with the reason
	Seconds  float64         `json:"seconds"`
}

// A fault is one kind of harm. It does so many rounds over one store; an error
// of absent says why it cannot be done here.
type fault struct {
	name        string
	quick, long int
	do          func(ctx context.Context, r *run, rounds int) error
}

// absent are the errors of what this machine lacks.
var absent = []error{cutdisk.ErrAbsent, pgserver.ErrAbsent, etcdserver.ErrAbsent}

// A run collects.
type run struct {
	Result
	say  io.Writer
	some bool // only chosen faults, and no control
}

var backends = map[string][]fault{
	"badger": {{"kill", 12, 200, kill("badger")}, {"power-cut", 10, 200, cut("badger")}, {"disk-full", 1, 3, full("badger")},
		{"kill-in-rotate", 1, 20, embedded.rotateKill}, {"kill-in-migrate", 1, 20, embedded.migrateKill}, {"kill-in-restore", 1, 10, embedded.restoreKill}},
	"memory": {{"kill", 12, 200, kill("memory")}, {"power-cut", 6, 200, cut("memory")}},
	"postgres": {{"primary-kill", 3, 10, primaryKill}, {"slow-network", 1, 3, network(postgresNetwork).slow}, {"half-open-network", 1, 3, network(postgresNetwork).halfOpen(true)},
		{"kill-in-rotate", 1, 3, onPostgres.rotateKill}, {"kill-in-migrate", 1, 3, onPostgres.migrateKill}, {"kill-in-restore", 1, 3, onPostgres.restoreKill}},
	"etcd": {{"leader-kill", 3, 10, leaderKill}, {"leader-pause", 1, 5, leaderPause}, {"slow-network", 1, 3, network(etcdNetwork).slow}, {"half-open-network", 1, 3, network(etcdNetwork).halfOpen(false)},
		{"kill-in-rotate", 1, 3, onEtcd.rotateKill}, {"kill-in-migrate", 1, 3, onEtcd.migrateKill}, {"kill-in-restore", 1, 3, onEtcd.restoreKill}},
}

// Command is `lab faults`.
func Command() *cobra.Command {
	var backend, profile string
	var only []string
	var asJSON bool
	c := &cobra.Command{
		Use:   "faults",
		Short: "Do harm to a storage backend and count what was lost",
		Long: `Let 16 clients write through a backend while it is killed, cut from power, given a full
disk, or while its database loses its primary or leader, and count what was acknowledged
and is gone afterwards: an older version, a deleted record that is readable, a torn one.

badger and memory run as a plugin process. A power cut is a loop-mounted ext4 that is shut
down without flushing its log; it needs root. postgres is a primary with two quorum
standbys, etcd three members, all started here on real servers. SS-CC itself is killed
while it rotates its keys, moves its records or restores them, with terminals that sign:
lost is a counted try that is no longer counted, or a key. The controls are two
ways of using Badger that lose writes: a run in which one is not caught shows nothing.
Exit status 0 means that nothing was lost and every control that ran was caught.`,
		Example: "  keposs lab faults --backend badger\n  keposs lab faults --backend etcd --profile long --json\n  keposs lab faults --backend postgres --only kill-in-rotate,kill-in-migrate",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			const op = "lab faults"
			faults, ok := backends[backend]
			if !ok {
				return core.Errorf(core.Usage, op, "no faults for backend %.32q: want badger, memory, postgres or etcd", backend)
			}
			if profile != "quick" && profile != "long" {
				return core.Errorf(core.Usage, op, "profile %.32q: want quick or long", profile)
			}
			if len(only) > 0 {
				var err error
				if faults, err = chosen(op, faults, only); err != nil {
					return err
				}
			}
			r := &run{say: cmd.ErrOrStderr(), some: len(only) > 0}
			r.Backend, r.Profile, r.Faults, r.Controls, r.Skipped = backend, profile, map[string]int{}, map[string]bool{}, []string{}
			if err := r.all(cmd.Context(), faults); err != nil {
				return err
			}
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				if err := e.Encode(r.Result); err != nil {
					return err
				}
			} else {
				r.print(cmd.OutOrStdout())
			}
			return r.verdict(op)
		},
	}
	f := c.Flags()
	f.StringVar(&backend, "backend", "badger", "storage `backend`: badger, memory, postgres or etcd")
	f.StringVar(&profile, "profile", "quick", "`profile`: quick (minutes) or long")
	f.StringSliceVar(&only, "only", nil, "do only these `faults`, without the controls")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// chosen are the faults with these names, in their order.
func chosen(op string, all []fault, names []string) (out []fault, err error) {
	var known []string
	for _, f := range all {
		known = append(known, f.name)
		if slices.Contains(names, f.name) {
			out = append(out, f)
		}
	}
	for _, n := range names {
		if !slices.Contains(known, n) {
			return nil, core.Errorf(core.Usage, op, "no fault %.32q for this backend: want one of %s", n, strings.Join(known, ", "))
		}
	}
	return out, nil
}

func (r *run) all(ctx context.Context, faults []fault) error {
	start := time.Now()
	for _, f := range faults {
		rounds := f.quick
		if r.Profile == "long" {
			rounds = f.long
		}
		if err := r.attempt(ctx, f.name, func() error { return f.do(ctx, r, rounds) }); err != nil {
			return err
		}
	}
	if r.Backend == "badger" && !r.some {
		for _, name := range controls {
			if err := r.attempt(ctx, "control "+name, func() error { return broken(ctx, r, name) }); err != nil {
				return err
			}
		}
	}
	r.Seconds = time.Since(start).Seconds()
	return nil
}

// attempt runs f and notes why it could not be.
func (r *run) attempt(ctx context.Context, name string, f func() error) error {
	fmt.Fprintf(r.say, "%s …\n", name)
	err := f()
	if slices.ContainsFunc(absent, func(a error) bool { return errors.Is(err, a) }) {
		r.Skipped = append(r.Skipped, name+": "+err.Error())
		return nil
	}
	if err != nil {
		if ctx.Err() != nil {
			return core.Errorf(core.Canceled, "lab faults", "%s: given up", name)
		}
		return core.Errorf(core.Environment, "lab faults", "%s: %w", name, err)
	}
	return nil
}

// judge counts one round of a fault over a store that works again.
func (r *run) judge(ctx context.Context, name string, l *escrowtest.Load, b core.Backend, before uint64) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	lost, finding, err := l.Check(ctx, b)
	if err != nil {
		return err
	}
	r.add(name, l.Acks()-before, lost, finding)
	return nil
}

func (r *run) add(name string, acks uint64, lost int, finding error) {
	r.Rounds++
	r.Faults[name]++
	r.Acks += acks
	r.Lost += lost
	if finding != nil && len(r.Findings) < 20 {
		r.Findings = append(r.Findings, name+": "+finding.Error())
	}
}

func (r *run) print(w io.Writer) {
	fmt.Fprintf(w, "backend  %s, profile %s, %.0f s\nrounds   %d\n", r.Backend, r.Profile, r.Seconds, r.Rounds)
	for name, n := range r.Faults {
		fmt.Fprintf(w, "         %-18s %d\n", name, n)
	}
	fmt.Fprintf(w, "acks     %d\nlost     %d\n", r.Acks, r.Lost)
	for _, f := range r.Findings {
		fmt.Fprintf(w, "         %s\n", f)
	}
	for name, caught := range r.Controls {
		fmt.Fprintf(w, "control  %s: caught %v\n", name, caught)
	}
	for _, s := range r.Skipped {
		fmt.Fprintf(w, "skipped  %s\n", s)
	}
}

func (r *run) verdict(op string) error {
	if r.Lost > 0 {
		return core.Errorf(core.Corrupt, op, "%d acknowledged writes are gone", r.Lost)
	}
	for _, name := range controls {
		if caught, ran := r.Controls[name]; ran && !caught {
			return core.Errorf(core.Environment, op, "%s was not caught: cuts on this machine show nothing", name)
		}
	}
	return nil
}
