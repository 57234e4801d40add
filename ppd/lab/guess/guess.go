// Package guess is the arithmetic of guessing attacks: how many tries open how
// many accounts, from the distribution people really choose from.
//
// The measures are those of Bonneau, "The science of guessing" (IEEE S&P 2012):
// success λ_β of β tries at each account, work factor μ_α to open a share α,
// expected guesses G_α and partial guessing entropy. A distribution is a list
// of bands, from the likeliest value down: counted files, points read from a
// publication and uniform choice are all that.
//
// A list without frequencies is an order, not a distribution: [Order] can say
// how far down a list a value stands, never how many accounts fall.
package guess

import (
	"math"
	"slices"
	"sort"

	"github.com/keposs/keposs/core"
)

// Kinds of evidence a distribution rests on.
const (
	Counted   = "counted"   // frequencies of every value seen
	Published = "published" // points of a published curve, even between them
	Uniform   = "uniform"   // every value alike: the best any person could do
)

// A Band is Values values of probability Each.
type Band struct {
	Values uint64  `json:"values"`
	Each   float64 `json:"each"`
}

// A Distribution says how likely a person chooses each value of a space. Bands
// fall in probability; their masses add up to 1 within 1e-9.
type Distribution struct {
	Name     string `json:"name"`
	Evidence string `json:"evidence"` // Counted, Published or Uniform
	Source   string `json:"source"`   // where the figures can be checked
	Bands    []Band `json:"-"`
}

// Check verifies the shape of d.
func (d *Distribution) Check() error {
	sum, last := 0.0, math.Inf(1)
	for i, b := range d.Bands {
		if b.Values == 0 || !(b.Each >= 0) || b.Each > last {
			return core.Errorf(core.Invalid, "guess: distribution", "%.64s: band %d of %d values at %g each does not fall", d.Name, i, b.Values, b.Each)
		}
		last = b.Each
		sum += float64(b.Values) * b.Each
	}
	if math.Abs(sum-1) > 1e-9 {
		return core.Errorf(core.Invalid, "guess: distribution", "%.64s: the masses add up to %g, want 1", d.Name, sum)
	}
	return nil
}

// Space is the number of values.
func (d *Distribution) Space() (n uint64) {
	for _, b := range d.Bands {
		n += b.Values
	}
	return n
}

// Success is λ_β: the share of accounts open after tries guesses at each.
func (d *Distribution) Success(tries uint64) (s float64) {
	for _, b := range d.Bands {
		n := min(tries, b.Values)
		s += float64(n) * b.Each
		if tries -= n; tries == 0 {
			break
		}
	}
	return min(s, 1)
}

// Work is μ_α: the least number of guesses at each account that open at least
// the share alpha of them, 0 < alpha ≤ 1.
func (d *Distribution) Work(alpha float64) (n uint64) {
	alpha -= 1e-12 // sums of doubles fall short of 1
	sum := 0.0
	for _, b := range d.Bands {
		mass := float64(b.Values) * b.Each
		if sum+mass >= alpha {
			return n + uint64(math.Ceil(max(0, (alpha-sum)/b.Each)))
		}
		sum += mass
		n += b.Values
	}
	return n
}

// Expected is G_α: guesses made at one account on average by who stops after
// μ_α.
func (d *Distribution) Expected(alpha float64) float64 {
	mu := d.Work(alpha)
	g := (1 - d.Success(mu)) * float64(mu)
	at := 0.0
	for _, b := range d.Bands {
		n := float64(b.Values)
		if left := float64(mu) - at; n > left {
			n = left
		}
		if n <= 0 {
			break
		}
		g += b.Each * (n*at + n*(n+1)/2) // Σ i·p over places at+1 … at+n
		at += n
	}
	return g
}

// Entropy is the partial guessing entropy G̃_α in bits: log2 of the size of
// the uniform space on which opening alpha takes the same guesses.
func (d *Distribution) Entropy(alpha float64) float64 {
	lambda := d.Success(d.Work(alpha))
	return math.Log2(2*d.Expected(alpha)/lambda-1) - math.Log2(2-lambda)
}

// Shannon is the Shannon entropy in bits; it says little about guessing and
// helps to recognise a data set.
func (d *Distribution) Shannon() (h float64) {
	for _, b := range d.Bands {
		if b.Each > 0 {
			h -= float64(b.Values) * b.Each * math.Log2(b.Each)
		}
	}
	return h
}

// OfUniform is uniform choice among n values, n ≥ 1.
func OfUniform(name, source string, n uint64) *Distribution {
	return &Distribution{Name: name, Evidence: Uniform, Source: source, Bands: []Band{{n, 1 / float64(n)}}}
}

// OfCounts is the distribution of counted values. Mass nobody was seen to
// choose has none: values that do not occur are left out.
func OfCounts(name, source string, values []Value) (*Distribution, error) {
	counts := make([]uint64, 0, len(values))
	total := uint64(0)
	for _, v := range values {
		if v.Count > 0 {
			counts = append(counts, v.Count)
			total += v.Count
		}
	}
	if total == 0 {
		return nil, core.Errorf(core.Invalid, "guess: counts", "%.64s: nothing was counted", name)
	}
	slices.SortFunc(counts, func(a, b uint64) int { return int(int64(b) - int64(a)) })
	d := &Distribution{Name: name, Evidence: Counted, Source: source}
	for i := 0; i < len(counts); {
		j := i
		for j < len(counts) && counts[j] == counts[i] {
			j++
		}
		d.Bands = append(d.Bands, Band{uint64(j - i), float64(counts[i]) / float64(total)})
		i = j
	}
	return d, d.Check()
}

// A Point says that Guesses tries open the share Success.
type Point struct {
	Guesses uint64  `json:"guesses"`
	Success float64 `json:"success"`
}

// OfPoints is a distribution through published points: even between two of
// them, the rest of the mass even over the rest of a space of n values. It is a
// lower bound of success between points of a concave curve.
func OfPoints(name, source string, n uint64, points []Point) (*Distribution, error) {
	last := Point{}
	for _, p := range append(slices.Clone(points), Point{n, 1}) {
		if p.Guesses <= last.Guesses || p.Success < last.Success {
			return nil, core.Errorf(core.Invalid, "guess: points", "%.64s: the points must rise, at %d guesses", name, p.Guesses)
		}
		last = p
	}
	d := through(name, source, n, points)
	return d, d.Check()
}

func through(name, source string, n uint64, points []Point) *Distribution {
	d := &Distribution{Name: name, Evidence: Published, Source: source}
	last := Point{}
	for _, p := range append(slices.Clone(points), Point{n, 1}) {
		w := p.Guesses - last.Guesses
		d.Bands = append(d.Bands, Band{w, (p.Success - last.Success) / float64(w)})
		last = p
	}
	return d
}

// Curve samples d at 1, 2, 3, 5, 7 of every decade and at its end.
func (d *Distribution) Curve() []Point {
	var out []Point
	space := d.Space()
	for decade := uint64(1); decade < space && decade < 1<<60; decade *= 10 {
		for _, k := range []uint64{1, 2, 3, 5, 7} {
			if g := decade * k; g < space {
				out = append(out, Point{g, d.Success(g)})
			}
		}
	}
	out = append(out, Point{space, d.Success(space)})
	sort.Slice(out, func(i, j int) bool { return out[i].Guesses < out[j].Guesses })
	return out
}

// A WorkFactor is what opening the share Alpha of all accounts takes.
type WorkFactor struct {
	Alpha    float64 `json:"alpha"`
	Guesses  uint64  `json:"guesses"`      // μ_α at each account
	Expected float64 `json:"expected"`     // G_α
	Entropy  float64 `json:"entropy_bits"` // G̃_α
}

// Factors gives d's work factors of alphas.
func (d *Distribution) Factors(alphas []float64) (out []WorkFactor) {
	for _, a := range alphas {
		out = append(out, WorkFactor{Alpha: a, Guesses: d.Work(a), Expected: d.Expected(a), Entropy: d.Entropy(a)})
	}
	return out
}

// Online gives d's success within each number of tries.
func (d *Distribution) Online(tries []uint64) (out []Point) {
	for _, n := range tries {
		out = append(out, Point{n, d.Success(n)})
	}
	return out
}

// PINPoints are points of the RockYou leak's 4-digit sequences, counted by
// this project from the raw list named in their source.
func PINPoints() *Distribution {
	return through("4-digit PINs, RockYou points",
		"counted from RockYou-4-digit of this-pin-can-be-easily-guessed.github.io (Markert et al., IEEE S&P 2020), 1,780,587 sequences; give the file with --pins for all of it",
		10_000, []Point{{3, 0.080}, {10, 0.166}, {30, 0.297}, {100, 0.401}})
}

// PatternPoints are the two success rates published for an attacker with
// training data on 934 collected 3×3 patterns.
func PatternPoints() *Distribution {
	return through("3x3 patterns, published points",
		"Aviv, Budzitowski, Kuber: Is Bigger Better?, ACSAC 2015: 15 % within 20 guesses, 95.9 % within 50,000, of 934 patterns",
		389_112, []Point{{20, 0.15}, {50_000, 0.959}})
}
