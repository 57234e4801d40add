package api

import (
	"context"

	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/escrow/api/internal/codec"
)

// Policy reads the public policy, uncounted.
func (c *Conn) Policy(ctx context.Context, r protocol.PolicyRequest) (protocol.PolicyAnswer, error) {
	return ask[protocol.PolicyAnswer](ctx, c, codec.Policy, &r)
}

// Fetch is the counted try of plain mode.
func (c *Conn) Fetch(ctx context.Context, r protocol.FetchRequest) (protocol.FetchAnswer, error) {
	return ask[protocol.FetchAnswer](ctx, c, codec.Fetch, &r)
}

// Evaluate is the counted try of hardened mode.
func (c *Conn) Evaluate(ctx context.Context, r protocol.EvaluateRequest) (protocol.EvaluateAnswer, error) {
	return ask[protocol.EvaluateAnswer](ctx, c, codec.Evaluate, &r)
}

// Confirm has this terminal's held tries forgiven.
func (c *Conn) Confirm(ctx context.Context, r protocol.ConfirmRequest) (protocol.ConfirmAnswer, error) {
	return ask[protocol.ConfirmAnswer](ctx, c, codec.Confirm, &r)
}

// Prepare stages a record; nothing of it is served before Commit.
func (c *Conn) Prepare(ctx context.Context, r protocol.PrepareRequest) (protocol.PrepareAnswer, error) {
	return ask[protocol.PrepareAnswer](ctx, c, codec.Prepare, &r)
}

// Commit makes the staged record the served one.
func (c *Conn) Commit(ctx context.Context, r protocol.CommitRequest) (protocol.CommitAnswer, error) {
	return ask[protocol.CommitAnswer](ctx, c, codec.Commit, &r)
}

// Status reads counter and recent reads.
func (c *Conn) Status(ctx context.Context, r protocol.StatusRequest) (protocol.StatusAnswer, error) {
	return ask[protocol.StatusAnswer](ctx, c, codec.Status, &r)
}

// Unbind drops the keys of this device.
func (c *Conn) Unbind(ctx context.Context, r protocol.RemoveRequest) error {
	_, err := ask[codec.Nothing](ctx, c, codec.Unbind, &r)
	return err
}

// Deregister drops the user.
func (c *Conn) Deregister(ctx context.Context, r protocol.RemoveRequest) error {
	_, err := ask[codec.Nothing](ctx, c, codec.Deregister, &r)
	return err
}

// Challenge asks for a challenge that Rebind answers.
func (c *Conn) Challenge(ctx context.Context, r protocol.ChallengeRequest) (protocol.ChallengeAnswer, error) {
	return ask[protocol.ChallengeAnswer](ctx, c, codec.Challenge, &r)
}

// Standing asks how this device stands with SS-CC after a refusal.
func (c *Conn) Standing(ctx context.Context, r protocol.StandingRequest) (protocol.StandingAnswer, error) {
	return ask[protocol.StandingAnswer](ctx, c, codec.Standing, &r)
}

// Attest hands over a platform's proof that this terminal is genuine.
func (c *Conn) Attest(ctx context.Context, r protocol.AttestRequest) error {
	_, err := ask[codec.Nothing](ctx, c, codec.Attest, &r)
	return err
}

// RecoverPolicy reads the policy with a recovery holder's signature.
func (c *Conn) RecoverPolicy(ctx context.Context, r protocol.RecoverPolicyRequest) (protocol.PolicyAnswer, error) {
	return ask[protocol.PolicyAnswer](ctx, c, codec.RecoverPolicy, &r)
}

// Rebind lets this device make counted tries.
func (c *Conn) Rebind(ctx context.Context, r protocol.RebindRequest) error {
	_, err := ask[codec.Nothing](ctx, c, codec.Rebind, &r)
	return err
}
