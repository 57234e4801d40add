package mf

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/policy"
)

// A Change describes a new generation of a wrapped policy. The zero value asks
// for fresh salts and, in hardened mode, a new OPRF key, and changes nothing
// else.
type Change struct {
	Tree    *policy.Tree // nil = keep
	Factors []FactorSpec // labels Tree has and the policy has not
	Replace []string     // labels to enrol again: a changed PIN, another finger
	KDF     *core.Params // nil = keep; never cheaper
}

// NeedHow is what a change asks of the person for one factor.
type NeedHow uint8

// What may be needed.
const (
	NeedNothing NeedHow = iota // known: from a box, or entered for this open already
	NeedEnrol                  // the source's Enroll: a new or replaced factor
	NeedEnter                  // the source's Capture and Recover, as for an open
)

// String says it in a word.
func (h NeedHow) String() string {
	switch h {
	case NeedEnrol:
		return "enrol"
	case NeedEnter:
		return "enter"
	default:
		return "nothing"
	}
}

// A Need is one factor a change involves, with the reason in words.
type Need struct {
	Label string
	Kind  core.FactorKind
	How   NeedHow
	Why   string
}

// A Plan is a change that the rules allow, before anybody was asked anything.
type Plan struct {
	Needs  []Need // by label; every factor of the new tree, and old ones needed for the check
	change Change
	p      *Policy
	tree   *policy.Tree
	checks []int // indices of old sets that verify what is entered again
}

// Plan says what a change of p will ask for when it is opened with the given
// set (labels; nil = none known yet). It refuses what must run as a revoke:
// any change under a direct root, and a tree that takes away a way to open
// made of factors that stay. Errors have code Policy or Usage.
func (p *Policy) Plan(ch Change, opened []string) (*Plan, error) {
	const op = "mf: plan change"
	pl := &Plan{change: ch, p: p, tree: ch.Tree}
	if pl.tree == nil {
		pl.tree = p.Tree
	}
	if p.Root == RootDirect {
		return nil, core.Errorf(core.Policy, op, "the root is direct: the key comes from exactly these factors, so every change but adding a recovery code is a revoke")
	}
	if ch.KDF != nil && ch.KDF.Name == p.KDF.Name {
		if err := belowFloor(*ch.KDF, p.KDF); err != nil {
			return nil, core.Errorf(core.Policy, op, "the cost may only rise: %w", err)
		}
	}
	labels := pl.tree.Labels()
	for _, l := range ch.Replace {
		if !slices.Contains(labels, l) || p.Factor(l) == nil {
			return nil, core.Errorf(core.Usage, op, "factor %s cannot be replaced: it is not in the policy before and after", l)
		}
	}
	for _, l := range labels {
		known := slices.ContainsFunc(ch.Factors, func(f FactorSpec) bool { return f.Label == l })
		if known == (p.Factor(l) != nil) {
			return nil, core.Errorf(core.Usage, op, "factor %s: want a spec for new factors, and only for those", l)
		}
	}
	if gone := pl.tightens(); gone != "" {
		return nil, core.Errorf(core.Policy, op, "the new tree no longer opens with %s: whoever kept the old record still could, so this runs as a revoke", gone)
	}
	pl.needs(opened)
	if err := pl.verify(opened); err != nil {
		return nil, err
	}
	return pl, nil
}

// stays reports whether the factor is kept unchanged.
func (pl *Plan) stays(l string) bool {
	return pl.p.Factor(l) != nil && slices.Contains(pl.tree.Labels(), l) && !slices.Contains(pl.change.Replace, l)
}

// tightens names an old set of staying factors that the new tree refuses.
func (pl *Plan) tightens() string {
	for _, set := range pl.p.Tree.MinimalSets() {
		if !slices.ContainsFunc(set, func(l string) bool { return !pl.stays(l) }) && !pl.tree.Authorised(set) {
			return fmt.Sprint(set)
		}
	}
	return ""
}

func (pl *Plan) needs(opened []string) {
	for _, l := range pl.tree.Labels() {
		f := pl.p.Factor(l)
		n := Need{Label: l}
		if f != nil {
			n.Kind = f.Kind
		}
		switch {
		case f == nil:
			i := slices.IndexFunc(pl.change.Factors, func(s FactorSpec) bool { return s.Label == l })
			n.Kind, n.How, n.Why = pl.change.Factors[i].Kind, NeedEnrol, "new in the policy"
		case slices.Contains(pl.change.Replace, l):
			n.How, n.Why = NeedEnrol, "replaced"
		case slices.Contains(opened, l):
			n.Why = "entered to open the policy"
		case len(f.Box) > 0:
			n.Why = "kept in its box; not even presented"
		default:
			n.How, n.Why = NeedEnter, "every set is wrapped anew, so every factor is needed once"
		}
		pl.Needs = append(pl.Needs, n)
	}
}

// verify picks old sets that prove what is entered again: a slip would
// otherwise be sealed in. Factors that leave the policy may be needed for it.
func (pl *Plan) verify(opened []string) error {
	p := pl.p
	have := func(l string) bool { return slices.Contains(opened, l) || len(p.Factor(l).Box) > 0 }
	var open uint16 // factors whose fs is proven or comes from a box
	for i, f := range p.Factors {
		if have(f.ID) {
			open |= 1 << i
		}
	}
	entered := map[string]bool{}
	for _, n := range pl.Needs {
		entered[n.Label] = n.How == NeedEnter
	}
	for i, f := range p.Factors {
		if !entered[f.ID] || open>>i&1 == 1 {
			continue
		}
		best, cost := -1, 0
		for j, s := range p.Sets {
			if s.Members>>i&1 == 0 {
				continue
			}
			// Prefer sets that ask for nothing beyond what is entered anyway.
			extra := 0
			for k, g := range p.Factors {
				if s.Members>>k&1 == 1 && open>>k&1 == 0 && !entered[g.ID] {
					extra++
				}
			}
			c := 100*extra + bits.OnesCount16(s.Members&^open)
			if best < 0 || c < cost {
				best, cost = j, c
			}
		}
		if best < 0 {
			return core.Errorf(core.Internal, "mf: plan change", "factor %s is in no set", f.ID)
		}
		pl.checks = append(pl.checks, best)
		for k, g := range p.Factors {
			if p.Sets[best].Members>>k&1 == 0 || open>>k&1 == 1 {
				continue
			}
			open |= 1 << k
			if entered[g.ID] {
				continue
			}
			entered[g.ID] = true
			pl.Needs = append(pl.Needs, Need{Label: g.ID, Kind: g.Kind, How: NeedEnter,
				Why: fmt.Sprintf("its old value, to check factor %s before it is sealed in again", f.ID)})
		}
	}
	return nil
}
