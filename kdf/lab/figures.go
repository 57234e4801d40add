package lab

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/kdf"
)

// A Figure is one picture of the report.
type Figure struct {
	Name    string // as --figure takes it
	Caption string
	draw    func(r *Result) (string, error)
}

// Figures lists the pictures a result can give, in order of the report.
func Figures(r *Result) (out []Figure) {
	for i, t := range r.Distributions {
		name := "money"
		if i > 0 {
			name = fmt.Sprintf("money-%d", i+1)
		}
		out = append(out, Figure{name,
			fmt.Sprintf("Accounts open against money spent per account, all but the factor known: %s. One line a KDF, on %s.", t.Name, core1(r)),
			func(r *Result) (string, error) { return moneyFigure(r, t) }})
	}
	_, target, _ := headline(r)
	return append(out,
		Figure{"latency", fmt.Sprintf("What the person waits against what an attacker spends per account until half are open (%s, %s). Higher and further left is better; cells of one KDF lie on a line when the attacker gains nothing by doing many guesses.", target, core1(r)), latencyFigure},
		Figure{"memory", "Memory one derivation holds against its time. Higher at the same time costs an attacker more silicon for each guess under way.", memoryFigure},
		Figure{"heat", "USD spent per account attacked until half of the accounts are open, for each cell, distribution and hardware; darker is dearer. Columns marked ~ are estimates, not measurements.", heatFigure},
	)
}

// WriteFigure writes the named picture as a stand-alone SVG file.
func WriteFigure(w io.Writer, r *Result, name string) error {
	const op = "lab: figure"
	names := []string{}
	for _, f := range Figures(r) {
		if names = append(names, f.Name); f.Name != name {
			continue
		}
		s, err := f.draw(r)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(w, "<?xml version=\"1.0\"?>\n"+s); err != nil {
			return core.Errorf(core.Exhausted, op, "%w", err)
		}
		return nil
	}
	return core.Errorf(core.Usage, op, "no figure %.32q, there are %v", name, names)
}

func core1(r *Result) string {
	p, _, _ := headline(r)
	return fmt.Sprintf("%s at %.3g USD an hour", p.Name, p.USDPerHour)
}

// Sizes of a picture; column is that of the legend.
const (
	figureWidth  = 22 * vg.Centimeter
	figureHeight = 11 * vg.Centimeter
	column       = 7.3 * vg.Centimeter
)

// representatives is one cell of each KDF, two of the default one: the first
// measured, which every plan puts at the default cost.
func representatives(r *Result) (out []*Cell) {
	seen := map[string]bool{}
	for i := range r.Cells {
		key := kindOf(&r.Cells[i])
		if !seen[key] && len(out) < len(series) {
			seen[key] = true
			out = append(out, &r.Cells[i])
		}
	}
	return out
}

// kindOf is the KDF's name; wide and plain PBKDF2 are told apart.
func kindOf(c *Cell) string {
	if p, err := core.ParseParams(c.Params); err == nil {
		if _, wide := p.Get("w"); wide {
			return c.KDF + " wide"
		}
	}
	return c.KDF
}

func moneyFigure(r *Result, t Target) (string, error) {
	price, _, _ := headline(r)
	p := newPlot(t.Name, "USD spent per account", "accounts open")
	lo, hi := math.Inf(1), 0.0
	for _, c := range representatives(r) {
		rate := price.Rate(c)
		var line plotter.XYs
		for _, g := range t.Curve {
			usd := float64(g.Guesses) / rate / 3600 * price.USDPerHour
			lo, hi = min(lo, usd), max(hi, usd)
			line = append(line, plotter.XY{X: math.Log10(usd), Y: 100 * g.Success})
		}
		if len(line) == 0 {
			continue
		}
		l, err := plotter.NewLine(line)
		if err != nil {
			return "", core.Errorf(core.Internal, "lab: picture", "%w", err)
		}
		s := style(kindOf(c))
		l.Color, l.Width, l.Dashes = s.colour, 1.6, s.dashes
		p.Add(l)
		p.Legend.Add(c.Params, l)
	}
	if hi == 0 {
		return "", core.Errorf(core.State, "lab: picture", "no cell was measured")
	}
	logAxis(&p.X, lo, hi, dollars)
	p.Y.Min, p.Y.Max = 0, 100
	p.Y.Tick.Marker = percents{}
	p.Add(grid())
	return svg(p, figureWidth, figureHeight, column)
}

// scatter draws all cells as points, a colour and a mark a KDF.
func scatter(r *Result, title, xName, yName string, x, y func(c *Cell) float64, nameX, nameY func(v float64) string) (string, error) {
	p := newPlot(title, xName, yName)
	groups, order := map[string]plotter.XYs{}, []string{}
	loX, hiX, loY, hiY := math.Inf(1), 0.0, math.Inf(1), 0.0
	for i := range r.Cells {
		c := &r.Cells[i]
		px, py := x(c), y(c)
		if !(px > 0) || !(py > 0) || math.IsInf(px+py, 0) {
			continue
		}
		loX, hiX, loY, hiY = min(loX, px), max(hiX, px), min(loY, py), max(hiY, py)
		key := kindOf(c)
		if groups[key] == nil {
			order = append(order, key)
		}
		groups[key] = append(groups[key], plotter.XY{X: math.Log10(px), Y: math.Log10(py)})
	}
	if hiX == 0 {
		return "", core.Errorf(core.State, "lab: picture", "no cell was measured")
	}
	p.Add(grid())
	for _, key := range order {
		s, err := plotter.NewScatter(groups[key])
		if err != nil {
			return "", core.Errorf(core.Internal, "lab: picture", "%w", err)
		}
		st := style(key)
		s.GlyphStyle = draw.GlyphStyle{Color: st.colour, Radius: 4, Shape: st.mark}
		p.Add(s)
		p.Legend.Add(key, s)
	}
	logAxis(&p.X, loX, hiX, nameX)
	logAxis(&p.Y, loY, hiY, nameY)
	return svg(p, figureWidth, figureHeight, column)
}

func latencyFigure(r *Result) (string, error) {
	price, target, half := headline(r)
	return scatter(r, "Latency and the price of half of the accounts: "+target, "time of one derivation", "USD per account until half are open",
		func(c *Cell) float64 { return c.Defender.MedianNs },
		func(c *Cell) float64 { return half(c) / 3600 * price.USDPerHour }, duration, dollars)
}

func memoryFigure(r *Result) (string, error) {
	return scatter(r, "Memory and time of one derivation", "time of one derivation", "memory",
		func(c *Cell) float64 { return c.Defender.MedianNs },
		func(c *Cell) float64 { return float64(c.Defender.Memory) }, duration,
		decimalBytes)
}

// field is the heat map's data.
type field struct {
	z          [][]float64 // [row][column] of log10 USD, NaN where nobody can tell
	cols, rows int
}

// Dims, Z, X and Y implement plotter.GridXYZ.
func (f field) Dims() (c, r int)   { return f.cols, f.rows }
func (f field) Z(c, r int) float64 { return f.z[r][c] }
func (f field) X(c int) float64    { return float64(c) }
func (f field) Y(r int) float64    { return float64(r) }

// maxHeatRows keeps the heat map on one page.
const maxHeatRows = 40

func heatFigure(r *Result) (string, error) {
	type column struct{ distribution, hardware string }
	var cols []column
	names := []string{}
	for _, d := range r.Distributions {
		for _, p := range r.Prices {
			cols = append(cols, column{d.Name, p.Name})
			mark := ""
			if p.Estimate {
				mark = "~ "
			}
			names = append(names, mark+short(d.Name, 26)+", "+short(p.Name, 14))
		}
	}
	cells := slices.Clone(r.Cells)
	if len(cells) > maxHeatRows {
		cells = cells[:maxHeatRows]
	}
	if len(cells) == 0 || len(cols) == 0 {
		return "", core.Errorf(core.State, "lab: picture", "no cell was measured")
	}
	// By KDF, dearer last; the first row on top.
	place := func(c Cell) int { return slices.Index(kdf.Names(), c.KDF) }
	slices.SortStableFunc(cells, func(a, b Cell) int {
		return cmp.Or(cmp.Compare(place(b), place(a)), cmp.Compare(kindOf(&b), kindOf(&a)), cmp.Compare(b.Defender.MedianCPU, a.Defender.MedianCPU))
	})
	usd := map[string]float64{}
	for _, a := range r.Attacks {
		if a.Alpha == 0.5 {
			usd[a.Params+"\x00"+a.Distribution+"\x00"+a.Hardware] = a.USD
		}
	}
	f := field{cols: len(cols), rows: len(cells)}
	rows := []string{}
	lo, hi := math.Inf(1), math.Inf(-1)
	var at plotter.XYLabels
	var dark []bool
	for y, c := range cells {
		line := make([]float64, len(cols))
		for x, col := range cols {
			v, ok := usd[c.Params+"\x00"+col.distribution+"\x00"+col.hardware]
			line[x] = math.NaN()
			label := "no model"
			if ok {
				line[x] = math.Log10(v)
				lo, hi = min(lo, line[x]), max(hi, line[x])
				label = dollars(v)
			}
			at.XYs = append(at.XYs, plotter.XY{X: float64(x), Y: float64(y)})
			at.Labels = append(at.Labels, label)
		}
		f.z = append(f.z, line)
		rows = append(rows, c.Params)
	}
	p := newPlot("USD per account until half are open", "", "")
	h := plotter.NewHeatMap(f, blues{})
	h.Min, h.Max = lo, max(hi, lo+1)
	h.NaN = colour{0xee, 0xee, 0xee}
	p.Add(h)
	for _, xy := range at.XYs {
		z := f.z[int(xy.Y)][int(xy.X)]
		dark = append(dark, (z-h.Min)/(h.Max-h.Min) > 0.55)
	}
	labels, err := plotter.NewLabels(at)
	if err != nil {
		return "", core.Errorf(core.Internal, "lab: picture", "%w", err)
	}
	for i := range labels.TextStyle {
		s := &labels.TextStyle[i]
		s.Font, s.XAlign, s.YAlign, s.Color = sans(9), draw.XCenter, draw.YCenter, colour{0, 0, 0}
		if dark[i] {
			s.Color = colour{0xff, 0xff, 0xff}
		}
	}
	p.Add(labels)
	p.NominalX(names...)
	p.NominalY(rows...)
	p.X.Tick.Label.Font, p.Y.Tick.Label.Font = sans(9), sans(9)
	p.X.Tick.Label.Rotation, p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = math.Pi/7, draw.XRight, draw.YTop
	p.X.Min, p.X.Max = -0.5, float64(len(cols))-0.5
	p.Y.Min, p.Y.Max = -0.5, float64(len(cells))-0.5
	return svg(p, max(figureWidth, vg.Length(len(cols))*2.2*vg.Centimeter+6*vg.Centimeter), vg.Length(len(cells))*0.62*vg.Centimeter+5.5*vg.Centimeter, 0)
}

func short(s string, n int) string {
	if len(s) > n {
		return s[:n-1] + "…"
	}
	return s
}
