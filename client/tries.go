package client

import (
	"context"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/protocol"
)

// ClearTries makes SS-CC forget the tries this terminal did not make: it opens
// the policy (a counted try of its own) and replaces it by one with a new OPRF
// key, the only act of a user that starts a new count. It returns what was
// dropped; nothing is asked when there is nothing to drop.
//
// A policy of one set has a root that comes from exactly its factors, so that
// no new OPRF key fits: then this is a Revoke, every factor is captured again
// and the device key replaced, which also shuts out whoever holds the old one.
// Errors: Policy in plain mode, where only the administrator clears, and when
// that revoke would cost a recovery code; Locked when the count is used up.
func (c *Client) ClearTries(ctx context.Context, factors ...string) ([]protocol.HeldTry, error) {
	const op = "client: clear tries"
	if _, err := c.User(); err != nil {
		return nil, err
	}
	st, err := c.Status(ctx, true)
	if err != nil {
		return nil, err
	}
	if st.ServerErr != nil {
		return nil, st.ServerErr
	}
	if st.Profile.Mode == ModePlain {
		return nil, core.Errorf(core.Policy, op, "in plain mode only the administrator clears tries: `keposs admin user unlock %s`", st.User)
	}
	if len(st.Foreign) == 0 {
		return nil, nil
	}
	plan, err := c.PlanChange(ctx, ChangeRequest{Factors: factors})
	if err != nil {
		return nil, err
	}
	if !plan.Revoke {
		_, err = c.Change(ctx, ChangeRequest{Factors: factors})
		return st.Foreign, err
	}
	p, err := c.Policy(ctx)
	if err != nil {
		return nil, err
	}
	if p.Holder(mf.RecoveryHolder) != nil {
		return nil, core.Errorf(core.Policy, op, "%s; it makes a new recovery sheet as well: run `keposs revoke`", plan.Why)
	}
	_, err = c.Revoke(ctx, RevokeRequest{Factors: factors})
	return st.Foreign, err
}
