package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/ppd/ppdtest"
)

// typist is a made-up person: habits differ by 35 %, one's own entries by 8 %.
type typist struct {
	who  uint64
	take *uint64
}

func person(seed uint64) ppdtest.Person { return typist{seed, new(uint64)} }

func (t typist) Ask(ctx context.Context, q core.Prompt) (core.Sample, error) {
	if err := ctx.Err(); err != nil {
		return core.Sample{}, core.Errorf(core.Canceled, "typist", "%w", err)
	}
	*t.take++
	return core.NewSample(core.SampleBytes, entry(t.who, *t.take<<8|uint64(q.Purpose))), nil
}

// entry is one typing of the phrase.
func entry(who, n uint64) []byte {
	habit := rand.New(rand.NewPCG(7, who))
	noise := rand.New(rand.NewPCG(who, n))
	var out []string
	for i := range values {
		usual := 100.0
		if i%2 == 1 {
			usual = 150
		}
		out = append(out, fmt.Sprintf("%.1f", usual*math.Exp(0.35*habit.NormFloat64()+0.08*noise.NormFloat64())))
	}
	return []byte(strings.Join(out, ","))
}

func TestConformance(t *testing.T) {
	ppdtest.Run(t, ppdtest.Harness{
		New: func() core.Source { return New() }, Person: person, Takes: 9, TakesOf: 10,
		Poor: func(core.Prompt) core.Sample { return core.NewSample(core.SampleBytes, []byte("100,150")) },
	})
}

// The claimed strength is not above what 40 made-up typists show: each tries the
// record of each other one.
func TestStrength(t *testing.T) {
	s := newSketcher()
	const people = 40
	passed, own := 0, 0
	for who := range uint64(people) {
		key := secret.New(32)
		key.Bytes()[0] = byte(who)
		mine, _ := parse(entry(who, 1))
		helper, sec, err := s.enrol(key, mine)
		if err != nil {
			t.Fatal(err)
		}
		for other := range uint64(people) {
			theirs, _ := parse(entry(other, 2))
			got, err := s.recover(key, theirs, helper)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case !got.Equal(sec):
			case who == other:
				own++
			default:
				passed++
			}
		}
	}
	if own < people*8/10 {
		t.Errorf("%d of %d typists open their own record", own, people)
	}
	const n = people * (people - 1)
	// Upper 95 % bound of a rate, normal approximation with a rule of three at 0.
	rate := float64(passed) / n
	upper := max(3.0/n, rate+1.645*math.Sqrt(rate*(1-rate)/n))
	if claim := math.Exp2(-float64(strength.PerTry) / 1000); claim < upper {
		t.Errorf("%d of %d strangers pass, at most %.4f; claimed is %.4f", passed, n, upper, claim)
	}
	t.Logf("%d of %d own, %d of %d strangers pass", own, people, passed, n)
}

// The folder samples is eight entries of six such typists, for --samples of
// keposs plugin check.
func TestSamples(t *testing.T) {
	for who := range uint64(6) {
		for n := range uint64(8) {
			path := filepath.Join("samples", fmt.Sprintf("typist-%d", who+1), fmt.Sprintf("take-%d", n+1))
			got, err := os.ReadFile(path)
			if err != nil || string(got) != string(entry(who, n+1)) {
				t.Errorf("%s is not an entry of typist %d: %v", path, who, err)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(entry(1, 1))
	f.Add([]byte("1,2,,"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, flaw := parse(b)
		if (r == nil) == (flaw == "") {
			t.Fatal("neither a rhythm nor a flaw, or both")
		}
		for i := 0; r != nil && i < values; i++ {
			if math.IsNaN(r[i]) || math.IsInf(r[i], 0) {
				t.Fatal("a value that is no number")
			}
		}
	})
}
