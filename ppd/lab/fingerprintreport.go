package lab

import (
	"bytes"
	"encoding/json"
	"html/template"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"

	"github.com/keposs/keposs/core"
)

// WriteFingerReport writes one self-contained HTML file: figures, the trade of
// acceptance against strength, the features right and wrong fingers share with
// records, and the JSON of the run.
func WriteFingerReport(path string, r *FingerResult) error {
	trade, err := tradeCurve(r)
	if err != nil {
		return err
	}
	hist, err := featureHistogram(r)
	if err != nil {
		return err
	}
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return core.Errorf(core.Internal, "lab: report", "%w", err)
	}
	var out bytes.Buffer
	if err := fingerPage.Execute(&out, map[string]any{"R": r, "Trade": template.HTML(trade), "Hist": template.HTML(hist), "JSON": string(raw)}); err != nil {
		return core.Errorf(core.Internal, "lab: report", "%w", err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		return core.Errorf(core.Exhausted, "lab: report", "%w", err)
	}
	return nil
}

// tradeCurve draws what is accepted after one, two and three attempts against
// the bits of false-accept security, k by k.
func tradeCurve(r *FingerResult) (string, error) {
	p := plot.New()
	p.Title.Text = "Accepted attempts against strength, k = 6 to 16"
	p.X.Label.Text, p.Y.Label.Text = "bits (decoder draws, counted or extrapolated)", "accepted, %"
	for j, c := range []colour{{0x1f, 0x77, 0xb4}, {0x2c, 0xa0, 0x2c}, {0xd6, 0x27, 0x28}} {
		var line plotter.XYs
		for _, q := range r.Curve {
			if q.Bits <= 60 {
				line = append(line, plotter.XY{X: q.Bits, Y: 100 * q.Accept[j]})
			}
		}
		if len(line) == 0 {
			continue
		}
		l, s, err := plotter.NewLinePoints(line)
		if err != nil {
			return "", core.Errorf(core.Internal, "lab: report", "%w", err)
		}
		l.Color, s.Color = c, c
		p.Add(l, s)
		p.Legend.Add([]string{"1 attempt", "2 attempts", "3 attempts"}[j], l)
	}
	p.Legend.Top, p.Legend.Left = false, true
	p.Add(plotter.NewGrid())
	p.Y.Min, p.Y.Max = 0, 100
	return svg(p)
}

func featureHistogram(r *FingerResult) (string, error) {
	return histogram("Enrolled features among the candidates of the best alignment", "features", 36,
		[2]string{"same finger", "other finger"}, [2][]float64{r.genuine, r.impostor})
}

var fingerPage = template.Must(template.New("finger").Funcs(template.FuncMap{
	"pct": func(v float64) float64 { return 100 * v },
}).Parse(`<!doctype html><html lang="en"><meta charset="utf-8"><title>keposs: fingerprint source</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}table{border-collapse:collapse}td,th{padding:.2rem .8rem;border-bottom:1px solid #ccc;text-align:right}td:first-child,th:first-child{text-align:left}pre{background:#f4f4f4;padding:1rem;overflow:auto}svg{max-width:100%;height:auto}</style>
<h1>Fingerprint source</h1>
<p>Data: {{.R.Data}}. {{.R.Fingers}} fingers of {{.R.Persons}} persons, {{.R.Enrol}} enrolment captures, {{.R.Seeds}} seeds, k = {{.R.Profile}}, 2<sup>{{.R.Work}}</sup> draws.</p>
<table><tr><th>attempts<th>accepted %<th>95 % interval</tr>
{{range $i, $v := .R.AcceptAfter}}{{$c := index $.R.Intervals.AcceptAfter $i}}<tr><td>{{if eq $i 0}}1{{else if eq $i 1}}2{{else}}3{{end}}<td>{{printf "%.2f" (pct $v)}}<td>{{printf "%.2f – %.2f" (pct (index $c 0)) (pct (index $c 1))}}</tr>
{{end}}</table>
<table><tr><th>one attempt at<th>accepted %<th>95 % interval</tr>
{{range $b, $v := .R.AcceptAtBits}}{{$c := index $.R.Intervals.AcceptAtBits $b}}<tr><td>{{$b}} bits<td>{{printf "%.2f" (pct $v)}}<td>{{printf "%.2f – %.2f" (pct (index $c 0)) (pct (index $c 1))}}</tr>
{{end}}</table>
<p>FTE {{printf "%.2f" (pct .R.FTE)}} %. {{.R.FalseAccepts}} false accepts in {{.R.ImpostorTrials}} trials; one finger is worth {{printf "%.1f" .R.OfflineBits}} bits ({{.R.BitsFrom}}) offline. Draw counts against the real decoder: {{printf "%.1f" .R.Check.GenuinePredicted}} of {{.R.Check.GenuineTrials}} genuine attempts predicted, {{.R.Check.GenuineAccepted}} accepted; {{.R.Check.ImpostorAccepted}} of {{.R.Check.ImpostorTrials}} impostors. Helper {{.R.HelperBytes}} bytes; enrol {{printf "%.0f" .R.Ms.Enrol}} ms, decode {{printf "%.1f" .R.Ms.DecodeP50}} ms (median), refusal {{printf "%.0f" .R.Ms.Refuse}} ms, answer {{printf "%.0f" .R.Ms.Answer}} ms.</p>
{{.Trade}}{{.Hist}}
<h2>Run</h2><pre>{{.JSON}}</pre></html>
`))
