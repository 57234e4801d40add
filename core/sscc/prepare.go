package sscc

import (
	"context"
	"slices"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

// Prepare stages a new user or a replacement. It changes nothing that is
// served. One record is staged per user and device: a new one replaces it, the
// same idempotency key with other bytes is Invalid.
// req: K-7.1-08, K-7.1-D1, K-17.1-D1
func (s *Server) Prepare(ctx context.Context, peer protocol.Peer, r protocol.PrepareRequest) (ans protocol.PrepareAnswer, err error) {
	const op = "ss-cc: prepare"
	err = s.serve(ctx, "prepare", peer, r.User, false, func(c *call, u *user) error {
		if !r.Init {
			if err := c.changeable(u); err != nil {
				return err
			}
		}
		if len(r.Policy) > protocol.MaxPolicy || len(r.Sealed) > protocol.MaxSealed {
			return core.Errorf(core.TooLarge, op, "policy of %d bytes, sealed keys of %d: at most %d and %d", len(r.Policy), len(r.Sealed), protocol.MaxPolicy, protocol.MaxSealed)
		}
		sum := prepareDigest(r)
		old, err := s.loadPending(ctx, c.k, peer, r.User, false)
		if err != nil {
			return err
		}
		if old.repeats(r.Idem, sum, s.now().Unix()) {
			ans.Expires = old.expires
			return s.audit.settled(ctx)
		}
		if err := c.checkPrepare(ctx, u, r); err != nil {
			return err
		}
		if ans.Expires, err = c.stage(ctx, r, sum); err != nil {
			return err
		}
		s.cfg.Step.At("prepare.stored")
		return s.audit.record(ctx, event{kind: evPrepare, subject: s.audit.digest(c.k, c.key), device: s.audit.digest(c.k, peer.Device[:])})
	})
	return ans, err
}

// stage stores a checked request in the device's place and returns when it
// expires.
func (c *call) stage(ctx context.Context, r protocol.PrepareRequest, sum protocol.Hash) (int64, error) {
	for {
		old, err := c.s.loadPending(ctx, c.k, c.peer, r.User, false)
		if err != nil {
			return 0, err
		}
		now := c.s.now()
		if old.repeats(r.Idem, sum, now.Unix()) {
			return old.expires, nil
		}
		next := &pending{idem: r.Idem, digest: sum, init: r.Init, user: r.User, oldGen: r.OldGen, newGen: r.NewGen,
			expires: now.Add(c.s.cfg.Limits.PrepareTTL).Unix(),
			body:    &stagedBody{policy: r.Policy, sealed: r.Sealed, pubs: r.Pubs, oprfKey: r.OPRFKey}}
		if r.Init {
			if next.user, err = c.s.newID(); err != nil {
				return 0, err
			}
		}
		if old != nil {
			same := old.idem == r.Idem && old.digest == sum // and expired
			if old.idem == r.Idem && !same || old.has(r.Idem) {
				return 0, core.Errorf(core.Invalid, "ss-cc: prepare", "this idempotency key was used for other bytes: draw a new one")
			}
			next.version = old.version
			if same {
				next.user, next.past = old.user, old.past
			} else if next.past, err = c.pastOf(ctx, old); err != nil {
				return 0, err
			}
		}
		if err = c.putPending(ctx, r.User, next); core.CodeOf(err) != core.Conflict || ctx.Err() != nil {
			return next.expires, err
		}
	}
}

// repeats tells that the same request was staged and still is, or was committed.
func (p *pending) repeats(idem protocol.ID, sum protocol.Hash, now int64) bool {
	return p != nil && p.idem == idem && p.digest == sum && (p.done || p.expires > now)
}

func (p *pending) has(idem protocol.ID) bool {
	return slices.ContainsFunc(p.past, func(c pastCommit) bool { return c.idem == idem })
}

// pastOf is old's list with old itself when it was committed, marked or not.
func (c *call) pastOf(ctx context.Context, old *pending) ([]pastCommit, error) {
	past := slices.Clone(old.past)
	done := old.done
	if !done && old.init {
		u, err := c.made(ctx, old)
		if err != nil {
			return nil, err
		}
		done = u != nil
	}
	if done {
		past = append(past, pastCommit{old.idem, old.user, old.newGen})
	}
	return past[max(0, len(past)-maxPast):], nil
}

func prepareDigest(r protocol.PrepareRequest) protocol.Hash {
	init := []byte{0}
	if r.Init {
		init[0] = 1
	}
	policy, sealed, key := sm.SM3(r.Policy), sm.SM3(r.Sealed), sm.SM3(r.OPRFKey)
	return sm.SM3(enc.Join(enc.Str("prepare"), init, r.User[:], enc.U64(r.OldGen), enc.U64(r.NewGen),
		policy[:], sealed[:], r.Pubs.Encode(), key[:]))
}

// checkPrepare holds a staged record against what it would replace and against
// this SS-CC. It trusts nothing but the policy's own fields; their truth is
// proved by the signature at Commit.
func (c *call) checkPrepare(ctx context.Context, u *user, r protocol.PrepareRequest) error {
	const op = "ss-cc: prepare"
	switch {
	case r.Init != r.User.IsZero() || r.Init != (r.OldGen == 0):
		return core.Errorf(core.Invalid, op, "an initialisation has no user and no old generation, a replacement has both")
	case r.Idem.IsZero():
		return core.Errorf(core.Invalid, op, "want an idempotency key")
	case len(r.Sealed) == 0:
		return core.Errorf(core.Invalid, op, "no sealed keys")
	}
	p, err := mf.ParsePolicy(r.Policy)
	if err != nil {
		return err
	}
	if why := c.unfit(p, r); why != "" {
		return core.Errorf(core.Invalid, op, "%s", why)
	}
	for _, k := range []protocol.Point{r.Pubs.Sign, r.Pubs.Enc} {
		if _, err := sm.ParsePoint(k[:]); err != nil {
			return core.Errorf(core.Invalid, op, "a public key is no point of the curve")
		}
	}
	if err := c.checkOPRF(ctx, u, p, r); err != nil || r.Init {
		return err
	}
	return c.checkReplace(ctx, u, p, r)
}

// unfit tells why the policy does not belong to this SS-CC, device or request.
func (c *call) unfit(p *mf.Policy, r protocol.PrepareRequest) string {
	switch {
	case p.Epoch != r.NewGen || r.NewGen <= r.OldGen:
		return "the new generation is not the policy's epoch, or not higher than the old"
	case p.Escrow.Realms[0].ID != c.k.realm:
		return "the policy names another realm"
	case p.Pubs != protocol.Hash(sm.SM3(r.Pubs.Encode())):
		return "the policy names other public keys"
	}
	if key := deviceOf(p); r.Init && key != (protocol.Point{}) && key != c.peer.Key {
		return "the policy names another device"
	}
	return ""
}

// checkOPRF checks that the dealt key is the one the policy names. Without a
// dealt key a hardened replacement keeps the present one.
func (c *call) checkOPRF(ctx context.Context, u *user, p *mf.Policy, r protocol.PrepareRequest) error {
	const op = "ss-cc: prepare"
	if p.Escrow.Mode == protocol.ModePlain {
		if len(r.OPRFKey) != 0 {
			return core.Errorf(core.Invalid, op, "plain mode has no oprf key")
		}
		return nil
	}
	if c.s.cfg.OPRF == nil {
		return core.Errorf(core.Unsupported, op, "this SS-CC serves plain mode only")
	}
	var pub protocol.Point
	if len(r.OPRFKey) == 0 && !r.Init {
		b, err := c.current(ctx, u)
		if err != nil {
			return err
		}
		if b.key != nil {
			pub = b.key.Public()
		}
	} else if k, err := c.s.cfg.OPRF.Key(r.OPRFKey); err == nil {
		pub = k.Public()
		k.Wipe()
	}
	if pub != *p.Escrow.Realms[0].K {
		return core.Errorf(core.Invalid, op, "the oprf key is not the one the policy names")
	}
	return nil
}

// checkReplace holds a replacement against the record in force: P_M and the
// key id stay, the MK generation stays or goes up by one and must after a
// Rebind, hardened never becomes plain.
func (c *call) checkReplace(ctx context.Context, u *user, p *mf.Policy, r protocol.PrepareRequest) error {
	const op = "ss-cc: prepare"
	b, err := c.current(ctx, u)
	if err != nil {
		return err
	}
	switch {
	case u.hot.gen != r.OldGen:
		return core.Errorf(core.State, op, "the policy is another one by now: read it again")
	case r.Pubs != b.pubs || p.KeyID != b.keyID:
		return core.Errorf(core.Policy, op, "a replacement keeps the user's public keys and key id")
	case u.hot.mode == protocol.ModeHardened && p.Escrow.Mode != protocol.ModeHardened:
		return core.Errorf(core.Policy, op, "a hardened user never becomes plain")
	case u.hot.rebound && p.MKGen != b.mkGen+1:
		return core.Errorf(core.Policy, op, "after a rebind the next change is a revoke: mk generation %d, want %d", p.MKGen, b.mkGen+1)
	case c.foreign(u, b, p):
		return core.Errorf(core.Invalid, op, "the policy names another device")
	case p.MKGen != b.mkGen && p.MKGen != b.mkGen+1:
		return core.Errorf(core.Policy, op, "mk generation %d, want %d or %d", p.MKGen, b.mkGen, b.mkGen+1)
	}
	return nil
}

// changeable is alive, and neither frozen nor locked by the administrator. A
// record locked by its tries may be replaced: the proof shows RK was reached.
func (c *call) changeable(u *user) error {
	if err := c.alive(u); err != nil {
		return err
	}
	if u.hot.ordered || u.hot.freeze < c.s.freeze.Load() {
		return c.locked(u)
	}
	return nil
}
