// Package thief is `keposs lab thief`: who finds a 4-digit PIN, with what, and
// how fast. The attacks are real and run on a real installation in a temporary
// folder: SS-CC over Badger behind its network interface, one plain and one
// hardened user made by package client. Only the KDF's cost is lowered, so that
// the show ends; what the real one takes follows from the rate measured.
package thief

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"time"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/kdf"
)

// Attackers, by what they hold.
const (
	Thief         = "thief"          // the terminal's folder with the device key
	ThiefDatabase = "thief+database" // and a copy of SS-CC's sealed database
	ThiefOperator = "thief+operator" // and the password that unseals it
	Operator      = "operator"       // database and password, no terminal
)

// PINs are the 4-digit ones.
const PINs = 10_000

// cost is the iteration count of the show.
const cost = mstcc.MinSlowFloor

// Options of a run.
type Options struct {
	// Space is how many PINs there are, from 0000 on; 0 = PINs. Tests take less.
	Space int
	// Progress hears each case as it ends; nil = nobody.
	Progress func(Case)
}

// A Case is one attacker against one mode.
type Case struct {
	Mode          string  `json:"mode"`
	Attacker      string  `json:"attacker"`
	Found         bool    `json:"found"`
	OnlineAnswers int     `json:"online_answers"` // counted answers of the real SS-CC
	PolicyCalls   int     `json:"policy_calls"`   // uncounted calls to the real SS-CC
	Guesses       int     `json:"guesses"`
	Seconds       float64 `json:"seconds"`
	Ended         string  `json:"ended"` // why the search stopped
}

// A Real is what the whole search takes at the real cost on as many cores.
type Real struct {
	Iterations    uint64  `json:"iterations"`
	SecondsFour   float64 `json:"seconds_4_digits"`
	SecondsSix    float64 `json:"seconds_6_digits"`
	CoreHoursSix  float64 `json:"core_hours_6_digits"`
	GuessesPerSec float64 `json:"guesses_per_second"`
}

// Result is what --json prints.
type Result struct {
	Space         int     `json:"space"`
	Limit         uint32  `json:"limit"`
	Iterations    uint64  `json:"iterations"`
	Workers       int     `json:"workers"`
	GuessesPerSec float64 `json:"guesses_per_second"` // plain mode, thief, all workers
	Cases         []Case  `json:"cases"`
	Real          Real    `json:"real"`
	Seconds       float64 `json:"seconds"`
}

// Run makes the installation, attacks it and removes it. The context ends it.
func Run(ctx context.Context, o Options) (res *Result, err error) {
	const op = "lab thief"
	began := time.Now()
	if o.Space == 0 {
		o.Space = PINs
	}
	if o.Space < 1 || o.Space > PINs {
		return nil, core.Errorf(core.Usage, op, "%d PINs, want 1 to %d", o.Space, PINs)
	}
	dir, err := os.MkdirTemp("", "keposs-thief-")
	if err != nil {
		return nil, core.Errorf(core.Environment, op, "temporary folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := newSite(dir)
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.setUp(ctx, o.Space); err != nil {
		return nil, err
	}
	res = &Result{Space: o.Space, Limit: client.DefaultProfile().Limit, Iterations: cost, Workers: runtime.GOMAXPROCS(0)}
	for _, mode := range []protocol.Mode{protocol.ModePlain, protocol.ModeHardened} {
		for _, who := range []string{Thief, ThiefDatabase, ThiefOperator, Operator} {
			c, err := s.attack(ctx, mode, who, o.Space)
			if err != nil {
				return nil, fmt.Errorf("%s against %s: %w", who, mode, err)
			}
			res.Cases = append(res.Cases, c)
			if o.Progress != nil {
				o.Progress(c)
			}
		}
	}
	res.GuessesPerSec = float64(res.Cases[0].Guesses) / max(res.Cases[0].Seconds, 1e-6)
	if res.Real, err = realCost(ctx, res.Workers); err != nil {
		return nil, err
	}
	res.Seconds = time.Since(began).Seconds()
	return res, nil
}

// realCost measures the KDF on one core at enough iterations that nothing else
// counts, and scales: PBKDF2 takes time in proportion. At the show's 1024 the
// rest of a guess costs as much as the KDF, so that rate says little.
func realCost(ctx context.Context, workers int) (r Real, err error) {
	const iterations = 200_000
	slow, err := kdf.Builtin(kdf.Default)
	if err != nil {
		return r, err
	}
	pin, out := []byte("0000"), make([]byte, 32) // nobody's
	best := time.Duration(math.MaxInt64)
	for range 3 {
		began := time.Now()
		if err := slow.Derive(ctx, core.NewParams(kdf.Default, core.Param{Key: "i", N: iterations}), pin, make([]byte, 32), out); err != nil {
			return r, err
		}
		best = min(best, time.Since(began))
	}
	r.Iterations = client.DefaultProfile().SlowFloor
	one := best.Seconds() * float64(r.Iterations) / iterations
	r.GuessesPerSec = float64(workers) / one
	r.SecondsFour = 1e4 / r.GuessesPerSec
	r.SecondsSix = 1e6 / r.GuessesPerSec
	r.CoreHoursSix = r.SecondsSix * float64(workers) / 3600
	return r, nil
}
