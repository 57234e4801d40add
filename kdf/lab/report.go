package lab

import (
	"encoding/json"
	"html/template"
	"io"
	"strings"

	"github.com/keposs/keposs/core"
)

// WriteReport writes one self-contained HTML page: figures of the run, pictures
// as SVG with the command that draws each, prices with their sources, and the
// whole result as JSON. It refers to nothing outside and runs no script.
func WriteReport(w io.Writer, r *Result) error {
	const op = "lab: report"
	type picture struct {
		Name, Caption, Command string
		SVG                    template.HTML
	}
	var pictures []picture
	for _, f := range Figures(r) {
		s, err := f.draw(r)
		if err != nil {
			return err
		}
		// The plot library's own output; names inside come from data files and
		// are escaped by it.
		pictures = append(pictures, picture{f.Name, f.Caption, "keposs lab kdf --from result.json --figure " + f.Name + " > " + f.Name + ".svg", template.HTML(s)})
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return core.Errorf(core.Internal, op, "%w", err)
	}
	price, target, half := headline(r)
	type row struct {
		*Cell
		Time, CPU, Memory, Rate, Hours, USD string
	}
	var rows []row
	for i := range r.Cells {
		c := &r.Cells[i]
		rows = append(rows, row{c, duration(c.Defender.MedianNs), duration(c.Defender.MedianCPU), bytesText(c.Defender.Memory),
			number(c.Attacker.Rate), number(half(c) / 3600), dollars(half(c) / 3600 * price.USDPerHour)})
	}
	type ratio struct {
		Name, Means string
		Interval    Interval
	}
	var list []ratio
	for _, name := range RatioNames {
		if i := r.ratio(name); i != nil {
			list = append(list, ratio{name, ratioMeans[name], *i})
		}
	}
	err = page.Execute(w, map[string]any{
		"R": r, "Rows": rows, "Ratios": list, "Pictures": pictures, "Price": price, "Target": target,
		"JSON": string(raw), "Tries": OnlineTries, "Run": r.Command + " --html report.html",
	})
	if err != nil {
		return core.Errorf(core.Exhausted, op, "%w", err)
	}
	return nil
}

var ratioMeans = map[string]string{
	"pbkdf2sm3_vs_gmsm":    "time of pbkdf2sm3 ÷ gmsm with the standard library's pbkdf2",
	"pbkdf2sm3_vs_openssl": "time of pbkdf2sm3 ÷ openssl kdf PBKDF2, less the start of its process",
	"pbkdf2sm3_vs_limit":   "time of pbkdf2sm3 ÷ the dependency chain of SM3 on this clock; 1 is the end of what one chain can reach",
	"wide_lane_vs_gmsm":    "time of one lane of the wide form ÷ gmsm with the standard library's pbkdf2",
}

var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"pct": percent, "mib": bytesText,
	"join": func(v []string) string { return strings.Join(v, " ") },
	"f3":   func(v float64) string { return number(v) },
}).Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<title>keposs: KDF laboratory</title>
<style>
body{font:16px/1.5 system-ui,'Liberation Sans',Arial,sans-serif;max-width:80rem;margin:2rem auto;padding:0 1rem;color:#111;background:#fff}
table{border-collapse:collapse;margin:1rem 0;font-size:14px}td,th{padding:.2rem .5rem;border-bottom:1px solid #ccc;text-align:right;vertical-align:top}th{vertical-align:bottom}
td:first-child,th:first-child,td.t,th.t{text-align:left}td{white-space:nowrap}td.s{white-space:normal;text-align:left;min-width:16rem}code,pre{font:13px/1.4 ui-monospace,'Liberation Mono',monospace}
pre{background:#f4f4f4;padding:1rem;overflow:auto;white-space:pre-wrap;word-break:break-all;max-height:24rem}
figure{margin:2rem 0;break-inside:avoid}figure svg{width:100%;height:auto;border:1px solid #ddd}figcaption{font-size:14px;color:#333}
.note{border-left:4px solid #d55e00;padding-left:.8rem}.wide{overflow-x:auto}.wide table{font-size:12.5px}.wide td,.wide th{padding:.2rem .35rem}.wide code{font-size:12px}
@media print{body{font-size:11px;margin:0}.wide table{font-size:8px}.wide code{font-size:8px}td.s{min-width:8rem}}.wide td.s{min-width:10rem}
</style></head><body>
<h1>KDF laboratory</h1>
<p>{{.R.Started.Format "2006-01-02 15:04 MST"}}, {{f3 .R.Seconds}} s. Made by <code>{{.Run}}</code></p>
<p>{{.R.Machine.CPU}}, {{.R.Machine.Cores}} cores ({{join .R.Machine.Features}}), {{mib .R.Machine.Memory}}; {{.R.Machine.OS}} {{.R.Machine.Kernel}}, {{.R.Machine.Arch}}; {{.R.Machine.Go}}{{with .R.Machine.Experiment}} with {{.}}{{end}}, SM3 lanes {{.R.Machine.Lanes}}; keposs {{.R.Machine.Version}}, gmsm {{.R.Machine.Gmsm}}{{with .R.Machine.OpenSSL}}, OpenSSL {{.}}{{end}}; load at start {{f3 .R.Machine.Load}}.</p>
{{range .R.Notes}}<p class="note">{{.}}</p>{{end}}
<h2>Ratios</h2>
<p>Medians over rounds in which all implementations ran one after the other, CPU time, 95 % bootstrap intervals.</p>
<table><tr><th>ratio<th>value<th>95 %<th class="t">is</tr>
{{range .Ratios}}<tr><td><code>{{.Name}}</code><td>{{printf "%.3f" .Interval.Value}}<td>{{printf "%.3f – %.3f" .Interval.Low .Interval.High}}<td class="t">{{.Means}}</tr>
{{end}}</table>
<h2>Both sides of the table</h2>
<p>Advantage: guesses one attacking core makes in the CPU time of one derivation. Half: half of the accounts of “{{.Target}}”, everything but the factor known, {{.Price.Name}} at {{.Price.USDPerHour}} USD an hour.</p>
<div class="wide"><table><tr><th>parameters<th>approved<th>time<th>CPU<th>memory<th>allocations<th>guesses/s/core<th>advantage<th class="t">attacker<th>core hours for half<th>USD for half</tr>
{{range .Rows}}<tr><td><code>{{.Params}}</code><td>{{if .Approved}}yes{{else}}no{{end}}<td>{{.Time}}<td>{{.CPU}}<td>{{.Memory}}<td>{{.Defender.Allocs}}<td>{{.Rate}}<td>{{printf "%.2f" .Attacker.Advantage}}<td class="t">{{.Attacker.Form}}<td>{{.Hours}}<td>{{.USD}}</tr>
{{end}}</table></div>
<h2>What people choose</h2>
<p>Share of accounts open after so many tries at each, against a server that counts; then what opening half takes without one.</p>
<div class="wide"><table><tr><th>distribution{{range .Tries}}<th>{{.}}{{end}}<th>guesses for half<th>expected<th>G̃, bits<th class="t">evidence<th class="t">source</tr>
{{range .R.Distributions}}<tr><td>{{.Name}}{{range .Online}}<td>{{pct .Success}}{{end}}{{range .Work}}{{if eq .Alpha 0.5}}<td>{{.Guesses}}<td>{{f3 .Expected}}<td>{{printf "%.2f" .Entropy}}{{end}}{{end}}<td class="t">{{.Evidence}}<td class="s">{{.Source}}</tr>
{{end}}</table></div>
<h2>Pictures</h2>
{{range .Pictures}}<figure id="{{.Name}}">{{.SVG}}<figcaption>{{.Caption}}<br><code>{{.Command}}</code></figcaption></figure>
{{end}}
<h2>Prices</h2>
<table><tr><th>hardware<th>USD an hour<th class="t">rate<th class="t">source</tr>
{{range .R.Prices}}<tr><td>{{.Name}}<td>{{.USDPerHour}}<td class="t">{{if .Estimate}}estimate{{else}}measured here{{end}}<td class="s">{{.Source}}</tr>
{{end}}</table>
<h2>Result</h2><p>Schema <code>{{.R.Schema}}</code>: <code>keposs lab kdf --schema</code>. Save as result.json.</p><pre id="result">{{.JSON}}</pre>
</body></html>
`))
