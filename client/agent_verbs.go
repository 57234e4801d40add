package client

import (
	"context"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/secret"
)

// The services of a Client whose module runs in an agent.

func (r *remote) state() State {
	s, err := ask[State](context.Background(), r, "state", nil)
	if err != nil {
		return mstcc.Off // the agent has ended, and its module with it
	}
	return s
}

func (r *remote) binding() (Binding, bool) {
	b, err := ask[agentBinding](context.Background(), r, "binding", nil)
	return b.Binding, err == nil && b.OK
}

func (r *remote) initialize(ctx context.Context, q InitRequest) (*Initialized, error) {
	return ask[*Initialized](ctx, r, "initialize", agentInit{q, r.profile})
}

func (r *remote) signBatch(ctx context.Context, messages [][]byte, q SignRequest) ([]Signature, error) {
	got, err := askWith[agentSigned](ctx, r, "sign", agentSign{q.ID, q.Factors}, &exchange{data: messages})
	if err == nil && len(got.Raw) != len(messages) {
		err = core.Errorf(core.Internal, "client: agent", "%d signatures for %d messages", len(got.Raw), len(messages))
	}
	if err != nil {
		return nil, err
	}
	out := make([]Signature, len(got.Raw))
	for i, raw := range got.Raw {
		if len(raw) != len(out[i].raw) {
			return nil, core.Errorf(core.Internal, "client: agent", "a signature of %d bytes", len(raw))
		}
		copy(out[i].raw[:], raw)
		out[i].Outcome = got.Outcome
	}
	return out, nil
}

func (r *remote) verify(ctx context.Context, q VerifyRequest) (bool, Outcome, error) {
	v, err := askWith[agentVerified](ctx, r, "verify", agentVerify{pemOf(q.Key), q.ID, q.Signature, q.Factors}, &exchange{data: [][]byte{q.Message}})
	return v.OK, v.Outcome, err
}

func (r *remote) encrypt(ctx context.Context, message []byte, key PublicKey, form Form) ([]byte, Outcome, error) {
	x := &exchange{data: [][]byte{message}}
	out, err := askWith[Outcome](ctx, r, "encrypt", agentEncrypt{pemOf(key), form}, x)
	b, err := x.one(err)
	if err != nil {
		return nil, Outcome{}, err
	}
	return b.Bytes(), out, nil // a ciphertext: nothing to wipe
}

func (r *remote) decrypt(ctx context.Context, ciphertext []byte, factors []string) (*Secret, Outcome, error) {
	x := &exchange{data: [][]byte{ciphertext}}
	out, err := askWith[Outcome](ctx, r, "decrypt", agentFactors{factors}, x)
	b, err := x.one(err)
	return b, out, err
}

// one is the single Data frame of a result that did not fail.
func (x *exchange) one(err error) (*secret.Buffer, error) {
	if err == nil && len(x.back) != 1 {
		err = core.Errorf(core.Internal, "client: agent", "%d frames of data, want 1", len(x.back))
	}
	if err != nil {
		secret.WipeAll(x.back...)
		return nil, err
	}
	return x.back[0], nil
}

func (r *remote) status(ctx context.Context, online bool) (mstcc.Status, error) {
	s, err := ask[agentStatus](ctx, r, "status", agentOnline{online})
	s.Status.ServerErr = s.ServerError.err()
	return s.Status, err
}

func (r *remote) policy(ctx context.Context) (*mf.Policy, error) {
	x := &exchange{}
	_, err := askWith[struct{}](ctx, r, "policy", nil, x)
	b, err := x.one(err)
	if err != nil {
		return nil, err
	}
	return mf.ParsePolicy(b.Bytes())
}

func (r *remote) revoke(ctx context.Context, q RevokeRequest) (*Changed, error) {
	return askWith[*Changed](ctx, r, "revoke", agentRevoke{q, q.Sheet != nil}, &exchange{show: q.Sheet})
}

func (r *remote) createRecovery(ctx context.Context, show ShowSheet, factors []string) (*Changed, error) {
	return askWith[*Changed](ctx, r, "create-recovery", agentFactors{factors}, &exchange{show: show})
}

func (r *remote) recover(ctx context.Context, q RecoverRequest) (*Initialized, error) {
	if q.Sheet == nil || q.Sheet.Code == nil {
		return nil, core.Errorf(core.Usage, "client: recover", "want the recovery sheet")
	}
	payload := q.Sheet.Payload()
	defer payload.Wipe()
	args := agentRecover{Then: agentRevoke{q.Then, q.Then.Sheet != nil}, Choose: q.Choose != nil, Profile: r.profile}
	return askWith[*Initialized](ctx, r, "recover", args, &exchange{show: q.Then.Sheet, choose: q.Choose, data: [][]byte{payload.Bytes()}})
}

// selfTest returns the outcomes of a self-test that failed beside its error.
func (r *remote) selfTest(ctx context.Context) ([]mstcc.TestResult, error) {
	list, err := ask[[]mstcc.TestResult](ctx, r, "selftest", nil)
	return list, err
}
