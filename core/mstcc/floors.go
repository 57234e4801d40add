package mstcc

import (
	"strings"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
)

// floors refuses, at level 2, a policy that a guess passes too easily: every
// set needs a knowledge factor, a random try must pass with less than 1/10^6,
// and in hardened mode the tries of one minute with less than 1/10^5. The
// message holds the arithmetic. Level 1 has no floor.
// req: G-7.4-04, G-7.4-05, G-7.4-06, K-3-02
func (m *Module) floors(tree *policy.Tree, factors []policy.Factor, kdf core.Params, mode protocol.Mode) error {
	if m.profile.Level < 2 {
		return nil
	}
	e, err := policy.Explain(policy.Input{Tree: tree, Factors: factors, KDF: kdf, Mode: mode, Limit: int(m.profile.Limit), Anchor: true})
	if err != nil {
		return err
	}
	if e.Level2.OK {
		return nil
	}
	return core.Errorf(core.Policy, "mstcc: level 2", "%s is too weak: %s", tree, strings.Join(e.Level2.Why, "; "))
}

// enrolledNow are the strengths of factors enrolled in g.
func (g *generation) enrolledNow(srcs []boundSource) []policy.Factor {
	var out []policy.Factor
	for _, s := range srcs {
		if st, ok := g.strength[s.label]; ok {
			out = append(out, policy.Factor{Label: s.label, Source: s.name, Kind: s.info.Kind, Strength: st})
		}
	}
	return out
}
