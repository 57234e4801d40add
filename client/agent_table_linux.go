package client

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/secret"
)

// A verb is one service of the client API as an agent serves it. recorded verbs
// stand in the audit log always, the others when they fail.
type verb struct {
	recorded bool
	serve    func(ctx context.Context, a *agent, s *serving, args json.RawMessage, data []*secret.Buffer) (any, []*secret.Buffer, error)
}

// A request is a call with its arguments read; data is lent.
type request[A any] struct {
	*agent
	s    *serving
	args A
	data []*secret.Buffer
	back []*secret.Buffer // Data frames of the result; owned by whoever sends it
}

// served makes a verb that takes n Data frames, or any number for n < 0.
func served[A any](recorded bool, n int, do func(ctx context.Context, r *request[A]) (any, error)) verb {
	return verb{recorded, func(ctx context.Context, a *agent, s *serving, args json.RawMessage, data []*secret.Buffer) (any, []*secret.Buffer, error) {
		r := &request[A]{agent: a, s: s, data: data}
		if len(args) > 0 {
			if err := fromJSON(args, &r.args); err != nil {
				return nil, nil, err
			}
		}
		if n >= 0 && len(data) != n {
			return nil, nil, core.Errorf(core.Invalid, "client: agent", "%d frames of data, want %d", len(data), n)
		}
		v, err := do(ctx, r)
		return v, r.back, err
	}}
}

type noArgs struct{}

// agentVerbs is the whole interface of an agent.
var agentVerbs = map[string]verb{
	"state": served(false, 0, func(_ context.Context, r *request[noArgs]) (any, error) { return r.c.State(), nil }),
	"binding": served(false, 0, func(_ context.Context, r *request[noArgs]) (any, error) {
		b, ok := r.c.Binding()
		return agentBinding{b, ok}, nil
	}),
	"agent": served(false, 0, func(_ context.Context, r *request[noArgs]) (any, error) { return r.view(), nil }),
	"user":  served(false, 0, func(_ context.Context, r *request[noArgs]) (any, error) { return r.c.User() }),
	"selftest": served(true, 0, func(ctx context.Context, r *request[noArgs]) (any, error) {
		list, err := r.c.SelfTest(ctx)
		if err != nil {
			r.s.note = err.Error() // names the test
		}
		return list, err
	}),
	"reload": served(true, 0, func(ctx context.Context, r *request[noArgs]) (any, error) {
		changed, err := r.c.ReloadPlugins(ctx)
		r.s.note = strings.Join(changed, ", ")
		return changed, err
	}),
	"status": served(false, 0, func(ctx context.Context, r *request[agentOnline]) (any, error) {
		st, err := r.c.Status(ctx, r.args.Online)
		out := agentStatus{st, failureOf(st.ServerErr)}
		out.Status.ServerErr = nil
		return out, err
	}),
	"initialize": served(true, 0, func(ctx context.Context, r *request[agentInit]) (any, error) {
		if err := r.under(ctx, r.args.Profile); err != nil {
			return nil, err
		}
		return value(r.c.Initialize(ctx, r.args.Request))
	}),
	"sign":    served(true, -1, signVerb),
	"verify":  served(true, 1, verifyVerb),
	"encrypt": served(true, 1, encryptVerb),
	"decrypt": served(true, 1, func(ctx context.Context, r *request[agentFactors]) (any, error) {
		plain, out, err := r.c.Decrypt(ctx, r.data[0].Bytes(), r.args.Factors...)
		if err != nil {
			return nil, err
		}
		r.back = []*secret.Buffer{plain}
		return out, nil
	}),
	"policy": served(false, 0, func(ctx context.Context, r *request[noArgs]) (any, error) {
		p, err := r.c.Policy(ctx)
		if err != nil {
			return nil, err
		}
		r.back = []*secret.Buffer{secret.Own(mf.EncodePolicy(p))}
		return noArgs{}, nil
	}),
	"plan-change": served(false, 0, func(ctx context.Context, r *request[ChangeRequest]) (any, error) { return r.c.PlanChange(ctx, r.args) }),
	"change": served(true, 0, func(ctx context.Context, r *request[ChangeRequest]) (any, error) {
		return value(r.c.Change(ctx, r.args))
	}),
	"create-recovery": served(true, 0, func(ctx context.Context, r *request[agentFactors]) (any, error) {
		return value(r.c.CreateRecovery(ctx, r.s.show, r.args.Factors...))
	}),
	"revoke": served(true, 0, func(ctx context.Context, r *request[agentRevoke]) (any, error) {
		return value(r.c.Revoke(ctx, r.args.with(r.s)))
	}),
	"recover": served(true, 1, recoverVerb),
	"unbind": served(true, 0, func(ctx context.Context, r *request[agentFactors]) (any, error) {
		return noArgs{}, r.c.Unbind(ctx, r.args.Factors...)
	}),
	"deregister": served(true, 0, func(ctx context.Context, r *request[agentFactors]) (any, error) {
		return noArgs{}, r.c.Deregister(ctx, r.args.Factors...)
	}),
}

// value keeps a nil pointer from becoming a value.
func value[T any](v *T, err error) (any, error) {
	if v == nil {
		return nil, err
	}
	return v, err
}

// with is the request with the app's sheet, if it shows one.
func (q agentRevoke) with(s *serving) RevokeRequest {
	r := q.Request
	if q.Sheet {
		r.Sheet = s.show
	}
	return r
}

func signVerb(ctx context.Context, r *request[agentSign]) (any, error) {
	messages := make([][]byte, len(r.data))
	for i, d := range r.data {
		messages[i] = d.Bytes()
	}
	sigs, err := r.c.SignBatch(ctx, messages, SignRequest{ID: r.args.ID, Factors: r.args.Factors})
	if err != nil {
		return nil, err
	}
	out := agentSigned{}
	for _, s := range sigs {
		out.Raw, out.Outcome = append(out.Raw, s.Raw()), s.Outcome
	}
	return out, nil
}

func verifyVerb(ctx context.Context, r *request[agentVerify]) (any, error) {
	key, err := keyOf(r.args.Key)
	if err != nil {
		return nil, err
	}
	ok, out, err := r.c.Verify(ctx, VerifyRequest{Key: key, Message: r.data[0].Bytes(), ID: r.args.ID, Signature: r.args.Signature, Factors: r.args.Factors})
	return agentVerified{ok, out}, err
}

func encryptVerb(ctx context.Context, r *request[agentEncrypt]) (any, error) {
	key, err := keyOf(r.args.Key)
	if err != nil {
		return nil, err
	}
	ct, out, err := r.c.Encrypt(ctx, r.data[0].Bytes(), key, r.args.Form)
	if err != nil {
		return nil, err
	}
	r.back = []*secret.Buffer{secret.Own(ct)}
	return out, nil
}

func recoverVerb(ctx context.Context, r *request[agentRecover]) (any, error) {
	if err := r.under(ctx, r.args.Profile); err != nil {
		return nil, err
	}
	sheet, err := ParseSheet(r.data[0].Bytes())
	if err != nil {
		return nil, err
	}
	defer sheet.Wipe()
	// What choosing fails with ends the service at the prompt that follows: the
	// app is gone then.
	q := RecoverRequest{Sheet: sheet, Then: r.args.Then.with(r.s)}
	if r.args.Choose {
		q.Choose = func(policy string, ways [][]string) []string {
			labels, _ := r.s.choose(ctx, policy, ways)
			return labels
		}
	}
	return value(r.c.Recover(ctx, q))
}
