package guess_test

import (
	"bytes"
	"errors"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/internal/testenv"
	"github.com/keposs/keposs/ppd/gesture"
	"github.com/keposs/keposs/ppd/lab/guess"
	"github.com/keposs/keposs/ppd/pin"
)

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if math.Abs(got-want) > within {
		t.Errorf("%s = %.6g, want %.6g", what, got, want)
	}
}

// On a uniform space every measure is known in closed form.
func TestUniform(t *testing.T) {
	d := guess.OfUniform("u", "counted", 1<<20)
	near(t, "success", d.Success(1<<10), 1./1024, 1e-12)
	if w := d.Work(0.5); w != 1<<19 {
		t.Errorf("work = %d", w)
	}
	for _, a := range []float64{0.1, 0.5, 1} {
		near(t, "entropy", d.Entropy(a), 20, 1e-6)
	}
	near(t, "shannon", d.Shannon(), 20, 1e-9)
	near(t, "expected", d.Expected(1), (1<<20+1)/2., 1e-6)
}

// A distribution small enough to add up by hand: 4, 2, 1, 1 of 8.
func TestByHand(t *testing.T) {
	d, err := guess.OfCounts("h", "", []guess.Value{{Text: "a", Count: 1}, {Text: "b", Count: 4}, {Text: "c", Count: 1}, {Text: "d", Count: 2}, {Text: "never", Count: 0}})
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range []float64{0, 0.5, 0.75, 0.875, 1, 1} {
		near(t, "success", d.Success(uint64(n)), want, 1e-12)
	}
	for _, c := range []struct {
		alpha float64
		work  uint64
	}{{0.01, 1}, {0.5, 1}, {0.51, 2}, {0.75, 2}, {0.8, 3}, {1, 4}} {
		if got := d.Work(c.alpha); got != c.work {
			t.Errorf("work of %g = %d, want %d", c.alpha, got, c.work)
		}
	}
	near(t, "expected at 1", d.Expected(1), 0.5+0.5+3./8+4./8, 1e-12)
	near(t, "expected at 0.75", d.Expected(0.75), 0.25*2+0.5+0.5, 1e-12)
}

func TestRefusals(t *testing.T) {
	for name, in := range map[string]string{
		"no comma": "1234\n", "sign": "1234,-1\n", "twice": "1,1\n1,2\n", "empty": ",1\n", "huge": "1,99999999999999\n",
		"long": strings.Repeat("9", 200) + ",1\n", "three": "1,2,3\n",
	} {
		if v, err := guess.ReadCounts(strings.NewReader(in)); err == nil {
			t.Errorf("%s is read as %v", name, v)
		}
	}
	if _, err := guess.OfPoints("p", "", 10, []guess.Point{{5, 0.5}, {4, 0.6}}); !errors.Is(err, core.Invalid) {
		t.Errorf("falling points: %v", err)
	}
	if _, err := guess.OfPoints("p", "", 100, []guess.Point{{5, 0.1}, {10, 0.9}}); !errors.Is(err, core.Invalid) {
		t.Errorf("a convex curve: %v", err)
	}
	if _, err := guess.OfCounts("c", "", nil); !errors.Is(err, core.Invalid) {
		t.Errorf("nothing: %v", err)
	}
	if _, err := guess.OfHead("h", "", []guess.Value{{Text: "a", Count: 3}}, 2, 10); !errors.Is(err, core.Invalid) {
		t.Errorf("more than all: %v", err)
	}
}

func TestBuiltInPoints(t *testing.T) {
	for _, d := range []*guess.Distribution{guess.PINPoints(), guess.PatternPoints()} {
		if err := d.Check(); err != nil {
			t.Error(err)
		}
	}
	near(t, "pattern", guess.PatternPoints().Success(20), 0.15, 1e-12)
}

// The measured distribution gives the figures the design quotes and the
// built-in points.
func TestRockYou(t *testing.T) {
	values, counted, err := guess.Load(testenv.Data(t, "pins", "rockyou-4-digit-counts.csv"))
	if err != nil || !counted {
		t.Fatal(counted, err)
	}
	d, err := guess.OfCounts("RockYou", "", values)
	if err != nil {
		t.Fatal(err)
	}
	points := guess.PINPoints()
	for _, n := range []uint64{3, 10, 30, 100} {
		near(t, "success", points.Success(n), d.Success(n), 0.0006)
	}
	near(t, "G̃ 0.5", d.Entropy(0.5), 8.78, 0.01)
	near(t, "Shannon", d.Shannon(), 10.74, 0.01)
}

// The rules asked through the source are the rules' own counts.
// req: G-7.4-04
func TestDivide(t *testing.T) {
	values, _, err := guess.Load(testenv.Data(t, "pins", "rockyou-4-digit-counts.csv"))
	if err != nil {
		t.Fatal(err)
	}
	src := pin.New()
	s, err := guess.Divide(values, func(v string) (string, error) {
		return guess.Refusal(t.Context(), src, map[string]string{"min": "4"}, core.SamplePIN, v)
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := float64(len(s.Kept)), pin.Allowed(pin.Digits, 4); got != want {
		t.Errorf("%v kept, the source counts %v", got, want)
	}
	if s.Mass < 0.3 || len(s.Refused) < 4 {
		t.Errorf("refused %.3f of the mass for %d reasons", s.Mass, len(s.Refused))
	}
}

func TestRefusalOfGestures(t *testing.T) {
	for v, refused := range map[string]bool{"1-2-3-6-9": true, "2-9-4-3-8-1": false, "1-3": true} {
		why, err := guess.Refusal(t.Context(), gesture.New(), nil, core.SamplePattern, v)
		if err != nil {
			t.Fatal(err)
		}
		if (why != "") != refused {
			t.Errorf("%s: refused for %q, want refused = %v", v, why, refused)
		}
	}
}

func TestLoadByContent(t *testing.T) {
	for name, c := range map[string]struct {
		text    string
		counted bool
		first   guess.Value
	}{
		"counts":   {"0000,7\n1,2\n", true, guess.Value{Text: "0000", Count: 7}},
		"order":    {"123456\n654321\n", false, guess.Value{Text: "123456"}},
		"patterns": {`{"patterns":[{"nodes":[0,1,2,5],"frequency":8}]}`, true, guess.Value{Text: "1-2-3-6", Count: 8}},
	} {
		path := t.TempDir() + "/f"
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		v, counted, err := guess.Load(path)
		if err != nil || counted != c.counted || len(v) == 0 || v[0] != c.first {
			t.Errorf("%s: %v, %v, %v", name, v, counted, err)
		}
	}
}

func FuzzFiles(f *testing.F) {
	f.Add([]byte("1234,5\n"))
	f.Add([]byte("1234\n0000\n"))
	f.Add([]byte(`{"patterns":[{"nodes":[0,1],"frequency":1}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, err := guess.ReadCounts(bytes.NewReader(b)); err == nil && len(v) > 0 {
			if d, err := guess.OfCounts("f", "", v); err == nil && (d.Success(d.Space()) < 0.999999 || d.Work(1) > d.Space()) {
				t.Errorf("%v", d)
			}
		}
		if v, err := guess.ReadPatterns(bytes.NewReader(b)); err == nil {
			for _, p := range v {
				if p.Text == "" {
					t.Error("an empty pattern")
				}
			}
		}
		_, _ = guess.ReadOrder(bytes.NewReader(b))
	})
}

// Under a rule the curve falls by what the rule refuses, worked out by hand; an
// order yields no success at all.
func TestStudies(t *testing.T) {
	values := []guess.Value{{Text: "1111", Count: 6}, {Text: "1357", Count: 3}, {Text: "8264", Count: 1}}
	rules := func(v string) (string, error) {
		if v == "1111" {
			return "the same", nil
		}
		return "", nil
	}
	lists := []guess.Blocklist{{Name: "l", Values: map[string]bool{"1357": true}}}
	s, err := guess.Counts("d", values, nil, rules, lists)
	if err != nil || len(s.Curves) != 3 {
		t.Fatalf("%+v, %v", s, err)
	}
	for i, want := range []float64{0.6, 0.75, 6. / 7} {
		near(t, s.Curves[i].Policy, s.Curves[i].Online[0].Success, want, 1e-12)
	}
	near(t, "share", s.Share, 0.6, 1e-12)
	h, err := guess.Counts("d", values, &guess.Head{Total: 20, Space: 1003}, rules, nil)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "head", h.Curves[0].Online[0].Success, 0.3, 1e-12)
	near(t, "head under the rule", h.Curves[1].Online[0].Success, 3./14, 1e-12)
	o, err := guess.Order("d", values, rules, lists)
	if err != nil || !o.OrderOnly || len(o.Curves) != 0 || len(o.Warnings) == 0 || len(o.Ranked) != 2 || o.Ranked[0] != (guess.Ranked{Policy: "rules of keposs", First: 3, Refused: 1}) {
		t.Errorf("%+v, %v", o, err)
	}
	if _, err := guess.Order("d", nil, rules, nil); !errors.Is(err, core.Invalid) {
		t.Errorf("an empty order: %v", err)
	}
}
