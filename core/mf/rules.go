package mf

import (
	"fmt"
	"slices"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
)

// invalid names the first structural rule p breaks, "" if none. Factors and
// Tree agree already: Decode built the tree over the factors' labels.
func (p *Policy) invalid() string {
	switch {
	case p.Suite != SuiteSM:
		return fmt.Sprintf("suite %d, want %d", p.Suite, SuiteSM)
	case p.KeyID.IsZero():
		return "the key id is zero"
	case p.MKGen == 0 || p.Epoch == 0:
		return "generations start at 1"
	case p.Root != RootDirect && p.Root != RootWrapped:
		return fmt.Sprintf("root %d, want direct or wrapped", p.Root)
	}
	for _, why := range []string{p.Escrow.invalid(), p.invalidAnchor(), p.invalidFactors(), p.invalidSets()} {
		if why != "" {
			return why
		}
	}
	return ""
}

func (e Escrow) invalid() string {
	hardened := e.Mode == protocol.ModeHardened
	switch {
	case e.Mode != protocol.ModePlain && !hardened:
		return fmt.Sprintf("escrow mode %d, want plain or hardened", e.Mode)
	case e.T != 1 || e.N != 1 || len(e.Realms) != 1:
		return fmt.Sprintf("%d of %d realms: version 1 accepts one", e.T, e.N)
	case hardened && e.OPRF != OPRFSM2 || !hardened && e.OPRF != OPRFNone:
		return fmt.Sprintf("oprf suite %d does not belong to mode %s", e.OPRF, e.Mode)
	}
	r := e.Realms[0]
	switch {
	case r.ID.IsZero() || r.Index != 1:
		return "a realm needs an id and counts from 1"
	case hardened != (r.K != nil):
		return fmt.Sprintf("oprf key does not belong to mode %s", e.Mode)
	}
	return ""
}

func (p *Policy) invalidAnchor() string {
	kinds := map[HolderKind]int{}
	for i, h := range p.Anchor {
		switch {
		case !policy.ValidLabel(h.ID):
			return "an anchor holder has no valid id"
		case i > 0 && p.Anchor[i-1].ID >= h.ID:
			return "anchor holders must be sorted and unique"
		case h.Kind != HolderDevice && h.Kind != HolderRecovery:
			return fmt.Sprintf("anchor holder %s: kind %d, want device or recovery", h.ID, h.Kind)
		case h.Rev == 0:
			return fmt.Sprintf("anchor holder %s: revisions start at 1", h.ID)
		}
		kinds[h.Kind]++
	}
	if len(p.Anchor) > 0 && kinds[HolderDevice] != 1 || kinds[HolderRecovery] > 1 {
		return "version 1 accepts one device and at most one recovery code"
	}
	return ""
}

func (p *Policy) invalidFactors() string {
	for i := range p.Factors {
		f := &p.Factors[i]
		bio := f.Kind == core.KindBiometric
		switch {
		case !bio && f.Kind != core.KindKnowledge && f.Kind != core.KindPossession:
			return fmt.Sprintf("factor %s: kind %d is unknown", f.ID, f.Kind)
		case !policy.ValidLabel(f.Source):
			return fmt.Sprintf("factor %s has no valid source", f.ID)
		case f.Rev == 0 || f.Format == 0:
			return fmt.Sprintf("factor %s: revision and format start at 1", f.ID)
		case bio && len(p.Anchor) == 0:
			return fmt.Sprintf("factor %s: a biometric needs the anchor", f.ID)
		case len(f.Box) != 0 && (len(f.Box) != boxSize || !bio || p.Root != RootWrapped):
			return fmt.Sprintf("factor %s may not have this box", f.ID)
		}
	}
	return ""
}

func (p *Policy) invalidSets() string {
	var got []uint16
	for _, s := range p.Sets {
		got = append(got, s.Members)
	}
	if !slices.Equal(got, p.Tree.Masks()) {
		return "the sets are not the tree's minimal sets in canonical order"
	}
	if p.Root == RootDirect && len(p.Sets) != 1 {
		return fmt.Sprintf("root direct with %d sets, want exactly one", len(p.Sets))
	}
	return ""
}
