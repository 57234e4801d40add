package lab

import (
	"bytes"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/kdf"
)

// colour is an opaque RGB colour.
type colour [3]uint8

// RGBA implements color.Color.
func (c colour) RGBA() (r, g, b, a uint32) {
	return uint32(c[0]) * 0x101, uint32(c[1]) * 0x101, uint32(c[2]) * 0x101, 0xffff
}

// A look is how one KDF is drawn, the same in every picture.
type look struct {
	colour colour
	mark   draw.GlyphDrawer
	dashes []vg.Length
}

// style returns the look of a kind: by its place among the built-in KDFs, the
// wide form last.
func style(kind string) look {
	i := slices.Index(kdf.Names(), kind)
	if i < 0 {
		i = len(series) - 1
	}
	return series[i%len(series)]
}

// series are colours that stay apart for people who see fewer of them and in
// grey print (Okabe and Ito), each with a mark of its own.
var series = []look{
	{colour{0x00, 0x72, 0xb2}, draw.CircleGlyph{}, nil},
	{colour{0xd5, 0x5e, 0x00}, draw.SquareGlyph{}, []vg.Length{6, 2}},
	{colour{0x00, 0x9e, 0x73}, draw.TriangleGlyph{}, []vg.Length{2, 2}},
	{colour{0xcc, 0x79, 0xa7}, draw.PyramidGlyph{}, []vg.Length{8, 2, 2, 2}},
	{colour{0x00, 0x00, 0x00}, draw.RingGlyph{}, nil},
	{colour{0x56, 0xb4, 0xe9}, draw.BoxGlyph{}, []vg.Length{4, 4}},
	{colour{0x9a, 0x6a, 0x00}, draw.PlusGlyph{}, []vg.Length{1, 2}},
	{colour{0x7a, 0x1f, 0x1f}, draw.CrossGlyph{}, []vg.Length{10, 3}},
	{colour{0x66, 0x66, 0x66}, draw.CircleGlyph{}, []vg.Length{3, 1}},
	{colour{0x45, 0x2a, 0x8a}, draw.SquareGlyph{}, nil},
}

// sans is the face of all text; widths are those of Arial, which Liberation
// Sans and Helvetica share, so that nothing moves on another machine.
func sans(size vg.Length) font.Font {
	return font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
}

func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.Padding = 6
	for _, s := range []struct {
		style *text.Style
		size  vg.Length
	}{
		{&p.Title.TextStyle, 13}, {&p.X.Label.TextStyle, 11}, {&p.Y.Label.TextStyle, 11},
		{&p.X.Tick.Label, 10}, {&p.Y.Tick.Label, 10}, {&p.Legend.TextStyle, 10},
	} {
		s.style.Font = sans(s.size)
	}
	return p
}

// decades are ticks at powers of ten of an axis of logarithms, every one marked
// and as many named as leave room.
type decades struct {
	name func(v float64) string
}

// Ticks implements plot.Ticker.
func (d decades) Ticks(lo, hi float64) (out []plot.Tick) {
	from, to := int(math.Round(lo)), int(math.Round(hi))
	every := (to-from)/7 + 1
	for e := from; e <= to; e++ {
		t := plot.Tick{Value: float64(e)}
		if (e-from)%every == 0 {
			t.Label = d.name(math.Pow(10, float64(e)))
		}
		out = append(out, t)
	}
	return out
}

// logAxis makes a an axis of log10 over [lo, hi] widened to decades. Data are
// put in as logarithms: the library's own logarithmic scale misplaces the room
// for an axis's name.
func logAxis(a *plot.Axis, lo, hi float64, name func(v float64) string) {
	a.Tick.Marker = decades{name}
	a.Min, a.Max = math.Floor(math.Log10(lo)), math.Ceil(math.Log10(hi))
	if a.Min == a.Max {
		a.Max++
	}
}

// dollars names an amount of money in few characters.
func dollars(v float64) string {
	switch {
	case v >= 1e9:
		return "$" + strconv.FormatFloat(v/1e9, 'g', 3, 64) + "G"
	case v >= 1e6:
		return "$" + strconv.FormatFloat(v/1e6, 'g', 3, 64) + "M"
	case v >= 1e3:
		return "$" + strconv.FormatFloat(v/1e3, 'g', 3, 64) + "k"
	case v >= 0.001:
		return "$" + strconv.FormatFloat(v, 'g', 3, 64)
	}
	return "$" + exponent(v)
}

var family = regexp.MustCompile(`font-family:[^;"]*`)

// svg renders p, its legend in a column of its own beside the axes where it
// covers nothing. The result begins with <svg and refers to nothing outside.
func svg(p *plot.Plot, w, h, column vg.Length) (string, error) {
	canvas := vgsvg.New(w, h)
	c := draw.New(canvas)
	legend := p.Legend
	p.Legend = plot.NewLegend()
	p.Draw(draw.Crop(c, 4, -column-8, 4, -4))
	if column > 0 {
		legend.Left, legend.Top = true, true
		legend.ThumbnailWidth = 24
		legend.Padding = 3
		legend.Draw(draw.Crop(c, w-column, 0, 0, -28))
	}
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return "", core.Errorf(core.Internal, "lab: picture", "%w", err)
	}
	i := bytes.Index(b.Bytes(), []byte("<svg"))
	if i < 0 {
		return "", core.Errorf(core.Internal, "lab: picture", "the plot library wrote no svg")
	}
	return family.ReplaceAllString(b.String()[i:], "font-family:'Liberation Sans',Arial,Helvetica,sans-serif"), nil
}

// exponent writes a small number as 1e-5, without the zero a library pads with.
func exponent(v float64) string {
	return strings.Replace(strconv.FormatFloat(v, 'e', 0, 64), "e-0", "e-", 1)
}

// decimalBytes names a power of ten of bytes.
func decimalBytes(v float64) string {
	for _, u := range []struct {
		n    float64
		name string
	}{{1e9, " GB"}, {1e6, " MB"}, {1e3, " kB"}} {
		if v >= u.n {
			return strconv.FormatFloat(v/u.n, 'g', 3, 64) + u.name
		}
	}
	return strconv.FormatFloat(v, 'g', 3, 64) + " B"
}
