package bench

import (
	"fmt"
	"strings"
)

// Goal is one goal of the storage design beside what was measured.
type Goal struct {
	Name     string  `json:"name"`
	Wanted   string  `json:"wanted"`
	Measured float64 `json:"measured"`
	Met      bool    `json:"met"`
}

func (r *Result) goals() {
	r.Goals = []Goal{}
	add := func(name string, have float64, ok bool, least bool, bound float64) {
		if !ok {
			return
		}
		g := Goal{Name: name, Measured: have, Wanted: "≥ " + figure(bound), Met: have >= bound}
		if !least {
			g.Wanted, g.Met = "≤ "+figure(bound), have <= bound
		}
		r.Goals = append(r.Goals, g)
	}
	ratio := func(name string) (float64, bool) { v, ok := r.Ratios[name]; return v, ok }
	limit := 0.8
	if r.Backend == "postgres" {
		limit = 0.7
	}
	local := embedded(r.Backend)
	for _, g := range []struct {
		name  string
		least bool
		bound float64
	}{
		{"fetch_vs_echo", true, 0.65}, {"fetch_plugin_vs_limit", true, 0.85}, {"fetch_vs_engine", true, 0.7}, {"commit_vs_limit", true, limit},
		{"commit_vs_plain", true, 5}, {"p99_vs_limit", false, 2},
	} {
		v, ok := ratio(g.name)
		switch g.name {
		case "fetch_vs_echo", "fetch_plugin_vs_limit":
			ok = ok && local
		case "commit_vs_limit", "fetch_vs_engine":
			ok = ok && r.Backend != "etcd" // the design sets none
		}
		add(g.name, v, ok, g.least, g.bound)
	}
	add("commits_per_sync", r.CommitsPerSync, r.CommitsPerSync > 0, true, 16)
	if n := len(r.Growth); n > 0 {
		first, last := r.Growth[0], r.Growth[n-1]
		add(fmt.Sprintf("get_p50 at %s vs %s", thousands(last.Records), thousands(first.Records)), last.GetP50/first.GetP50, n > 1, false, 3)
		add("disk_ratio", last.DiskRatio, last.DiskRatio > 0, false, 1.5)
		if local { // of a server these tell its settings and its disk
			add("open_ms", last.OpenMS, true, false, 1000)
			add("export_per_second", last.ExportPS, last.ExportPS > 0, true, 100_000)
		}
	}
}

// embedded tells a store that runs inside the process that uses it.
func embedded(backend string) bool { return backend == "badger" || backend == "memory" }

func figure(v float64) string {
	if v >= 1000 {
		return thousands(int(v))
	}
	return strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.2f", v), "0"), ".")
}

// thousands writes 1000000 as 1,000,000.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
