package lab

import (
	"image/color"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
)

// blues run from near white to dark blue in even steps of lightness, so that
// order survives grey print.
type blues struct{}

// Colors implements palette.Palette.
func (blues) Colors() []color.Color {
	const steps = 32
	out := make([]color.Color, steps)
	from, to := [3]float64{0xf3, 0xf7, 0xfb}, [3]float64{0x08, 0x30, 0x6b}
	for i := range out {
		t := float64(i) / (steps - 1)
		var c colour
		for j := range c {
			c[j] = uint8(from[j] + t*(to[j]-from[j]))
		}
		out[i] = c
	}
	return out
}

// percents are ticks every tenth, every fifth named.
type percents struct{}

// Ticks implements plot.Ticker.
func (percents) Ticks(float64, float64) (out []plot.Tick) {
	for v := 0; v <= 100; v += 10 {
		t := plot.Tick{Value: float64(v)}
		if v%20 == 0 {
			t.Label = strconv.Itoa(v) + " %"
		}
		out = append(out, t)
	}
	return out
}

func grid() *plotter.Grid {
	g := plotter.NewGrid()
	g.Horizontal.Color, g.Vertical.Color = colour{0xdd, 0xdd, 0xdd}, colour{0xdd, 0xdd, 0xdd}
	g.Horizontal.Width, g.Vertical.Width = 0.5, 0.5
	return g
}
