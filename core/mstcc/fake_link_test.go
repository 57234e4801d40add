package mstcc_test

import (
	"bytes"
	"context"

	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

// rebindable verifies a recovery code's signature for the calling device.
func (s *server) rebindable(key protocol.Point, r protocol.RebindRequest, gen uint64) error {
	if s.rec == nil || r.User != s.user || r.Gen != gen || r.Challenge != challengeOf(key) {
		return refused
	}
	p, err := mf.ParsePolicy(s.rec.policy)
	if err != nil {
		return err
	}
	h := p.Holder(r.Holder)
	if h == nil || h.Kind != mf.HolderRecovery {
		return refused
	}
	pub, err := sm.ParsePoint(h.P[:])
	msg := protocol.RebindMessage(s.realm, s.app, r.User, r.Gen, r.Holder, key, r.Challenge)
	if err != nil || !sm.Verify(pub, msg, []byte(protocol.RebindID), r.Sig) {
		return refused
	}
	return nil
}

func challengeOf(key protocol.Point) protocol.Hash { return sm.SM3(key[:]) }

// link is one device's session. Every call is refused to a device that is not
// enrolled, and all but recovery to one the user is not bound to.
type link struct {
	s   *server
	key protocol.Point
}

func (l link) admit(bound bool) error {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if l.s.revoked || !l.s.devices[l.key] || bound && l.s.rec != nil && l.s.bound != l.key {
		return refused
	}
	return nil
}

func called[R, A any](ctx context.Context, l link, r R, call func(context.Context, R) (A, error)) (a A, err error) {
	if err := l.admit(true); err != nil {
		return a, err
	}
	return call(ctx, r)
}

func (l link) Policy(ctx context.Context, r protocol.PolicyRequest) (protocol.PolicyAnswer, error) {
	return called(ctx, l, r, l.s.Policy)
}
func (l link) Fetch(ctx context.Context, r protocol.FetchRequest) (protocol.FetchAnswer, error) {
	return called(ctx, l, r, l.s.Fetch)
}
func (l link) Evaluate(ctx context.Context, r protocol.EvaluateRequest) (protocol.EvaluateAnswer, error) {
	return called(ctx, l, r, l.s.Evaluate)
}
func (l link) Confirm(ctx context.Context, r protocol.ConfirmRequest) (protocol.ConfirmAnswer, error) {
	return called(ctx, l, r, l.s.Confirm)
}
func (l link) Prepare(ctx context.Context, r protocol.PrepareRequest) (protocol.PrepareAnswer, error) {
	return called(ctx, l, r, l.s.Prepare)
}
func (l link) Commit(ctx context.Context, r protocol.CommitRequest) (protocol.CommitAnswer, error) {
	return called(ctx, l, r, l.s.Commit)
}
func (l link) Status(ctx context.Context, r protocol.StatusRequest) (protocol.StatusAnswer, error) {
	return called(ctx, l, r, l.s.Status)
}
func (l link) Unbind(ctx context.Context, r protocol.RemoveRequest) error {
	if err := l.admit(true); err != nil {
		return err
	}
	return l.s.Unbind(ctx, r)
}
func (l link) Deregister(ctx context.Context, r protocol.RemoveRequest) error {
	if err := l.admit(true); err != nil {
		return err
	}
	return l.s.Deregister(ctx, r)
}
func (l link) Challenge(context.Context, protocol.ChallengeRequest) (protocol.ChallengeAnswer, error) {
	return protocol.ChallengeAnswer{Challenge: challengeOf(l.key)}, l.admit(false)
}
func (l link) RecoverPolicy(_ context.Context, r protocol.RebindRequest) (protocol.PolicyAnswer, error) {
	if err := l.admit(false); err != nil {
		return protocol.PolicyAnswer{}, err
	}
	if err := l.s.enter("recover-policy"); err != nil {
		l.s.mu.Unlock()
		return protocol.PolicyAnswer{}, err
	}
	defer l.s.mu.Unlock()
	if err := l.s.rebindable(l.key, r, 0); err != nil {
		return protocol.PolicyAnswer{}, err
	}
	a := protocol.PolicyAnswer{Policy: bytes.Clone(l.s.rec.policy), Gen: l.s.rec.gen, Pubs: l.s.rec.pubs, Tries: l.s.view(protocol.Seen{})}
	if l.s.tamper != nil {
		l.s.tamper(&a)
	}
	return a, nil
}
func (l link) Rebind(_ context.Context, r protocol.RebindRequest) error {
	if err := l.admit(false); err != nil {
		return err
	}
	if err := l.s.enter("rebind"); err != nil {
		l.s.mu.Unlock()
		return err
	}
	defer l.s.mu.Unlock()
	if err := l.s.rebindable(l.key, r, l.s.rec.gen); err != nil {
		return err
	}
	l.s.bound, l.s.rebound = l.key, true
	return pop(l.s.after, "rebind")
}
func (l link) Attest(context.Context, protocol.AttestRequest) error { return refused }
func (l link) Standing(_ context.Context, r protocol.StandingRequest) (a protocol.StandingAnswer, err error) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if !l.s.devices[l.key] {
		return a, refused
	}
	a.Revoked = l.s.revoked
	if r.User == l.s.user && l.s.bound == l.key && !r.User.IsZero() {
		a.User = l.s.ordered
	}
	return a, nil
}
func (l link) Close() error { return nil }

// drop is the administrator's order to end the user.
func (s *server) drop(as protocol.Kept) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rec, s.ordered = nil, as
}

// revoke is the administrator's order to end the app.
func (s *server) revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked = true
}

// unlock is the administrator's order.
func (s *server) unlock() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries.Held, s.tries.Locked = nil, false
	s.tries.UnlockSeq++
}

// asked counts the calls of a name.
func (s *server) asked(name string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		if c == name {
			n++
		}
	}
	return n
}
