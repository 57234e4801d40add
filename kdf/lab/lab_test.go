package lab

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/kdf"
	"github.com/keposs/keposs/ppd/lab/guess"
)

// cheap is a plan of costs far under any policy, for tests of everything but
// the figures.
func cheap() []core.Params {
	return must("pbkdf2sm3$i=1024", "pbkdf2sm3$i=1024,w=2", "sm2kdf$", "bcrypt$c=4", "argon2id$m=64,p=1,t=1")
}

func run(t *testing.T, o Options) *Result {
	t.Helper()
	if o.Plan == nil {
		o.Plan = cheap()
	}
	o.Command = "test"
	o.effort = &effort{time.Millisecond, time.Millisecond, 3, 3}
	if o.Rounds == 0 {
		o.Rounds = -1
	}
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// one is a whole result, measured once for all tests that only look at it.
var one *Result

func result(t *testing.T) *Result {
	if one == nil {
		one = run(t, Options{Rounds: 3})
	}
	return one
}

func TestPlans(t *testing.T) {
	covered := map[string]bool{}
	for _, plan := range [][]core.Params{QuickPlan(), FullPlan()} {
		seen := map[string]bool{}
		for _, p := range plan {
			k, err := kdf.Builtin(p.Name)
			if err != nil {
				t.Fatal(err)
			}
			if err := k.Validate(p, core.Limits{}); err != nil || seen[p.String()] {
				t.Errorf("%s: %v, twice = %v", p, err, seen[p.String()])
			}
			seen[p.String()] = true
			covered[p.Name] = true
		}
	}
	for _, name := range kdf.Names() {
		if !covered[name] {
			t.Errorf("no plan measures %s", name)
		}
	}
}

// The result holds what the schema promises, with raw samples beside medians.
func TestResult(t *testing.T) {
	r := result(t)
	if !r.Complete || len(r.Cells) != len(cheap()) {
		t.Fatalf("%d cells, complete = %v", len(r.Cells), r.Complete)
	}
	for _, name := range []string{"pbkdf2sm3_vs_gmsm", "pbkdf2sm3_vs_limit"} {
		if v := r.Ratios[name]; !(v > 0) || len(r.RatioSamples["pbkdf2sm3"]) < 3 {
			t.Errorf("%s = %v, %d samples", name, v, len(r.RatioSamples["pbkdf2sm3"]))
		}
	}
	if _, ok := r.Ratios["wide_lane_vs_gmsm"]; ok != (len(r.Machine.Lanes) > 1) {
		t.Errorf("lanes %v, wide ratio given = %v", r.Machine.Lanes, ok)
	}
	if _, ok := r.Ratios["pbkdf2sm3_vs_openssl"]; ok != (r.Machine.OpenSSL != "") {
		t.Errorf("openssl %q, ratio given = %v", r.Machine.OpenSSL, ok)
	}
	for _, c := range r.Cells {
		if len(c.Defender.WallNs) < 3 || len(c.Defender.CPUNs) != len(c.Defender.WallNs) || len(c.Attacker.Rates) < 3 || !(c.Attacker.Rate > 0) || !(c.Attacker.Advantage > 0) {
			t.Errorf("%+v", c)
		}
		if c.Params == "sm2kdf$" != (c.Work.SM3 == 1) {
			t.Errorf("%s: %v SM3 blocks a guess", c.Params, c.Work.SM3)
		}
	}
	// Two prices; the GPU has no model of bcrypt.
	want := len(r.Distributions) * len(Alphas) * (2*len(r.Cells) - 1)
	if len(r.Attacks) != want {
		t.Errorf("%d attacks, want %d", len(r.Attacks), want)
	}
	for _, a := range r.Attacks {
		if a.Estimate != strings.Contains(a.Hardware, "estimate") || !(a.USD > 0) {
			t.Errorf("%+v", a)
		}
	}
}

// Money is guesses ÷ rate × price, worked out here again.
func TestMoney(t *testing.T) {
	c := Cell{Params: "x", Attacker: Attacker{Rate: 50}, Work: Work{SM3: 1000, Traffic: 1e6}}
	cpu := Price{Kind: PerCore, USDPerHour: 0.36, Cores: 2, Speed: 1}
	gpu := Price{Kind: Other, Estimate: true, USDPerHour: 3.6, SM3: 1e6, Bandwidth: 1e12}
	tg := Target{Name: "d", Work: []guess.WorkFactor{{Alpha: 0.5, Expected: 1e6}}}
	got := attacks([]Cell{c}, []Target{tg}, []Price{cpu, gpu})
	if len(got) != 2 || math.Abs(got[0].USD-1) > 1e-9 || math.Abs(got[0].Seconds-1e4) > 1e-6 || math.Abs(got[1].USD-1) > 1e-9 || !got[1].Estimate {
		t.Errorf("%+v", got)
	}
	gpu.Bandwidth = 1e6 // now memory is the narrow place
	if r := gpu.Rate(&c); math.Abs(r-1) > 1e-12 {
		t.Errorf("rate %v, want 1", r)
	}
}

func TestJSONRoundTrip(t *testing.T) {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(result(t)); err != nil {
		t.Fatal(err)
	}
	back, err := Read(&b)
	if err != nil || len(back.Cells) != len(result(t).Cells) || back.Cells[0].Defender.MedianNs != result(t).Cells[0].Defender.MedianNs {
		t.Errorf("%v", err)
	}
	for text, code := range map[string]core.Code{`{"schema":"other"}`: core.Unsupported, `{`: core.Invalid, ``: core.Invalid, `{"schema":"` + Schema + `","cells":7}`: core.Invalid} {
		if _, err := Read(strings.NewReader(text)); !errors.Is(err, code) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestCSV(t *testing.T) {
	var b bytes.Buffer
	if err := WriteCSV(&b, result(t)); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil || len(rows) != len(result(t).Attacks)+1 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

// A run that was stopped goes on: cells of the state are not measured again,
// a line cut short is dropped, another machine is refused.
func TestResume(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.jsonl")
	open := func() *State {
		s, err := OpenState(path)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	short := run(t, Options{Resume: open(), Budget: time.Nanosecond})
	if short.Complete || len(short.Cells) != 0 {
		t.Fatalf("%d cells within no time", len(short.Cells))
	}
	a := run(t, Options{Resume: open(), Plan: cheap()[:2]})
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"params":"sm2k`); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	b := run(t, Options{Resume: open(), Plan: cheap()[:3]})
	for i := range a.Cells {
		if a.Cells[i].Defender.MedianNs != b.Cells[i].Defender.MedianNs {
			t.Errorf("%s was measured again", a.Cells[i].Params)
		}
	}
	if len(b.Cells) != 3 {
		t.Errorf("%d cells, want 3", len(b.Cells))
	}
	c := run(t, Options{Resume: open(), Budget: time.Nanosecond, Plan: cheap()[:3]})
	if !c.Complete || len(c.Cells) != 3 {
		t.Errorf("a finished state gives %d cells, complete = %v", len(c.Cells), c.Complete)
	}
	s := open()
	s.machine.CPU = "another"
	if _, err := Run(t.Context(), Options{Resume: s, Plan: cheap()[:1]}); !errors.Is(err, core.Conflict) {
		t.Errorf("another machine's state: %v", err)
	}
	if err := os.WriteFile(path, []byte("{}\nnonsense\n{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenState(path); !errors.Is(err, core.Corrupt) {
		t.Errorf("a damaged state: %v", err)
	}
}

// The page is whole in itself: no script, nothing fetched, every picture well
// formed with its command, names of data escaped.
func TestReport(t *testing.T) {
	r := *result(t)
	r.Distributions = append([]Target(nil), r.Distributions...)
	r.Distributions[0].Name = `<b>&"'`
	var b bytes.Buffer
	if err := WriteReport(&b, &r); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	if strings.Contains(text, "<b>&") || strings.Contains(text, "<script") || regexp.MustCompile(`(src|href)="(?:[^d#]|d[^a])`).MatchString(text) || strings.Contains(text, "@import") {
		t.Error("the page fetches, runs or fails to escape something")
	}
	figures := Figures(&r)
	if n := strings.Count(text, "<svg"); n != len(figures) || n < 4 {
		t.Errorf("%d pictures, want %d", n, len(figures))
	}
	for _, f := range figures {
		if !strings.Contains(text, "--figure "+f.Name) {
			t.Errorf("%s stands without its command", f.Name)
		}
		b.Reset()
		if err := WriteFigure(&b, &r, f.Name); err != nil {
			t.Fatal(err)
		}
		for d := xml.NewDecoder(&b); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s is no XML: %v", f.Name, err)
			}
		}
	}
	if err := WriteFigure(&b, &r, "none"); !errors.Is(err, core.Usage) {
		t.Errorf("an unknown figure: %v", err)
	}
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	if err := WriteTable(&b, result(t)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"pbkdf2sm3$i=1024,w=2", "pbkdf2sm3_vs_gmsm", "6-digit PINs, uniform", "advantage"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the table lacks %q", want)
		}
	}
}

// A run against itself shows no difference; doubled samples show one.
func TestCompare(t *testing.T) {
	a := *result(t)
	same := Compare(&a, &a)
	if !same.SameMachine || len(same.Cells) != len(a.Cells) || len(same.Ratios) < 2 {
		t.Fatalf("%+v", same)
	}
	for _, c := range same.Cells {
		if c.CPU.Value != 1 || c.CPUSays != "no difference shown" || c.CPU.Low > 1 || c.CPU.High < 1 {
			t.Errorf("%+v", c)
		}
	}
	b := a
	b.Cells = append([]Cell(nil), a.Cells[1:]...)
	slow := make([]float64, len(b.Cells[0].Defender.CPUNs))
	for i, v := range b.Cells[0].Defender.CPUNs {
		slow[i] = 1000 * v
	}
	b.Cells[0].Defender.CPUNs = slow
	b.Machine.CPU = "another"
	diff := Compare(&a, &b)
	if diff.SameMachine || diff.Cells[0].CPUSays != "higher" || len(diff.OnlyA) != 1 || diff.OnlyA[0] != a.Cells[0].Params {
		t.Errorf("%+v", diff)
	}
	var w bytes.Buffer
	if err := WriteComparison(&w, diff); err != nil || !strings.Contains(w.String(), "only in A: "+a.Cells[0].Params) {
		t.Errorf("%v\n%s", err, w.String())
	}
}

func TestPrices(t *testing.T) {
	good := `[{"name":"a","kind":"cpu","usd_per_hour":1,"cores":2,"speed":1,"source":"s"},{"name":"b","kind":"gpu","estimate":true,"usd_per_hour":1,"sm3_per_second":1,"bytes_per_second":1,"source":"s"}]`
	if p, err := ReadPrices(strings.NewReader(good)); err != nil || len(p) != 2 {
		t.Fatal(err)
	}
	for what, c := range map[string][2]string{
		"a GPU without the mark of an estimate": {`"estimate":true,`, ``},
		"no source":                             {`"source":"s"`, `"source":""`},
		"no price":                              {`"usd_per_hour":1`, `"usd_per_hour":0`},
		"unknown field":                         {`"kind":"cpu"`, `"kind":"cpu","x":1`},
		"another speed, not an estimate":        {`"speed":1`, `"speed":2`},
		"a name twice":                          {`"name":"b"`, `"name":"a"`},
		"unknown kind":                          {`"cpu"`, `"asic"`},
		"two lists":                             {`]`, `][]`},
	} {
		if _, err := ReadPrices(strings.NewReader(strings.Replace(good, c[0], c[1], 1))); !errors.Is(err, core.Invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := ReadPrices(strings.NewReader("[]")); !errors.Is(err, core.Invalid) {
		t.Errorf("an empty table: %v", err)
	}
}

func FuzzReaders(f *testing.F) {
	f.Add([]byte(`[{"name":"a","kind":"cpu","usd_per_hour":1,"cores":2,"speed":1,"source":"s"}]`))
	f.Add([]byte(`{"schema":"keposs-lab-kdf-1","cells":[{"params":"sm2kdf$"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := ReadPrices(bytes.NewReader(b)); err == nil {
			for _, x := range p {
				if r := x.Rate(&Cell{Attacker: Attacker{Rate: 1}, Work: Work{SM3: 1, Traffic: 1}}); !(r >= 0) {
					t.Errorf("rate %v of %+v", r, x)
				}
			}
		}
		if r, err := Read(bytes.NewReader(b)); err == nil {
			_ = WriteTable(io.Discard, r)
			_ = WriteCSV(io.Discard, r)
			_ = WriteReport(io.Discard, r)
			Compare(r, r)
		}
	})
}
