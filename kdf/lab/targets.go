package lab

import (
	"slices"

	"github.com/keposs/keposs/ppd/gesture"
	"github.com/keposs/keposs/ppd/lab/guess"
	"github.com/keposs/keposs/ppd/pin"
)

// OnlineTries are the tries at which success against a counting server is told.
var OnlineTries = []uint64{1, 3, 5, 10, 30, 100}

// Alphas are the shares of accounts whose opening is priced.
var Alphas = []float64{0.1, 0.5, 0.9}

// DefaultDistributions needs no data: uniform choice under this project's own
// rules, the best a person could do, and points published of real choice.
func DefaultDistributions() []*guess.Distribution {
	return []*guess.Distribution{
		guess.PINPoints(),
		guess.PatternPoints(),
		guess.OfUniform("6-digit PINs, uniform", "counted: all the rules of ppd/pin let through", uint64(pin.Allowed(pin.Digits, 6))),
		guess.OfUniform("4x4 gestures, uniform", "counted: all of 6 dots or more the rules of ppd/gesture let through", gesture.Allowed(4, 6)),
	}
}

// targetOf gives d's figures.
func targetOf(d *guess.Distribution) Target {
	t := Target{Name: d.Name, Evidence: d.Evidence, Source: d.Source, Space: d.Space(), Curve: d.Curve()}
	t.Online, t.Work = d.Online(OnlineTries), d.Factors(Alphas)
	return t
}

// attacks prices every cell against every distribution on every hardware.
func attacks(cells []Cell, targets []Target, prices []Price) (out []Attack) {
	for i := range cells {
		for _, t := range targets {
			for _, p := range prices {
				rate := p.Rate(&cells[i])
				if rate <= 0 {
					continue
				}
				for _, w := range t.Work {
					s := w.Expected / rate
					out = append(out, Attack{
						Params: cells[i].Params, Distribution: t.Name, Hardware: p.Name, Estimate: p.Estimate,
						Alpha: w.Alpha, Guesses: w.Expected, Seconds: s, USD: s / 3600 * p.USDPerHour,
					})
				}
			}
		}
	}
	return slices.Clip(out)
}
