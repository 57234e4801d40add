// Package attack runs the best known searches against KEPOSS-MF/1 and against
// two designs it was chosen over, on small guess spaces, for real, and counts
// what they cost: slow KDF calls and fast operations.
//
// The rule it shows: for KEPOSS-MF/1 the cheapest test anywhere is one slow
// call over one complete authorised set, so slow calls are never fewer than
// candidates. Shamir shares of guessable factors check each other without any
// slow call; a slow call per factor adds tables where it should multiply.
//
// The attacker here is S+D unless a case says otherwise: everything SS-CC
// stores and the terminal's disk, but no factor.
package attack

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/sm"
)

// The designs compared.
const (
	DesignMF        = "keposs-mf/1"
	DesignShamir    = "shamir-then-kdf"
	DesignPerFactor = "kdf-per-factor"
)

// A Case is one search.
type Case struct {
	Policy   string `json:"policy"`
	Design   string `json:"design"`
	Attacker string `json:"attacker"`
	// Candidates is how many complete guesses certain success takes: the size
	// of the cheapest authorised set's guess space.
	Candidates int64 `json:"candidates"`
	SlowCalls  int64 `json:"slow_calls"`
	FastOps    int64 `json:"fast_ops"`
	Found      bool  `json:"found"`
	// Words says how the search went.
	Words string `json:"words"`
}

// A Report is every case with what it took.
type Report struct {
	Cases   []Case  `json:"cases"`
	Seconds float64 `json:"seconds"`
}

// spaces are the guess spaces: factor label → number of values. They stand
// for PINs, gestures and tokens of a few dozen values; costs scale.
var spaces = map[string]int{"pin": 60, "gesture": 48, "token": 40}

// guess is the i-th value of a factor.
func guess(label string, i int) []byte { return fmt.Appendf(nil, "%s-%04d", label, i) }

// counter is a KDF of one HMAC that counts its calls: the searches measure
// calls, not seconds.
type counter struct{ calls atomic.Int64 }

func (k *counter) Describe(context.Context) (core.KDFInfo, error) {
	return core.KDFInfo{Name: "counted"}, nil
}
func (k *counter) Validate(core.Params, core.Limits) error { return nil }
func (k *counter) Calibrate(context.Context, time.Duration, core.Limits) (core.Params, error) {
	return core.NewParams("counted"), nil
}

func (k *counter) Derive(ctx context.Context, _ core.Params, s, salt, out []byte) error {
	k.calls.Add(1)
	h := sm.HMAC(salt, s)
	copy(out, h[:])
	return ctx.Err()
}

// Run plays every case. It stops with Timeout when budget is used up; 0 means
// one minute. rand supplies the victims' secrets; nil is the module's DRBG.
func Run(ctx context.Context, budget time.Duration, rand io.Reader) (*Report, error) {
	if budget <= 0 {
		budget = time.Minute
	}
	if rand == nil {
		rand = sm.Rand()
	}
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	start := time.Now()
	r := &Report{}
	for _, play := range []func() (Case, error){
		func() (Case, error) { return searchMF(ctx, rand, "pin", holderKnown) },
		func() (Case, error) { return searchMF(ctx, rand, "gesture | pin", holderKnown) },
		func() (Case, error) { return searchMF(ctx, rand, "2 of (gesture, pin, token)", holderKnown) },
		func() (Case, error) { return searchMF(ctx, rand, "gesture & pin", holderKnown) },
		func() (Case, error) { return searchMF(ctx, rand, "pin & (gesture | token)", holderKnown) },
		func() (Case, error) { return searchMF(ctx, rand, "pin", holderUnknown) },
		func() (Case, error) { return collideMF(ctx, rand) },
		func() (Case, error) { return breakShamir(ctx, rand, 1, "gesture", "pin") },
		func() (Case, error) { return breakShamir(ctx, rand, 2, "gesture", "pin", "token") },
		func() (Case, error) { return breakPerFactor(ctx, rand, "gesture", "pin") },
		func() (Case, error) { return breakPerFactor(ctx, rand, "gesture", "pin", "token") },
	} {
		c, err := play()
		if ctx.Err() != nil {
			return nil, core.Errorf(core.Timeout, "attack: run", "not finished within %v; give more", budget)
		}
		if err != nil {
			return nil, err
		}
		r.Cases = append(r.Cases, c)
	}
	r.Seconds = time.Since(start).Seconds()
	return r, nil
}

// pick draws the victim's values: one index per label.
func pick(rand io.Reader, labels []string) (map[string]int, error) {
	out := map[string]int{}
	for _, l := range labels {
		var b [8]byte
		if _, err := io.ReadFull(rand, b[:]); err != nil {
			return nil, core.Errorf(core.Internal, "attack", "read random bytes: %w", err)
		}
		n := 0
		for _, v := range b {
			n = (n*256 + int(v)) % spaces[l]
		}
		out[l] = n
	}
	return out, nil
}

// size is the guess space of a set.
func size(set []string) int64 {
	n := int64(1)
	for _, l := range set {
		n *= int64(spaces[l])
	}
	return n
}

// cheapest returns the minimal set with the smallest guess space.
func cheapest(t *policy.Tree) []string {
	var best []string
	for _, s := range t.MinimalSets() {
		if best == nil || size(s) < size(best) {
			best = s
		}
	}
	return best
}

// each calls fn with every combination of values of the labels.
func each(labels []string, fn func(map[string]int) error) error {
	at := map[string]int{}
	var walk func(i int) error
	walk = func(i int) error {
		if i == len(labels) {
			return fn(at)
		}
		for v := range spaces[labels[i]] {
			at[labels[i]] = v
			if err := walk(i + 1); err != nil {
				return err
			}
		}
		return nil
	}
	return walk(0)
}
