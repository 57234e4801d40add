package mstcc

import (
	"context"
	"errors"
	"io"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
)

// deriveHardened stretches first, because the blinded element depends on every
// factor, and makes the counted Evaluate the one blocking round trip. After a
// wrong answer the same attempt is repeated with a proof, uncounted: a bad
// proof means the server answered with another key, and the count is given back.
func (m *Module) deriveHardened(ctx context.Context, a *attempt) error {
	const op = "mstcc: evaluate"
	if m.cfg.OPRF == nil {
		return core.Errorf(core.Unsupported, op, "this build has no OPRF")
	}
	if err := m.stretch(ctx, a); err != nil {
		return err
	}
	in := a.opener.OPRFInput()
	defer in.Wipe()
	blinding, ans, err := m.countedEvaluate(ctx, a, in)
	if err != nil {
		return err
	}
	defer blinding.Wipe()
	m.entryStep(4, "sealed keys received from SS-CC")
	a.sealed, a.after = ans.Sealed, ans.Tries
	k := *a.checked.Policy.Escrow.Realms[0].K
	err = m.finalize(a, blinding, ans.Evaluated, k, nil)
	switch {
	case errors.Is(err, core.Refused): // no element at all: nobody needs a proof
		return m.lied(ctx, err)
	case !errors.Is(err, core.Auth):
		return err
	}
	proved, perr := m.evaluate(ctx, protocol.EvaluateRequest{User: a.user, Gen: a.checked.Policy.Epoch, Attempt: a.id,
		Blinded: a.blinded, WantProof: true, Seen: m.tries.seen})
	if perr != nil {
		return err // the answer stays Auth; whether the server lied is not known
	}
	// An absent proof is a failed one: Finalize would take it as none asked for.
	if len(proved.Proof) == 0 || proved.Evaluated != ans.Evaluated {
		return m.lied(ctx, core.Errorf(core.Refused, op, "SS-CC does not prove the key it answered with; the try is given back"))
	}
	u, perr := blinding.Finalize(proved.Evaluated, k, proved.Proof)
	if perr != nil {
		return m.lied(ctx, core.Errorf(core.Refused, op, "SS-CC's proof fails: it answered with another key; the try is given back"))
	}
	secret.Zero(u)
	return err
}

// lied raises the alarm and gives the terminal's count back for a try SS-CC
// answered wrongly. The entry stays ours, to be confirmed at SS-CC.
func (m *Module) lied(ctx context.Context, err error) error {
	m.emit(Progress{Flow: "alarm", Text: "SS-CC evaluated with a key that is not this user's"})
	m.tries.used--
	return errors.Join(err, m.saveTries(ctx))
}

// countedEvaluate blinds in (lent), counts the try of a and makes it. The
// caller wipes the blinding.
func (m *Module) countedEvaluate(ctx context.Context, a *attempt, in *secret.Buffer) (_ Blinding, ans protocol.EvaluateAnswer, err error) {
	var blinding Blinding
	if a.blinded, blinding, err = m.cfg.OPRF.Blind(m.cfg.Rand, in.Bytes()); err != nil {
		return nil, ans, err
	}
	done := false
	defer unless(&done, blinding.Wipe)
	if err = m.countTry(ctx, a, a.blinded[:]); err != nil {
		return nil, ans, err
	}
	ans, err = m.evaluate(ctx, protocol.EvaluateRequest{User: a.user, Gen: a.checked.Policy.Epoch, Attempt: a.id,
		Blinded: a.blinded, Seen: m.tries.seen})
	if err != nil {
		return nil, ans, m.untry(ctx, a, err)
	}
	if err = m.takeTries(ans.Tries); err != nil {
		return nil, ans, err
	}
	done = true
	return blinding, ans, nil
}

func (m *Module) evaluate(ctx context.Context, req protocol.EvaluateRequest) (ans protocol.EvaluateAnswer, err error) {
	err = again(ctx, func() (err error) {
		ans, err = m.conn.Evaluate(ctx, req)
		return err
	})
	return ans, err
}

func (m *Module) finalize(a *attempt, b Blinding, evaluated, k protocol.Point, proof []byte) error {
	u, err := b.Finalize(evaluated, k, proof)
	if err != nil {
		return core.Errorf(core.Refused, "mstcc: evaluate", "%w", err)
	}
	defer secret.Zero(u)
	a.opened, err = a.opener.Finish(u)
	return err
}

// proveTry is the counted try that tells, in hardened mode, whether what was
// entered again is right. Ours like any other, it is confirmed before the
// Commit. The 32 bytes are the caller's.
func (m *Module) proveTry(ctx context.Context, a *attempt, in *secret.Buffer) ([]byte, error) {
	b := &attempt{user: a.user, checked: a.checked}
	if _, err := io.ReadFull(m.cfg.Rand, b.id[:]); err != nil {
		return nil, core.Errorf(core.Internal, "mstcc", "%w", err)
	}
	if err := m.confirmNow(ctx, a); err != nil {
		return nil, err
	}
	blinding, ans, err := m.countedEvaluate(ctx, b, in)
	if err != nil {
		return nil, err
	}
	defer blinding.Wipe()
	a.after = ans.Tries
	u, err := blinding.Finalize(ans.Evaluated, *a.checked.Policy.Escrow.Realms[0].K, nil)
	if err != nil {
		return nil, core.Errorf(core.Refused, "mstcc: evaluate", "%w", err)
	}
	return u, nil
}
