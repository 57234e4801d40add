// Package kdftest is the conformance kit for key derivations: every sentence of
// core.KDF as a case. A KDF's whole test is
//
//	func TestConformance(t *testing.T)   { kdftest.Run(t, harness) }
//	func BenchmarkConformance(b *testing.B) { kdftest.Bench(b, harness) }
//
// The cases are data, so that go test, `keposs plugin check` and the lab run
// the same ones: on the bare value and on the client of a plugin process.
//
// Groups: A description, B parameters and limits, C derivation, D contexts,
// E cost and memory, F concurrency, G residue, H calibration. Levels: 0 always,
// 1 in CI, 2 long.
//
// The kit never chooses cheap parameters by itself: Harness.Cheap names them
// and every run logs them, so that no test mistakes them for a policy.
package kdftest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/internal/testenv"
)

// A Case is one rule a KDF keeps.
type Case struct {
	Name   string // CamelCase, unique
	Rule   string // the sentence of the contract
	Advice string // where to look when it fails
	Group  string // "A" to "H"
	Level  int    // 0, 1 or 2
	Run    func(ctx context.Context, h Harness) error
}

// A Vector is a known answer at the level of the contract.
type Vector struct {
	Name         string
	Params       core.Params
	Secret, Salt []byte
	Out          []byte
}

// A Harness tells the kit what it tests.
type Harness struct {
	Name string
	// New returns the KDF: a value, or the client of a process.
	New func() (core.KDF, error)
	// Cheap is the smallest cost the KDF accepts; logged by Run.
	Cheap core.Params
	// Costly takes a tenth of a second or more; its Values differ from Cheap's.
	// Empty for a KDF that has no cost.
	Costly core.Params
	// Vectors are known answers.
	Vectors []Vector
	// Reference computes the same independently; nil = none.
	Reference func(p core.Params, secret, salt []byte, n int) ([]byte, error)
	// InProcess says New returns a value of this process, so that allocations
	// and memory can be looked at.
	InProcess bool
	// Wipes says the KDF promises to leave no copy of the secret.
	Wipes bool
	// Steps says calibration can reach any time, so that ±10 % is promised.
	Steps bool
}

// Skip is the error of a case that does not apply; its text says why.
type Skip string

// Error returns the reason.
func (s Skip) Error() string { return string(s) }

// Cases returns every case in order of group.
func Cases() []Case {
	var all []Case
	for _, g := range [][]Case{descriptions, parameters, derivations, contexts, costs, residues, calibrations} {
		all = append(all, g...)
	}
	return all
}

// RunCase runs one case with a time limit of its own.
func RunCase(ctx context.Context, h Harness, c Case) error {
	limit := []time.Duration{time.Minute, 2 * time.Minute, time.Hour}[c.Level]
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return c.Run(ctx, h)
}

// Run is the whole conformance test of h.
func Run(t *testing.T, h Harness) {
	t.Helper()
	Cheap(t, h)
	for _, c := range Cases() {
		t.Run(c.Group+"/"+c.Name, func(t *testing.T) {
			testenv.NeedLevel(t, c.Level)
			err := RunCase(t.Context(), h, c)
			var skip Skip
			switch {
			case errors.As(err, &skip):
				t.Skip(skip)
			case err != nil:
				t.Errorf("%v\nrule: %s\nadvice: %s", err, c.Rule, c.Advice)
			}
		})
	}
}

// Cheap returns h's cheap parameters and logs that they are in use.
func Cheap(t testing.TB, h Harness) core.Params {
	t.Helper()
	t.Logf("%s: cheap parameters %s, far under any policy's floor", h.Name, h.Cheap)
	return h.Cheap
}

// Bench times Derive at the cheap and the costly parameters.
func Bench(b *testing.B, h Harness) {
	k, err := h.New()
	if err != nil {
		b.Fatal(err)
	}
	for _, p := range []core.Params{h.Cheap, h.Costly} {
		if p.Name == "" {
			continue
		}
		b.Run(p.String(), func(b *testing.B) {
			b.ReportAllocs()
			out := make([]byte, 32)
			for b.Loop() {
				if err := k.Derive(b.Context(), p, []byte("123456"), salt, out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// salt is long enough for every KDF.
var salt = []byte("a salt of 16 byt")

// derive is one 32-byte derivation.
func derive(ctx context.Context, k core.KDF, p core.Params, secret, salt string) ([]byte, error) {
	out := make([]byte, 32)
	err := k.Derive(ctx, p, []byte(secret), []byte(salt), out)
	return out, err
}

// refuses checks that err is an *core.Error of one of codes whose text holds
// every name.
func refuses(err error, what string, names []string, codes ...core.Code) error {
	var e *core.Error
	if err == nil {
		return fmt.Errorf("%s is accepted", what)
	}
	if !errors.As(err, &e) {
		return fmt.Errorf("%s: error %q is not a *core.Error", what, err)
	}
	ok := false
	for _, c := range codes {
		ok = ok || e.Code == c
	}
	if !ok {
		return fmt.Errorf("%s: code %s, want one of %v", what, e.Code, codes)
	}
	for _, n := range names {
		if !contains(err.Error(), n) {
			return fmt.Errorf("%s: the error does not name %q: %v", what, n, err)
		}
	}
	return nil
}
