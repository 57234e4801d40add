package mstcc

import (
	"context"
	"errors"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

// proving is a session that answers SS-CC's demand for an attestation (P-14): a
// call it refuses for want of one is made once more after the app's platform
// has given the proof. SS-CC demands before it reads or counts anything.
type proving struct {
	Escrow
	m      *Module
	device sm.PublicKey // the key the session was opened with
}

// attest asks the app for a proof over a fresh challenge and hands it over.
// req: P-14
func (p proving) attest(ctx context.Context) error {
	ch, err := p.Escrow.Challenge(ctx, protocol.ChallengeRequest{})
	if err != nil {
		return err
	}
	b := p.m.cfg.Binding
	nonce := sm.SM3(protocol.AttestInput(b.Realm, b.App, b.Device, p.device.Compressed(), ch.Challenge))
	platform, token, err := p.m.cfg.Attest(ctx, nonce)
	if err != nil {
		return core.Errorf(core.Environment, "mstcc: attestation", "the platform gave no proof: %w", err)
	}
	if len(token) > protocol.MaxAttestation || len(platform) > protocol.MaxPlatform {
		return core.Errorf(core.TooLarge, "mstcc: attestation", "a proof of %d bytes, at most %d", len(token), protocol.MaxAttestation)
	}
	return again(ctx, func() error {
		return p.Escrow.Attest(ctx, protocol.AttestRequest{Platform: platform, Token: token, Challenge: ch.Challenge})
	})
}

func proven[R, A any](ctx context.Context, p proving, r R, call func(context.Context, R) (A, error)) (A, error) {
	a, err := call(ctx, r)
	if p.m.cfg.Attest == nil || !errors.Is(err, core.Environment) {
		return a, err
	}
	if err := p.attest(ctx); err != nil {
		return a, core.Errorf(core.Environment, "mstcc: attestation", "SS-CC wants this terminal vouched for and does not take what its platform gave: %w", err)
	}
	return call(ctx, r)
}

func (p proving) Policy(ctx context.Context, r protocol.PolicyRequest) (protocol.PolicyAnswer, error) {
	return proven(ctx, p, r, p.Escrow.Policy)
}

func (p proving) Fetch(ctx context.Context, r protocol.FetchRequest) (protocol.FetchAnswer, error) {
	return proven(ctx, p, r, p.Escrow.Fetch)
}

func (p proving) Evaluate(ctx context.Context, r protocol.EvaluateRequest) (protocol.EvaluateAnswer, error) {
	return proven(ctx, p, r, p.Escrow.Evaluate)
}

func (p proving) Confirm(ctx context.Context, r protocol.ConfirmRequest) (protocol.ConfirmAnswer, error) {
	return proven(ctx, p, r, p.Escrow.Confirm)
}

func (p proving) Prepare(ctx context.Context, r protocol.PrepareRequest) (protocol.PrepareAnswer, error) {
	return proven(ctx, p, r, p.Escrow.Prepare)
}

func (p proving) Commit(ctx context.Context, r protocol.CommitRequest) (protocol.CommitAnswer, error) {
	return proven(ctx, p, r, p.Escrow.Commit)
}

func (p proving) Status(ctx context.Context, r protocol.StatusRequest) (protocol.StatusAnswer, error) {
	return proven(ctx, p, r, p.Escrow.Status)
}

func (p proving) Unbind(ctx context.Context, r protocol.RemoveRequest) error {
	return p.remove(ctx, r, p.Escrow.Unbind)
}

func (p proving) Deregister(ctx context.Context, r protocol.RemoveRequest) error {
	return p.remove(ctx, r, p.Escrow.Deregister)
}

func (p proving) remove(ctx context.Context, r protocol.RemoveRequest, call func(context.Context, protocol.RemoveRequest) error) error {
	_, err := proven(ctx, p, r, func(ctx context.Context, r protocol.RemoveRequest) (struct{}, error) { return struct{}{}, call(ctx, r) })
	return err
}

// Challenge with a user begins a rebind, so the calls after it find the proof
// made.
func (p proving) Challenge(ctx context.Context, r protocol.ChallengeRequest) (protocol.ChallengeAnswer, error) {
	return proven(ctx, p, r, p.Escrow.Challenge)
}
