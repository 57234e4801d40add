package lab

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/keposs/keposs/core"
)

// A Comparison sets two results side by side: B relative to A.
type Comparison struct {
	SameMachine bool         `json:"same_machine"` // else times compare machines too
	Ratios      []Change     `json:"ratios"`       // of implementations within each run, comparable across machines
	Cells       []CellChange `json:"cells"`
	OnlyA       []string     `json:"only_a,omitempty"`
	OnlyB       []string     `json:"only_b,omitempty"`
}

// A Change is one ratio in both runs.
type Change struct {
	Name string   `json:"name"`
	A    Interval `json:"a"`
	B    Interval `json:"b"`
	Says string   `json:"says"` // lower, higher or "no difference shown"
}

// A CellChange is B's figure divided by A's with a 95 % interval.
type CellChange struct {
	Params   string   `json:"params"`
	CPU      Interval `json:"cpu"` // of the defender
	Wall     Interval `json:"wall"`
	Rate     Interval `json:"rate"` // of the attacker
	CPUSays  string   `json:"cpu_says"`
	RateSays string   `json:"rate_says"`
}

// Compare gives what changed from a to b. A difference is told only where the
// interval excludes 1.
func Compare(a, b *Result) *Comparison {
	c := &Comparison{SameMachine: a.Machine.Same(b.Machine)}
	for _, name := range RatioNames {
		x, y := a.ratio(name), b.ratio(name)
		if x == nil || y == nil {
			continue
		}
		ch := Change{Name: name, A: *x, B: *y, Says: "no difference shown"}
		switch {
		case y.High < x.Low:
			ch.Says = "lower"
		case y.Low > x.High:
			ch.Says = "higher"
		}
		c.Ratios = append(c.Ratios, ch)
	}
	in := map[string]*Cell{}
	for i := range b.Cells {
		in[b.Cells[i].Params] = &b.Cells[i]
	}
	for i := range a.Cells {
		x := &a.Cells[i]
		y := in[x.Params]
		if y == nil {
			c.OnlyA = append(c.OnlyA, x.Params)
			continue
		}
		delete(in, x.Params)
		if len(x.Defender.CPUNs)*len(y.Defender.CPUNs)*len(x.Defender.WallNs)*len(y.Defender.WallNs)*len(x.Attacker.Rates)*len(y.Attacker.Rates) == 0 {
			continue // a result without raw samples supports no claim
		}
		ch := CellChange{
			Params: x.Params,
			CPU:    ratioOf(y.Defender.CPUNs, x.Defender.CPUNs),
			Wall:   ratioOf(y.Defender.WallNs, x.Defender.WallNs),
			Rate:   ratioOf(y.Attacker.Rates, x.Attacker.Rates),
		}
		ch.CPUSays, ch.RateSays = says(ch.CPU), says(ch.Rate)
		c.Cells = append(c.Cells, ch)
	}
	for i := range b.Cells {
		if in[b.Cells[i].Params] != nil {
			c.OnlyB = append(c.OnlyB, b.Cells[i].Params)
		}
	}
	return c
}

func says(i Interval) string {
	switch {
	case i.High < 1:
		return "lower"
	case i.Low > 1:
		return "higher"
	}
	return "no difference shown"
}

// ratio is a named ratio of r with its interval, nil when r lacks it. Numerator
// and denominator of one round belong together, so rounds are resampled.
func (r *Result) ratio(name string) *Interval {
	p := ratioParts[name]
	x, y := r.RatioSamples[p[0]], r.RatioSamples[p[1]]
	n := min(len(x), len(y))
	if n == 0 {
		return nil
	}
	each, one := make([]float64, n), []float64{1}
	for i := range each {
		each[i] = x[i] / y[i]
	}
	i := ratioOf(each, one)
	return &i
}

// WriteComparison prints c for a person.
func WriteComparison(w io.Writer, c *Comparison) error {
	if !c.SameMachine {
		fmt.Fprintln(w, "The two runs are of different machines or builds: cells compare those, ratios compare implementations.")
	}
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "ratio\tA [95 %]\tB [95 %]\tB is")
	for _, r := range c.Ratios {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", r.Name, r.A, r.B, r.Says)
	}
	fmt.Fprintln(tw, "\t\t\t")
	fmt.Fprintln(tw, "cell\tB÷A CPU of the defender [95 %]\tB÷A guesses/s [95 %]\tCPU in B is; rate in B is")
	for _, r := range c.Cells {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s; %s\n", r.Params, r.CPU, r.Rate, r.CPUSays, r.RateSays)
	}
	if err := tw.Flush(); err != nil {
		return core.Errorf(core.Exhausted, "lab: compare", "%w", err)
	}
	for _, x := range []struct {
		name string
		list []string
	}{{"A", c.OnlyA}, {"B", c.OnlyB}} {
		for _, p := range x.list {
			fmt.Fprintf(w, "only in %s: %s\n", x.name, p)
		}
	}
	return nil
}

// String is "value [low, high]".
func (i Interval) String() string { return fmt.Sprintf("%.3f [%.3f, %.3f]", i.Value, i.Low, i.High) }
