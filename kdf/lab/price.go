package lab

import (
	"bytes"
	"encoding/json"
	"io"

	"github.com/keposs/keposs/core"
)

// Hardware kinds of a price table.
const (
	PerCore = "cpu" // cores like this machine's: rates are measured here
	Other   = "gpu" // hardware that is not here: rates come from a model and are estimates
)

// A Price is one line of a price table. For PerCore the rate of Cores cores
// that are Speed times this machine's; for Other a rate modelled from what the
// hardware does per second, always marked as an estimate.
type Price struct {
	Name       string  `json:"name"`
	Kind       string  `json:"kind"`
	Estimate   bool    `json:"estimate"`
	USDPerHour float64 `json:"usd_per_hour"`
	Cores      float64 `json:"cores,omitempty"`
	Speed      float64 `json:"speed,omitempty"`
	SM3        float64 `json:"sm3_per_second,omitempty"`   // compressions
	Bandwidth  float64 `json:"bytes_per_second,omitempty"` // of memory
	Source     string  `json:"source"`
}

// DefaultPrices is an example to be replaced by one's own table: what a core
// hour costs differs by a factor of ten between sellers and changes each year.
func DefaultPrices() []Price {
	return []Price{
		{Name: "rented core", Kind: PerCore, USDPerHour: 0.02, Cores: 1, Speed: 1,
			Source: "order of magnitude of a shared virtual core in 2026; give your own with --prices"},
		{Name: "large GPU (estimate)", Kind: Other, Estimate: true, USDPerHour: 0.5, SM3: 2e10, Bandwidth: 1e12,
			Source: "not measured: 2e10 SM3 blocks and 1 TB of memory traffic a second, order of magnitude of one large graphics card"},
	}
}

// maxPrices bounds a table.
const maxPrices = 64

// ReadPrices reads a JSON list of Price. A rate that is not measured here must
// be marked as an estimate; unknown fields, negative or absurd figures are
// Invalid.
func ReadPrices(r io.Reader) ([]Price, error) {
	const op = "lab: read prices"
	b, err := io.ReadAll(io.LimitReader(r, 1<<20+1))
	if err != nil {
		return nil, core.Errorf(core.Invalid, op, "%w", err)
	}
	if len(b) > 1<<20 {
		return nil, core.Errorf(core.TooLarge, op, "more than 1 MiB")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var out []Price
	if err := d.Decode(&out); err != nil {
		return nil, core.Errorf(core.Invalid, op, "want a JSON list of prices: %w", err)
	}
	if d.More() || len(out) == 0 || len(out) > maxPrices {
		return nil, core.Errorf(core.Invalid, op, "want one list of 1 to %d prices", maxPrices)
	}
	seen := map[string]bool{}
	for i, p := range out {
		bad := func(what string) error {
			return core.Errorf(core.Invalid, op, "price %d (%.40s): %s", i+1, p.Name, what)
		}
		within := func(v float64) bool { return v >= 0 && v <= 1e18 }
		switch {
		case p.Name == "" || len(p.Name) > 40 || seen[p.Name]:
			return nil, bad("want a name of 1 to 40 bytes that stands once")
		case p.Source == "" || len(p.Source) > 400:
			return nil, bad("want the source of the figures, at most 400 bytes")
		case p.USDPerHour <= 0 || !within(p.USDPerHour) || !within(p.Cores) || !within(p.Speed) || !within(p.SM3) || !within(p.Bandwidth):
			return nil, bad("figures must be positive")
		case p.Kind == PerCore && (p.Cores <= 0 || p.Speed <= 0 || p.SM3 != 0 || p.Bandwidth != 0):
			return nil, bad("kind cpu wants cores and speed and nothing else")
		case p.Kind == PerCore && p.Speed != 1 && !p.Estimate:
			return nil, bad("another speed than this machine's is an estimate: say so")
		case p.Kind == Other && (!p.Estimate || p.SM3 <= 0 || p.Bandwidth <= 0 || p.Cores != 0 || p.Speed != 0):
			return nil, bad(`kind gpu wants sm3_per_second, bytes_per_second and "estimate": true`)
		case p.Kind != PerCore && p.Kind != Other:
			return nil, bad("kind is cpu or gpu")
		}
		seen[p.Name] = true
	}
	return out, nil
}

// Rate is guesses per second of p against c, 0 when nobody can tell.
func (p Price) Rate(c *Cell) float64 {
	if p.Kind == PerCore {
		return c.Attacker.Rate * p.Cores * p.Speed
	}
	if c.Work.SM3 == 0 && c.Work.Traffic == 0 {
		return 0
	}
	seconds := 0.0
	if c.Work.SM3 > 0 {
		seconds = c.Work.SM3 / p.SM3
	}
	return 1 / max(seconds, c.Work.Traffic/p.Bandwidth)
}
