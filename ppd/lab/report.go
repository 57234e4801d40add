package lab

import (
	"bytes"
	"encoding/json"
	"html/template"
	"math"
	"os"
	"sort"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/keposs/keposs/core"
)

// WriteFaceReport writes one self-contained HTML file: figures, a DET curve and
// a score histogram as SVG, and the JSON of the run.
func WriteFaceReport(path string, r *FaceResult) error {
	det, err := detCurve(r)
	if err != nil {
		return err
	}
	hist, err := histogram("Cosine of template and one capture", "cosine", 60,
		[2]string{"same person", "other person"}, [2][]float64{r.Scores.Genuine, r.Scores.Impostor})
	if err != nil {
		return err
	}
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return core.Errorf(core.Internal, "lab: report", "%w", err)
	}
	var out bytes.Buffer
	err = facePage.Execute(&out, map[string]any{"R": r, "DET": template.HTML(det), "Hist": template.HTML(hist), "JSON": string(raw)})
	if err != nil {
		return core.Errorf(core.Internal, "lab: report", "%w", err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		return core.Errorf(core.Exhausted, "lab: report", "%w", err)
	}
	return nil
}

// detCurve draws FNMR against FMR of the plain matcher on logarithmic axes and
// this source's three operating points.
func detCurve(r *FaceResult) (string, error) {
	p := plot.New()
	p.Title.Text = "Detection error trade-off"
	p.X.Label.Text, p.Y.Label.Text = "FMR", "FNMR"
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.LogTicks{Prec: -1}, plot.LogTicks{Prec: -1}
	s := r.Scores
	floor := 0.5 / float64(max(1, len(s.Genuine)))
	var line plotter.XYs
	for fmr := 0.3; fmr*float64(len(s.Impostor)) >= 1; fmr /= 1.3 {
		t := s.Impostor[len(s.Impostor)-1-int(fmr*float64(len(s.Impostor)))]
		missed := sort.Search(len(s.Genuine), func(i int) bool { return s.Genuine[i] > t })
		line = append(line, plotter.XY{X: fmr, Y: math.Max(floor, float64(missed)/float64(len(s.Genuine)))})
	}
	if len(line) > 1 {
		l, err := plotter.NewLine(line)
		if err != nil {
			return "", core.Errorf(core.Internal, "lab: report", "%w", err)
		}
		p.Add(l)
		p.Legend.Add("plain cosine matcher, 1 capture", l)
	}
	if r.PerTry > 0 {
		var pts plotter.XYs
		for _, v := range r.FNMR {
			pts = append(pts, plotter.XY{X: r.PerTry, Y: math.Max(floor, v)})
		}
		sc, err := plotter.NewScatter(pts)
		if err != nil {
			return "", core.Errorf(core.Internal, "lab: report", "%w", err)
		}
		p.Add(sc)
		p.Legend.Add("this source, 1, 2, 3 captures", sc)
	}
	p.Add(plotter.NewGrid())
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = math.Min(1e-7, r.PerTry/2+1e-9), 1, floor, 1
	return svg(p)
}

// histogram lays the densities of genuine and impostor values over each other.
func histogram(title, x string, bins int, names [2]string, values [2][]float64) (string, error) {
	p := plot.New()
	p.Title.Text = title
	p.X.Label.Text, p.Y.Label.Text = x, "density"
	for i, v := range values {
		if len(v) == 0 {
			continue
		}
		h, err := plotter.NewHist(plotter.Values(v), bins)
		if err != nil {
			return "", core.Errorf(core.Internal, "lab: report", "%w", err)
		}
		h.Normalize(1)
		h.FillColor = nil
		h.LineStyle.Color = []colour{{0x1f, 0x77, 0xb4}, {0xd6, 0x27, 0x28}}[i]
		p.Add(h)
		p.Legend.Add(names[i], h)
	}
	p.Legend.Top = true
	return svg(p)
}

// colour is an opaque RGB colour.
type colour [3]uint8

// RGBA implements color.Color.
func (c colour) RGBA() (r, g, b, a uint32) {
	return uint32(c[0]) * 0x101, uint32(c[1]) * 0x101, uint32(c[2]) * 0x101, 0xffff
}

func svg(p *plot.Plot) (string, error) {
	w, err := p.WriterTo(16*vg.Centimeter, 11*vg.Centimeter, "svg")
	if err != nil {
		return "", core.Errorf(core.Internal, "lab: report", "%w", err)
	}
	var b bytes.Buffer
	if _, err := w.WriteTo(&b); err != nil {
		return "", core.Errorf(core.Internal, "lab: report", "%w", err)
	}
	// Inside HTML the XML declaration does not belong.
	if i := bytes.Index(b.Bytes(), []byte("<svg")); i > 0 {
		return string(b.Bytes()[i:]), nil
	}
	return b.String(), nil
}

var facePage = template.Must(template.New("face").Funcs(template.FuncMap{
	"pct": func(v float64) float64 { return 100 * v },
}).Parse(`<!doctype html><html lang="en"><meta charset="utf-8"><title>keposs: face source</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}table{border-collapse:collapse}td,th{padding:.2rem .8rem;border-bottom:1px solid #ccc;text-align:right}td:first-child,th:first-child{text-align:left}pre{background:#f4f4f4;padding:1rem;overflow:auto}svg{max-width:100%;height:auto}</style>
<h1>Face source</h1>
<p>Data: {{.R.Data}}. {{.R.People}} people, {{.R.TooFew}} left out for too few captures, {{.R.Impostors}} used as impostors only. Profile {{.R.Profile}}, {{.R.Enrol}} enrolment captures, {{.R.Seeds}} rotation seeds, code of {{.R.CodeBits}} bits.</p>
<table><tr><th>captures fused<th>FNMR %<th>95 % interval<th>balanced %<th>95 % interval</tr>
{{range $i, $v := .R.Intervals}}{{$b := index $.R.BalancedCI $i}}<tr><td>{{if eq $i 0}}1{{else if eq $i 1}}2{{else}}3{{end}}<td>{{printf "%.2f" (pct $v.Value)}}<td>{{printf "%.2f – %.2f" (pct $v.Low) (pct $v.High)}}<td>{{printf "%.2f" (pct $b.Value)}}<td>{{printf "%.2f – %.2f" (pct $b.Low) (pct $b.High)}}</tr>
{{end}}</table>
<p>FTE {{printf "%.2f" (pct .R.FTE)}} %. FMR: {{.R.FalseAccepts}} false accepts in {{.R.ImpostorTrials}} trials; 2<sup>{{printf "%.2f" .R.FMRLog2}}</sup> observed, {{printf "%.2g" .R.PerTry}} is the 95 % upper bound; offline one decoding is worth {{printf "%.1f" .R.OfflineBits}} bits ({{.R.OfflineAccepts}} words found).{{range .R.Pairs}} {{.Sample}} opened {{.Record}} {{.Accepts}} times.{{end}} Helper {{.R.HelperBytes}} bytes; enrol {{printf "%.2f" .R.Ms.Enrol}} ms, decode {{printf "%.3f" .R.Ms.Decode}} ms, answer {{printf "%.1f" .R.Ms.Answer}} ms.</p>
{{.DET}}{{.Hist}}
<h2>Run</h2><pre>{{.JSON}}</pre></html>
`))
