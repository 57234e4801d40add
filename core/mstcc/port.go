package mstcc

import (
	"context"

	"github.com/keposs/keposs/core/protocol"
)

// Escrow is MST-CC's port to SS-CC: one authenticated session of this device.
// escrow/api implements it over the inner channel. Errors are *core.Error:
// Unavailable means certainly not applied, Indeterminate may be applied and is
// repeated with the same ids. Safe for concurrent use.
type Escrow interface {
	Policy(ctx context.Context, r protocol.PolicyRequest) (protocol.PolicyAnswer, error)
	Fetch(ctx context.Context, r protocol.FetchRequest) (protocol.FetchAnswer, error)
	Evaluate(ctx context.Context, r protocol.EvaluateRequest) (protocol.EvaluateAnswer, error)
	Confirm(ctx context.Context, r protocol.ConfirmRequest) (protocol.ConfirmAnswer, error)
	Prepare(ctx context.Context, r protocol.PrepareRequest) (protocol.PrepareAnswer, error)
	Commit(ctx context.Context, r protocol.CommitRequest) (protocol.CommitAnswer, error)
	Status(ctx context.Context, r protocol.StatusRequest) (protocol.StatusAnswer, error)
	Unbind(ctx context.Context, r protocol.RemoveRequest) error
	Deregister(ctx context.Context, r protocol.RemoveRequest) error
	Challenge(ctx context.Context, r protocol.ChallengeRequest) (protocol.ChallengeAnswer, error)
	RecoverPolicy(ctx context.Context, r protocol.RecoverPolicyRequest) (protocol.PolicyAnswer, error)
	Rebind(ctx context.Context, r protocol.RebindRequest) error
	// Attest hands over a platform's proof made over a Challenge without a user.
	Attest(ctx context.Context, r protocol.AttestRequest) error
	// Standing says why this device was refused; the word of SS-CC itself.
	Standing(ctx context.Context, r protocol.StandingRequest) (protocol.StandingAnswer, error)
	Close() error
}
