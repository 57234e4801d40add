package lab

import (
	"context"
	"errors"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/ppd/lab/guess"
)

// Options of a run. The zero value is the quick run.
type Options struct {
	Full          bool
	Plan          []core.Params         // nil = QuickPlan or FullPlan
	Rounds        int                   // of the ratios; 0 = 7 quick, 21 full; below 0 = no ratios
	Budget        time.Duration         // 0 = 25 s quick, 9.5 minutes full; a cell begun is ended
	Distributions []*guess.Distribution // nil = DefaultDistributions
	Prices        []Price               // nil = DefaultPrices
	Resume        *State                // nil = nothing is kept
	Command       string                // what makes the result again
	Version       string                // of this program
	Progress      func(done, total int, what string)

	effort *effort // tests measure briefly
}

// Run measures. When ctx ends, what was measured is lost but for the state;
// when the budget ends the result says that it is not complete.
func Run(ctx context.Context, o Options) (*Result, error) {
	e, rounds := quickEffort, 7
	if o.Full {
		e, rounds = fullEffort, 21
	}
	if o.effort != nil {
		e = *o.effort
	}
	if o.Rounds != 0 {
		rounds = o.Rounds
	}
	if o.Budget == 0 {
		o.Budget = 25 * time.Second
		if o.Full {
			o.Budget = 9*time.Minute + 30*time.Second
		}
	}
	if o.Plan == nil {
		o.Plan = QuickPlan()
		if o.Full {
			o.Plan = FullPlan()
		}
	}
	if o.Distributions == nil {
		o.Distributions = DefaultDistributions()
	}
	if o.Prices == nil {
		o.Prices = DefaultPrices()
	}
	if o.Progress == nil {
		o.Progress = func(int, int, string) {}
	}
	begun := time.Now()
	end := begun.Add(o.Budget)
	r := &Result{Schema: Schema, Command: o.Command, Started: begun.UTC().Truncate(time.Second), Prices: o.Prices,
		Machine: DescribeMachine(ctx, o.Version), Complete: true, Ratios: map[string]float64{}, RatioSamples: map[string][]float64{}}
	if err := o.Resume.match(r.Machine); err != nil {
		return nil, err
	}
	total := len(o.Plan) + 1
	o.Progress(0, total, "ratios of implementations")
	if rounds > 0 {
		var err error
		if r.Ratios, r.RatioSamples, err = ratios(ctx, rounds, o.Budget/5, r.Machine.OpenSSL != ""); err != nil {
			return nil, err
		}
	}
	for i, p := range o.Plan {
		if c, ok := o.Resume.cell(p); ok {
			r.Cells = append(r.Cells, c)
			continue
		}
		if time.Now().After(end) {
			r.Complete = false
			continue // later cells may be in the state
		}
		o.Progress(i+1, total, p.String())
		c, err := measure(ctx, p, e)
		if err != nil {
			if ctx.Err() != nil && !errors.Is(err, core.Canceled) {
				err = core.Errorf(core.Canceled, "lab: run", "%w", err)
			}
			return nil, err
		}
		if err := o.Resume.add(c); err != nil {
			return nil, err
		}
		r.Cells = append(r.Cells, c)
	}
	o.Progress(total, total, "done")
	for _, d := range o.Distributions {
		r.Distributions = append(r.Distributions, targetOf(d))
	}
	r.Attacks = attacks(r.Cells, r.Distributions, r.Prices)
	r.Notes = notes(r)
	r.Seconds = time.Since(begun).Seconds()
	return r, nil
}

func notes(r *Result) (out []string) {
	if !r.Complete {
		out = append(out, "The budget ended before the plan: run again with the same --out to go on, or with a larger --budget.")
	}
	if r.Machine.Load > 0.5 {
		out = append(out, "The machine was not idle when the run began: latencies are upper bounds. Ratios are of CPU time within one run and move little.")
	}
	if len(r.Machine.Lanes) == 1 {
		out = append(out, "This build has no SIMD lanes, so neither has its attacker: a real one is faster. Build with GOEXPERIMENT=simd on amd64.")
	}
	for _, d := range r.Distributions {
		if d.Evidence == guess.Published {
			out = append(out, "Distributions of evidence \"published\" are points of a curve with even steps between: give counted data with --pins or --patterns.")
			break
		}
	}
	return out
}
