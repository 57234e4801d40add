package codec

import (
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
)

// request gives the empty request of a method; nil for an unknown one.
func request(m Method) any {
	switch m {
	case Policy:
		return &protocol.PolicyRequest{}
	case Fetch:
		return &protocol.FetchRequest{}
	case Evaluate:
		return &protocol.EvaluateRequest{}
	case Confirm:
		return &protocol.ConfirmRequest{}
	case Prepare:
		return &protocol.PrepareRequest{}
	case Commit:
		return &protocol.CommitRequest{}
	case Status:
		return &protocol.StatusRequest{}
	case Unbind, Deregister:
		return &protocol.RemoveRequest{}
	case Challenge:
		return &protocol.ChallengeRequest{}
	case RecoverPolicy, Rebind:
		return &protocol.RebindRequest{}
	case Standing:
		return &protocol.StandingRequest{}
	case Attest:
		return &protocol.AttestRequest{}
	}
	return nil
}

// Nothing is the answer of a method that returns only an error.
type Nothing struct{}

// answer gives the empty answer of a method; nil for an unknown one.
func answer(m Method) any {
	switch m {
	case Policy, RecoverPolicy:
		return &protocol.PolicyAnswer{}
	case Fetch:
		return &protocol.FetchAnswer{}
	case Evaluate:
		return &protocol.EvaluateAnswer{}
	case Confirm:
		return &protocol.ConfirmAnswer{}
	case Prepare:
		return &protocol.PrepareAnswer{}
	case Commit:
		return &protocol.CommitAnswer{}
	case Status:
		return &protocol.StatusAnswer{}
	case Challenge:
		return &protocol.ChallengeAnswer{}
	case Standing:
		return &protocol.StandingAnswer{}
	case Unbind, Deregister, Rebind, Attest:
		return &Nothing{}
	}
	return nil
}

// fields describes a message; it is the table of docs/wire.md in Go. It
// reports false for what is no message.
func fields(c *coder, v any) bool {
	switch r := v.(type) {
	case *protocol.PolicyRequest:
		c.id(&r.User, "user")
		c.seen(&r.Seen)
	case *protocol.PolicyAnswer:
		c.bytes(&r.Policy, protocol.MaxPolicy, "policy")
		c.u64(&r.Gen)
		c.pubs(&r.Pubs)
		c.tries(&r.Tries)
	case *protocol.FetchRequest:
		c.id(&r.User, "user")
		c.u64(&r.Gen)
		c.id(&r.Attempt, "attempt")
		c.seen(&r.Seen)
	case *protocol.FetchAnswer:
		c.bytes(&r.Sealed, protocol.MaxSealed, "sealed keys")
		c.u32(&r.Seq)
		c.tries(&r.Tries)
	case *protocol.EvaluateRequest:
		c.id(&r.User, "user")
		c.u64(&r.Gen)
		c.id(&r.Attempt, "attempt")
		c.raw(r.Blinded[:])
		c.flag(&r.WantProof)
		c.seen(&r.Seen)
	case *protocol.EvaluateAnswer:
		c.raw(r.Evaluated[:])
		c.exactly(&r.Proof, protocol.SigSize, "proof")
		c.bytes(&r.Sealed, protocol.MaxSealed, "sealed keys")
		c.u32(&r.Seq)
		c.tries(&r.Tries)
	case *protocol.ConfirmRequest:
		c.id(&r.User, "user")
		c.u64(&r.Gen)
		list(c, &r.Entries, protocol.MaxHeld, "entries", c.seqTag)
		c.raw(r.Sig[:])
	case *protocol.ConfirmAnswer:
		c.tries(&r.Tries)
	case *protocol.PrepareRequest:
		c.prepare(r)
	case *protocol.PrepareAnswer:
		c.when(&r.Expires)
	case *protocol.CommitRequest:
		c.raw(r.User[:]) // zero for an init
		c.id(&r.Idem, "idempotency")
		c.raw(r.Proof[:])
	case *protocol.CommitAnswer:
		c.id(&r.User, "user")
		c.u64(&r.Gen)
	case *protocol.StatusRequest:
		c.id(&r.User, "user")
		c.seen(&r.Seen)
	case *protocol.StatusAnswer:
		c.status(r)
	case *protocol.RemoveRequest:
		c.id(&r.User, "user")
		c.u64(&r.Gen)
		c.raw(r.Sig[:])
	case *protocol.RebindRequest:
		c.id(&r.User, "user")
		c.u64(&r.Gen)
		c.text(&r.Holder, maxText, "holder")
		c.raw(r.Challenge[:])
		c.raw(r.Sig[:])
	case *protocol.ChallengeRequest:
		c.raw(r.User[:]) // zero: for an attestation
	case *protocol.AttestRequest:
		c.text(&r.Platform, protocol.MaxPlatform, "platform")
		c.bytes(&r.Token, protocol.MaxAttestation, "proof")
		c.raw(r.Challenge[:])
	case *protocol.ChallengeAnswer:
		c.raw(r.Challenge[:])
	case *protocol.StandingRequest:
		c.raw(r.User[:]) // zero: the terminal has none
	case *protocol.StandingAnswer:
		c.flag(&r.Revoked)
		k := uint8(r.User)
		c.u8(&k)
		if r.User = protocol.Kept(k); r.User > protocol.KeptRemoved {
			c.fail("what is kept of the user is none of its values")
		}
	case *Nothing:
	case *core.Error:
		c.failure(r)
	default:
		return false
	}
	return true
}

func (c *coder) seen(s *protocol.Seen) {
	c.u32(&s.Seq)
	c.raw(s.Head[:])
}

func (c *coder) pubs(p *protocol.Pubs) {
	c.raw(p.Sign[:])
	c.raw(p.Enc[:])
}

func (c *coder) seqTag(e *protocol.SeqTag) {
	c.u32(&e.Seq)
	c.raw(e.Tag[:])
}

func (c *coder) tries(t *protocol.Tries) {
	c.u32(&t.Used)
	c.u32(&t.Limit)
	c.u64(&t.UnlockSeq)
	c.u32(&t.Seq)
	c.raw(t.Head[:])
	list(c, &t.Held, protocol.MaxHeld, "held tries", func(h *protocol.HeldTry) {
		c.u32(&h.Seq)
		c.raw(h.Tag[:])
		c.raw(h.Device[:]) // zero: a device that is no longer named
	})
	list(c, &t.Since, maxSince, "tries since", c.seqTag)
	c.flag(&t.Locked)
}

// prepare carries a user id exactly when it is no init.
func (c *coder) prepare(r *protocol.PrepareRequest) {
	c.flag(&r.Init)
	c.raw(r.User[:])
	if r.Init != r.User.IsZero() {
		c.fail("an init names no user, a replacement does")
	}
	c.u64(&r.OldGen)
	c.u64(&r.NewGen)
	c.id(&r.Idem, "idempotency")
	c.bytes(&r.Policy, protocol.MaxPolicy, "policy")
	c.bytes(&r.Sealed, protocol.MaxSealed, "sealed keys")
	c.pubs(&r.Pubs)
	c.exactly(&r.OPRFKey, protocol.OPRFSize, "oprf key")
}

func (c *coder) status(r *protocol.StatusAnswer) {
	c.u64(&r.Gen)
	m := uint8(r.Mode)
	c.u8(&m)
	r.Mode = protocol.Mode(m)
	if r.Mode != protocol.ModePlain && r.Mode != protocol.ModeHardened {
		c.fail("the mode is neither plain nor hardened")
	}
	c.tries(&r.Tries)
	list(c, &r.Reads, maxReads, "reads", func(x *protocol.Read) {
		c.when(&x.Unix)
		c.raw(x.Device[:])
	})
	c.flag(&r.AutoSeal)
	c.flag(&r.Pending)
	c.when(&r.ServerNow)
}
