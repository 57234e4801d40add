package lab

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"strconv"
	"text/tabwriter"

	"github.com/keposs/keposs/core"
)

// WriteTable prints r for a person at a terminal.
func WriteTable(w io.Writer, r *Result) error {
	p := func(format string, a ...any) { fmt.Fprintf(w, format+"\n", a...) }
	m := r.Machine
	p("%s, %d cores, %s/%s, %s%s, SM3 lanes %v, load %.2f", m.CPU, m.Cores, m.OS, m.Arch, m.Go, plus(m.Experiment), m.Lanes, m.Load)
	p("")
	for _, name := range RatioNames {
		if v, ok := r.Ratios[name]; ok {
			p("%-22s %.2f   (median of %d rounds, CPU time)", name, v, len(r.RatioSamples[ratioParts[name][0]]))
		}
	}
	p("")
	price, target, half := headline(r)
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintf(tw, "kdf\tapproved\tdefender\tCPU\tmemory\tallocs\tguesses/s/core\tadvantage\t%s\n", "core hours for half")
	for i := range r.Cells {
		c := &r.Cells[i]
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%.2f\t%s\n", c.Params, yes(c.Approved), duration(c.Defender.MedianNs), duration(c.Defender.MedianCPU),
			bytesText(c.Defender.Memory), c.Defender.Allocs, number(c.Attacker.Rate), c.Attacker.Advantage, number(half(c)/3600))
	}
	if err := tw.Flush(); err != nil {
		return core.Errorf(core.Exhausted, "lab: table", "%w", err)
	}
	p("")
	p("advantage: guesses one core of an attacker makes in the CPU time of one derivation")
	p("for half:  half of the accounts of %q open, everything but the factor known; a core hour costs %.3g USD (%s)", target, price.USDPerHour, price.Name)
	p("")
	tw = tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprint(tw, "accounts open after tries")
	for _, n := range OnlineTries {
		fmt.Fprintf(tw, "\t%d", n)
	}
	fmt.Fprint(tw, "\tguesses for half\tG̃ 0.5, bits\tevidence\n")
	for _, t := range r.Distributions {
		fmt.Fprint(tw, t.Name)
		for _, o := range t.Online {
			fmt.Fprintf(tw, "\t%s", percent(o.Success))
		}
		for _, f := range t.Work {
			if f.Alpha == 0.5 {
				fmt.Fprintf(tw, "\t%d\t%.2f", f.Guesses, f.Entropy)
			}
		}
		fmt.Fprintf(tw, "\t%s\n", t.Evidence)
	}
	if err := tw.Flush(); err != nil {
		return core.Errorf(core.Exhausted, "lab: table", "%w", err)
	}
	for _, n := range r.Notes {
		p("note: %s", n)
	}
	return nil
}

// headline picks the price and the distribution the table's last column rests
// on, and the seconds of one core for half of the accounts.
func headline(r *Result) (Price, string, func(c *Cell) float64) {
	price := DefaultPrices()[0]
	for _, p := range r.Prices {
		if p.Kind == PerCore {
			price = p
			break
		}
	}
	if len(r.Distributions) == 0 {
		return price, "", func(*Cell) float64 { return math.NaN() }
	}
	t := r.Distributions[0]
	for _, d := range r.Distributions {
		if d.Name == "6-digit PINs, uniform" {
			t = d
		}
	}
	return price, t.Name, func(c *Cell) float64 {
		for _, f := range t.Work {
			if f.Alpha == 0.5 {
				return f.Expected / c.Attacker.Rate
			}
		}
		return math.NaN()
	}
}

// WriteCSV writes one line for each cell, distribution, hardware and share.
func WriteCSV(w io.Writer, r *Result) error {
	c := csv.NewWriter(w)
	g := func(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
	row := func(fields ...string) { _ = c.Write(fields) } // c.Error tells below
	row("params", "kdf", "approved", "wall_ns", "cpu_ns", "memory_bytes", "alloc_bytes", "allocs", "guesses_per_core_second",
		"lanes", "advantage", "distribution", "hardware", "estimate", "alpha", "guesses", "seconds", "usd")
	at := map[string]*Cell{}
	for i := range r.Cells {
		at[r.Cells[i].Params] = &r.Cells[i]
	}
	for _, a := range r.Attacks {
		x := at[a.Params]
		row(x.Params, x.KDF, strconv.FormatBool(x.Approved), g(x.Defender.MedianNs), g(x.Defender.MedianCPU),
			strconv.FormatUint(x.Defender.Memory, 10), strconv.FormatUint(x.Defender.AllocBytes, 10), strconv.FormatUint(x.Defender.Allocs, 10),
			g(x.Attacker.Rate), strconv.Itoa(x.Attacker.Lanes), g(x.Attacker.Advantage), a.Distribution, a.Hardware,
			strconv.FormatBool(a.Estimate), g(a.Alpha), g(a.Guesses), g(a.Seconds), g(a.USD))
	}
	c.Flush()
	if err := c.Error(); err != nil {
		return core.Errorf(core.Exhausted, "lab: csv", "%w", err)
	}
	return nil
}

func plus(experiment string) string {
	if experiment == "" {
		return ""
	}
	return " +" + experiment
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func percent(v float64) string {
	if v > 0 && v < 0.0005 {
		return fmt.Sprintf("%.1g %%", 100*v)
	}
	return fmt.Sprintf("%.1f %%", 100*v)
}

// duration keeps three digits of ns.
func duration(ns float64) string {
	for _, u := range []struct {
		ns   float64
		name string
	}{{1e9, "s"}, {1e6, "ms"}, {1e3, "µs"}, {1, "ns"}} {
		if ns >= u.ns {
			return fmt.Sprintf("%.3g %s", ns/u.ns, u.name)
		}
	}
	return fmt.Sprintf("%.2g ns", ns)
}

func bytesText(n uint64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%.3g GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.3g MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.3g KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}

// number keeps three digits, in plain form where that is short.
func number(v float64) string {
	if v >= 1000 && v < 1e7 {
		return strconv.FormatFloat(math.Round(v), 'f', -1, 64)
	}
	return fmt.Sprintf("%.3g", v)
}
