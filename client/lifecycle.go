package client

import (
	"context"
	"slices"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

// Sheet is a recovery sheet: its Payload (one line, for a QR code), or its
// code's Words with the public Details.
type Sheet = mf.Sheet

// ChangeRequest asks for a change of the factors. The zero value renews every
// salt and changes nothing else.
type ChangeRequest struct {
	Policy  string                       // the new factor tree, "" = keep
	Replace []string                     // labels to enrol again: a changed PIN, another finger
	KDF     string                       // the same KDF at a higher cost, "" = keep
	Params  map[string]map[string]string // by label: what a source's enrolment takes
	Factors []string                     // labels the person gives to open; nil = the policy's first set
}

// Need is what a change asks for one factor.
type Need struct {
	Label string `json:"label"`
	How   string `json:"how"` // nothing, enter or enrol
	Why   string `json:"why"`
}

// Plan says what a change will ask, before anybody is asked.
type Plan struct {
	Open   []string `json:"open"`          // entered first, to open the policy
	Needs  []Need   `json:"needs"`         // then, by factor
	Revoke bool     `json:"revoke"`        // the rules make it a revoke: every factor is captured again
	Why    string   `json:"why,omitempty"` // with Revoke: the rule
	Policy string   `json:"policy"`        // afterwards
	KDF    string   `json:"kdf"`           // afterwards
}

// Changed tells how a change ended.
type Changed = mstcc.Changed

// parseChange turns texts into what the module takes.
func (r ChangeRequest) parse() (out mstcc.ChangeRequest, err error) {
	out = mstcc.ChangeRequest{Replace: r.Replace, Params: r.Params}
	if r.Policy != "" {
		if out.Tree, err = policy.Parse(r.Policy); err != nil {
			return out, err
		}
	}
	if r.KDF != "" {
		p, err := core.ParseParams(r.KDF)
		if err != nil {
			return out, core.Errorf(core.Usage, "client: change", "%w", err)
		}
		out.KDF = &p
	}
	return out, nil
}

// Policy reads the policy in force from SS-CC, held against what this terminal
// remembers. It is public and asks for nothing.
func (c *Client) Policy(ctx context.Context) (*mf.Policy, error) {
	if c.agent != nil {
		return c.agent.policy(ctx)
	}
	return c.module.Policy(ctx)
}

// PlanChange says what Change would ask for, or that the rules make it a
// revoke. It asks for nothing.
func (c *Client) PlanChange(ctx context.Context, r ChangeRequest) (Plan, error) {
	if c.agent != nil {
		return ask[Plan](ctx, c.agent, "plan-change", r)
	}
	req, err := r.parse()
	if err != nil {
		return Plan{}, err
	}
	p, err := c.module.PlanChange(ctx, req, mstcc.OpenOptions{Factors: r.Factors})
	if err != nil {
		return Plan{}, err
	}
	out := Plan{Open: p.Open, Revoke: p.Revoke, Why: p.Why, Policy: p.Tree.String(), KDF: p.KDF.String()}
	for _, n := range p.Needs {
		out.Needs = append(out.Needs, Need{Label: n.Label, How: n.How.String(), Why: n.Why})
	}
	return out, nil
}

// PlanRemoval is PlanChange for the policy without one factor; it also returns
// that policy, for ChangeRequest.Policy.
func (c *Client) PlanRemoval(ctx context.Context, label string, factors ...string) (Plan, string, error) {
	p, err := c.Policy(ctx)
	if err != nil {
		return Plan{}, "", err
	}
	t, err := p.Tree.Without(label)
	if err != nil {
		return Plan{}, "", err
	}
	plan, err := c.PlanChange(ctx, ChangeRequest{Policy: t.String(), Factors: factors})
	return plan, t.String(), err
}

// Change runs one change as one transaction; interrupted anywhere, exactly one
// of the old and the new policy opens afterwards. The person is asked what
// PlanChange said. Policy is the code when it must run as a revoke.
func (c *Client) Change(ctx context.Context, r ChangeRequest) (*Changed, error) {
	if c.agent != nil {
		return ask[*Changed](ctx, c.agent, "change", r)
	}
	req, err := r.parse()
	if err != nil {
		return nil, err
	}
	return c.module.Change(ctx, req, mstcc.OpenOptions{Factors: r.Factors}, c.prompt)
}

// ShowSheet shows a recovery sheet (lent) to the person, and returns when they
// confirmed to have it on paper. An error ends the service with nothing stored.
type ShowSheet func(ctx context.Context, s *Sheet) error

// newSheet draws a recovery code; nil when show is. The caller wipes the code.
func (c *Client) newSheet(show ShowSheet) (*mstcc.NewSheet, error) {
	if show == nil {
		return nil, nil
	}
	if c.binding == nil {
		return nil, core.Errorf(core.State, "client: recovery sheet", "not provisioned: run provision with the administrator's file first")
	}
	code, err := mf.NewRecoveryCode(sm.Rand())
	if err != nil {
		return nil, err
	}
	return &mstcc.NewSheet{Code: code, Endpoint: c.binding.Endpoint, Show: show}, nil
}

// CreateRecovery adds a recovery code to the policy. Conflict is the code when
// there is one already: a new one takes a revoke.
func (c *Client) CreateRecovery(ctx context.Context, show ShowSheet, factors ...string) (*Changed, error) {
	if show == nil {
		return nil, core.Errorf(core.Usage, "client: create recovery", "want a way to show the sheet")
	}
	if c.agent != nil {
		return c.agent.createRecovery(ctx, show, factors)
	}
	n, err := c.newSheet(show)
	if err != nil {
		return nil, err
	}
	defer n.Code.Wipe()
	return c.module.AddRecovery(ctx, *n, mstcc.OpenOptions{Factors: factors}, c.prompt)
}

// RevokeRequest asks for a new generation of everything but the user's keys.
type RevokeRequest struct {
	Policy   string                       // the new factor tree, "" = keep
	KDF      string                       // the same KDF, "" = keep
	Hardened bool                         // leave plain mode
	Sheet    ShowSheet                    `json:"-"` // shows the new recovery sheet; nil = no recovery code afterwards
	Params   map[string]map[string]string // by label: what a source's enrolment takes
	Factors  []string                     // labels the person gives to open; nil = the policy's first set
}

// parse also draws the recovery code, which the caller wipes.
func (c *Client) parseRevoke(r RevokeRequest) (out mstcc.RevokeRequest, err error) {
	ch, err := ChangeRequest{Policy: r.Policy, KDF: r.KDF}.parse()
	if err != nil {
		return out, err
	}
	out = mstcc.RevokeRequest{Tree: ch.Tree, KDF: ch.KDF, Params: r.Params}
	if r.Hardened {
		out.Mode = protocol.ModeHardened
	}
	out.Sheet, err = c.newSheet(r.Sheet)
	return out, err
}

func wipeSheet(n *mstcc.NewSheet) {
	if n != nil {
		n.Code.Wipe()
	}
}

// Revoke asks for the factors, then for every factor anew, and makes device
// secret, device key, recovery code and every salt new. The user's keys and id
// stay. Whatever somebody copied from this terminal or its sheet before opens
// nothing afterwards.
func (c *Client) Revoke(ctx context.Context, r RevokeRequest) (*Changed, error) {
	if c.agent != nil {
		return c.agent.revoke(ctx, r)
	}
	req, err := c.parseRevoke(r)
	if err != nil {
		return nil, err
	}
	defer wipeSheet(req.Sheet)
	return c.module.Revoke(ctx, req, mstcc.OpenOptions{Factors: r.Factors}, c.prompt)
}

// RecoverRequest brings a user to this terminal.
type RecoverRequest struct {
	Sheet *Sheet // of ParseSheet, or of ParseWords and ParseDetails; lent
	// Choose, if set, hears the policy's ways to open and returns the labels the
	// person will give; nil = Then.Factors, or the policy's first set.
	Choose func(policy string, ways [][]string) []string
	Then   RevokeRequest // a recovery always ends in a revoke
}

// Recover takes over a user on this provisioned, fresh terminal with their
// recovery sheet and factors; every factor is then enrolled anew. The old
// terminal opens nothing afterwards. Run it again after a crash.
func (c *Client) Recover(ctx context.Context, r RecoverRequest) (*Initialized, error) {
	if c.agent != nil {
		return c.agent.recover(ctx, r)
	}
	req := mstcc.RecoverRequest{Sheet: r.Sheet}
	var err error
	if req.Then, err = c.parseRevoke(r.Then); err != nil {
		return nil, err
	}
	defer wipeSheet(req.Then.Sheet)
	if r.Choose != nil {
		req.Policy = func(t *policy.Tree) []string { return r.Choose(t.String(), t.MinimalSets()) }
	}
	res, err := c.undelivered()
	if err == nil && res == nil {
		res, err = c.module.Recover(ctx, req, mstcc.OpenOptions{Factors: slices.Clone(r.Then.Factors)}, c.prompt)
	}
	if err != nil {
		return nil, err
	}
	return c.deliver(res)
}

// ParseSheet reads a sheet's payload, as a QR code holds it. The caller wipes
// the sheet.
func ParseSheet(payload []byte) (*Sheet, error) { return mf.ParseSheet(payload) }

// ParseSheetWords reads a sheet from its words and its details. The caller
// wipes the sheet.
func ParseSheetWords(words, details []byte) (*Sheet, error) {
	code, err := mf.ParseWords(words)
	if err != nil {
		return nil, err
	}
	s, err := mf.ParseDetails(details, code)
	if err != nil {
		code.Wipe()
	}
	return s, err
}
