package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"maps"
	"regexp"
	"slices"
	"text/tabwriter"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/keposs/keposs/core"
)

// Text writes the result for a person.
func Text(w io.Writer, r *Result) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%s, %s, %d callers, %d rounds of %d ms\n\n", r.Backend, r.Machine, r.Callers, r.Rounds, r.SliceMS)
	fmt.Fprintln(t, "\tper second\tp99 µs\t")
	for _, k := range slices.Sorted(maps.Keys(r.Rates)) {
		fmt.Fprintf(t, "%s\t%s\t%s\t\n", k, thousands(int(r.Rates[k])), thousands(int(r.P99[k])))
	}
	_ = t.Flush()
	if len(r.Growth) > 0 {
		fmt.Fprintln(w)
		fmt.Fprintln(t, "records\tloaded/s\tjust opened p50 µs\tget p50 µs\tget p99 µs\tdisk ÷ raw\topen ms\texported/s\t")
		for _, g := range r.Growth {
			fmt.Fprintf(t, "%s\t%s\t%.0f\t%.0f\t%.0f\t%.2f\t%.0f\t%s\t\n", thousands(g.Records), thousands(int(g.LoadPerS)), g.ColdP50, g.GetP50, g.GetP99, g.DiskRatio, g.OpenMS, thousands(int(g.ExportPS)))
		}
		_ = t.Flush()
	}
	fmt.Fprintln(w)
	fmt.Fprintln(t, "goal\twanted\tmeasured\t\t")
	for _, g := range r.Goals {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t\n", g.Name, g.Wanted, figure(g.Measured), met(g.Met))
	}
	_ = t.Flush()
	for _, s := range r.Skipped {
		fmt.Fprintf(w, "skipped  %s: no limit program for %s\n", s, r.Backend)
	}
}

func met(yes bool) string {
	if yes {
		return "met"
	}
	return "NOT MET"
}

// HTML writes one page that refers to nothing outside and runs no script.
func HTML(w io.Writer, r *Result, command string) error {
	var picture template.HTML
	if len(r.Growth) > 1 {
		svg, err := curve(r)
		if err != nil {
			return err
		}
		picture = template.HTML(svg) // the plot library's own output, from numbers
	}
	raw, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return core.Errorf(core.Internal, "lab escrow", "%w", err)
	}
	if err := page.Execute(w, map[string]any{"R": r, "Command": command, "Curve": picture, "JSON": string(raw),
		"Kinds": slices.Sorted(maps.Keys(r.Rates))}); err != nil {
		return core.Errorf(core.Exhausted, "lab escrow", "report: %w", err)
	}
	return nil
}

var family = regexp.MustCompile(`font-family:[^;"]*`)

// curve draws lookups over the size of the store.
func curve(r *Result) (string, error) {
	fail := func(err error) (string, error) {
		return "", core.Errorf(core.Internal, "lab escrow", "picture: %w", err)
	}
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = "One lookup, by size of the store", "records", "µs"
	p.Y.Min = 0
	for _, s := range []*font.Font{&p.Title.TextStyle.Font, &p.X.Label.TextStyle.Font, &p.Y.Label.TextStyle.Font, &p.X.Tick.Label.Font, &p.Y.Tick.Label.Font, &p.Legend.TextStyle.Font} {
		*s = font.Font{Typeface: "Liberation", Variant: "Sans", Size: 11}
	}
	for name, get := range map[string]func(Growth) float64{"p50": func(g Growth) float64 { return g.GetP50 }, "p99": func(g Growth) float64 { return g.GetP99 }} {
		var xy plotter.XYs
		for _, g := range r.Growth {
			xy = append(xy, plotter.XY{X: float64(g.Records), Y: get(g)})
		}
		line, points, err := plotter.NewLinePoints(xy)
		if err != nil {
			return fail(err)
		}
		if name == "p99" {
			points.Shape = draw.SquareGlyph{}
		}
		p.Add(line, points)
		p.Legend.Add(name, line, points)
	}
	p.Legend.Top, p.Legend.Left = true, true
	canvas := vgsvg.New(460, 280)
	p.Draw(draw.New(canvas))
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return fail(err)
	}
	i := bytes.Index(b.Bytes(), []byte("<svg"))
	return family.ReplaceAllString(b.String()[max(i, 0):], "font-family:'Liberation Sans',Arial,sans-serif"), nil
}

var page = template.Must(template.New("").Funcs(template.FuncMap{"figure": figure, "n": func(v float64) string { return thousands(int(v)) }, "t": thousands, "met": met}).Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>keposs: storage {{.R.Backend}}</title>
<style>body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}td,th{padding:.15em .8em;text-align:right}td:first-child,th:first-child{text-align:left}table{border-collapse:collapse}tr+tr{border-top:1px solid #ccc}pre{background:#f4f4f4;padding:1em;overflow:auto}</style>
<h1>Storage {{.R.Backend}}</h1>
<p>{{.R.Machine}}; {{.R.Callers}} callers at once, {{.R.Rounds}} rounds of {{.R.SliceMS}} ms of each kind, in turn; medians. Made by <code>{{.Command}}</code>.</p>
<h2>Goals</h2>
<table><tr><th>goal<th>wanted<th>measured<th>{{range .R.Goals}}<tr><td>{{.Name}}<td>{{.Wanted}}<td>{{figure .Measured}}<td>{{met .Met}}{{end}}</table>
{{range .R.Skipped}}<p>{{.}}: there is no limit program for this backend.</p>{{end}}
<h2>Figures</h2>
<table><tr><th>what<th>per second<th>p99 µs{{range .Kinds}}<tr><td>{{.}}<td>{{n (index $.R.Rates .)}}<td>{{n (index $.R.P99 .)}}{{end}}</table>
<p><b>echo</b>: bare gRPC over TLS 1.3. <b>fetch</b>: the same call answered from the store. <b>two_process_echo</b>: an echo one process further. <b>fetch_plugin</b>: from the store in a process of its own. <b>fetch_bare</b>: the same call answered by the database server's own client, one record at a time. <b>commit</b>: durable compare-and-set of the backend; <b>commit_coalesced</b>: through SS-CC's gathering of callers. <b>commit_bare</b>: the engine alone. <b>commit_plain</b>: the engine, one transaction a write.</p>
{{if .R.Growth}}<h2>Growth</h2>
<table><tr><th>records<th>loaded/s<th>just opened p50 µs<th>get p50 µs<th>get p99 µs<th>disk ÷ raw<th>open ms<th>exported/s{{range .R.Growth}}<tr><td>{{t .Records}}<td>{{n .LoadPerS}}<td>{{n .ColdP50}}<td>{{n .GetP50}}<td>{{n .GetP99}}<td>{{figure .DiskRatio}}<td>{{n .OpenMS}}<td>{{n .ExportPS}}{{end}}</table>
{{.Curve}}{{end}}
<h2>Result</h2><pre>{{.JSON}}</pre></html>
`))
