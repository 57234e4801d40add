package client

import (
	"context"
	"errors"
	"time"

	"github.com/keposs/keposs/client/internal/link"
	"github.com/keposs/keposs/core"
)

// What an agent asks the app it serves about the app's platform. Its answers are
// data: bounded, checked, and worth what the app's word is worth in process. An
// app that offered an answer and owes it, or answers with something else, has its
// service ended, and nobody else's.

// host asks the app for its verdicts on all probes of one look at once; nil when
// no app is served or it has none.
func (a *agent) host(ctx context.Context, ids []string) ProbeHost {
	s := a.current.Load()
	if s == nil || !s.host {
		return nil
	}
	said, err := s.verdicts(ctx, ids, a.o)
	if err != nil {
		s.fail(err)
		return nil
	}
	return func(_ context.Context, id string) (v ProbeVerdict, ok bool) {
		v, ok = said[id]
		return v, ok
	}
}

// verdicts are those the app gave, by ID.
func (s *serving) verdicts(ctx context.Context, ids []string, o AgentOptions) (map[string]ProbeVerdict, error) {
	q, err := link.EncodeProbes(ids)
	if err != nil {
		return nil, err
	}
	h, err := s.answer(ctx, link.Probe, q, o.platform())
	var list []ProbeVerdict
	if err == nil {
		defer h.body.Wipe()
		if list, err = link.DecodeVerdicts(h.body.Bytes(), len(ids)); h.kind != link.Verdicts {
			err = h.unfit(link.Verdicts)
		}
	}
	if err != nil {
		return nil, owing("platform's verdicts", err)
	}
	said := map[string]ProbeVerdict{}
	for i, v := range list {
		if v != "" {
			said[ids[i]] = v
		}
	}
	return said, nil
}

// attest has the app's platform vouch for this terminal over nonce.
func (a *agent) attest(ctx context.Context, nonce [32]byte) (platform string, proof []byte, err error) {
	const op = "client: agent"
	s := a.current.Load()
	if s == nil || !s.attest {
		return "", nil, core.Errorf(core.Environment, op, "the app has no attestation to give: set client.Options.Attest")
	}
	h, err := s.answer(ctx, link.Attest, nonce[:], a.o.platform())
	if err == nil {
		defer h.body.Wipe()
		switch h.kind {
		case link.Proof:
			platform, proof, err = link.DecodeProof(h.body.Bytes())
		case link.Refuse:
			// The app's own words, and no code that this module acts on.
			return "", nil, core.Errorf(core.Environment, op, "%s", h.refusal().Error())
		default:
			err = h.unfit(link.Proof)
		}
	}
	if err != nil {
		err = owing("attestation", err)
		s.fail(err)
		return "", nil, err
	}
	return platform, proof, nil
}

// owing says what a service ended for.
func owing(what string, err error) error {
	return core.Errorf(core.CodeOf(err), "client: agent", "the app owes its %s: %w", what, err)
}

// owed is what the app did not give in the service of ctx; nil when it is quits.
func (s *serving) owed(ctx context.Context) error {
	var e *core.Error
	if errors.As(context.Cause(ctx), &e) {
		return e
	}
	return nil
}

// platform is how long the app's platform may take for an answer.
func (o AgentOptions) platform() time.Duration {
	if o.patience > 0 {
		return o.patience
	}
	return agentPlatform
}
