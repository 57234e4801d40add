package lab

import (
	"encoding/json"
	"io"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/ppd/lab/guess"
)

// Schema names the form of a Result; SchemaText describes it.
const Schema = "keposs-lab-kdf-1"

// A Result is one run of the laboratory.
type Result struct {
	Schema        string               `json:"schema"`
	Command       string               `json:"command"` // makes it again
	Started       time.Time            `json:"started"`
	Seconds       float64              `json:"seconds"`
	Complete      bool                 `json:"complete"` // every cell of the plan was measured
	Machine       Machine              `json:"machine"`
	Ratios        map[string]float64   `json:"ratios"`        // by RatioNames; what the machine lacks is left out
	RatioSamples  map[string][]float64 `json:"ratio_samples"` // ns of CPU per iteration, one a round, in order of rounds
	Cells         []Cell               `json:"cells"`
	Distributions []Target             `json:"distributions"`
	Prices        []Price              `json:"prices"`
	Attacks       []Attack             `json:"attacks"`
	Notes         []string             `json:"notes,omitempty"`
}

// A Cell is one KDF at one cost.
type Cell struct {
	Params   string   `json:"params"` // canonical
	KDF      string   `json:"kdf"`
	Approved bool     `json:"approved"`
	Defender Defender `json:"defender"`
	Attacker Attacker `json:"attacker"`
	Work     Work     `json:"work"`
}

// A Defender is the honest derivation, once per unlock.
type Defender struct {
	WallNs     []float64 `json:"wall_ns"` // raw samples
	CPUNs      []float64 `json:"cpu_ns"`  // of all threads
	MedianNs   float64   `json:"median_ns"`
	MedianCPU  float64   `json:"median_cpu_ns"`
	Memory     uint64    `json:"memory_bytes"` // declared
	AllocBytes uint64    `json:"alloc_bytes"`  // least of three runs
	Allocs     uint64    `json:"allocs"`
}

// An Attacker is the built-in cracker on one core of the same machine.
type Attacker struct {
	Form       string    `json:"form"`
	Lanes      int       `json:"lanes"`
	MeasuredAt string    `json:"measured_at"` // parameters it ran with; the rate is scaled by the cost
	Rates      []float64 `json:"rates"`       // raw samples, guesses per CPU second at params
	Rate       float64   `json:"guesses_per_core_second"`
	Advantage  float64   `json:"advantage"` // guesses in the defender's CPU time of one derivation
}

// Work is what one guess asks of hardware that is not here; zero = no model.
type Work struct {
	SM3     float64 `json:"sm3_blocks"`
	Traffic float64 `json:"memory_traffic_bytes"`
}

// A Target is a distribution with its guessing figures.
type Target struct {
	Name     string             `json:"name"`
	Evidence string             `json:"evidence"`
	Source   string             `json:"source"`
	Space    uint64             `json:"space"`
	Online   []guess.Point      `json:"online"` // success within the tries a server allows
	Work     []guess.WorkFactor `json:"work"`
	Curve    []guess.Point      `json:"curve"`
}

// An Attack is a price: opening the share Alpha of accounts one by one, offline,
// everything but the factor known.
type Attack struct {
	Params       string  `json:"params"`
	Distribution string  `json:"distribution"`
	Hardware     string  `json:"hardware"`
	Estimate     bool    `json:"estimate"` // the rate was not measured
	Alpha        float64 `json:"alpha"`
	Guesses      float64 `json:"guesses"` // expected per account, G_α
	Seconds      float64 `json:"seconds"` // of one such machine
	USD          float64 `json:"usd"`     // per account attacked
}

// Read parses a Result and checks its schema. At
// most 64 MiB.
func Read(r io.Reader) (*Result, error) {
	const op = "lab: read result"
	b, err := io.ReadAll(io.LimitReader(r, 64<<20+1))
	if err != nil {
		return nil, core.Errorf(core.Invalid, op, "%w", err)
	}
	if len(b) > 64<<20 {
		return nil, core.Errorf(core.TooLarge, op, "more than 64 MiB")
	}
	var head struct {
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, core.Errorf(core.Invalid, op, "no JSON of `keposs lab kdf --json`: %w", err)
	}
	if head.Schema != Schema {
		return nil, core.Errorf(core.Unsupported, op, "schema %.40q, want %q", head.Schema, Schema)
	}
	out := new(Result)
	if err := json.Unmarshal(b, out); err != nil {
		return nil, core.Errorf(core.Invalid, op, "%w", err)
	}
	return out, out.check(op)
}

// Bounds on a result that is read.
const (
	maxCells         = 4096
	maxDistributions = 64
	maxText          = 512
)

// check refuses what no run writes, so that tables and pictures can trust it.
func (r *Result) check(op string) error {
	if len(r.Cells) > maxCells || len(r.Distributions) > maxDistributions || len(r.Prices) > maxPrices ||
		len(r.Attacks) > maxCells*maxDistributions*maxPrices {
		return core.Errorf(core.TooLarge, op, "%d cells, %d distributions, %d prices", len(r.Cells), len(r.Distributions), len(r.Prices))
	}
	known := map[string]bool{}
	for _, c := range r.Cells {
		p, err := core.ParseParams(c.Params)
		if err != nil || p.Name != c.KDF || known[c.Params] {
			return core.Errorf(core.Invalid, op, "cell %.40q is no kdf's, or stands twice", c.Params)
		}
		known[c.Params] = true
		d, a := c.Defender, c.Attacker
		if d.MedianNs <= 0 || d.MedianNs > 1e18 || d.MedianCPU < 0 || d.MedianCPU > 1e18 || a.Rate <= 0 || a.Rate > 1e18 {
			return core.Errorf(core.Invalid, op, "cell %.40q: time and rate must be positive", c.Params)
		}
	}
	for _, t := range r.Distributions {
		for _, p := range t.Curve {
			if p.Guesses == 0 || !(p.Success >= 0 && p.Success <= 1) {
				return core.Errorf(core.Invalid, op, "distribution %.40q: a point at %d guesses with success %g", t.Name, p.Guesses, p.Success)
			}
		}
		if len(t.Name) > maxText || len(t.Curve) > maxCells {
			return core.Errorf(core.TooLarge, op, "distribution %.40q is too large", t.Name)
		}
	}
	for _, p := range r.Prices {
		if !(p.USDPerHour > 0 && p.USDPerHour < 1e18) || len(p.Name) > maxText {
			return core.Errorf(core.Invalid, op, "price %.40q", p.Name)
		}
	}
	for _, a := range r.Attacks {
		if !known[a.Params] || !(a.USD > 0 && a.USD < 1e300) {
			return core.Errorf(core.Invalid, op, "an attack on %.40q at %g USD", a.Params, a.USD)
		}
	}
	return nil
}
