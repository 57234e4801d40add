package sscc

import (
	"context"

	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/protocol"
)

// Challenge gives the enrolled device a challenge for RecoverPolicy and Rebind,
// good for this minute and the next. An unknown user gets one too. Without a
// user it is for Attest, and a device that owes an attestation gets it.
func (s *Server) Challenge(ctx context.Context, peer protocol.Peer, r protocol.ChallengeRequest) (ans protocol.ChallengeAnswer, err error) {
	if r.User.IsZero() {
		err = s.serveIf(ctx, "challenge", peer, r.User, true, func(c *call, _ *user) error {
			if c.app.revoked {
				return refused
			}
			ans.Challenge = c.k.challenge(s.now().Unix()/60, c.attestAbout()...)
			return nil
		})
		return ans, err
	}
	err = s.serve(ctx, "challenge", peer, r.User, true, func(c *call, _ *user) error {
		ans.Challenge = c.k.challenge(s.now().Unix()/60, c.rebindAbout(r.User)...)
		return nil
	})
	return ans, err
}

func (c *call) rebindAbout(user protocol.ID) [][]byte {
	return [][]byte{enc.Str("rebind"), c.peer.App[:], user[:], c.peer.Device[:], c.peer.Key[:]}
}

// recovers checks the recovery holder's signature and returns the record in
// force. To read, a new terminal, which does not know the generation, names 0.
// An unknown user costs the same reads and the same check.
func (c *call) recovers(ctx context.Context, u *user, r protocol.RebindRequest, read bool) (*blob, error) {
	b, have := &blob{}, u.version > 0 && !u.hot.state.gone()
	_, err := c.s.store.get(ctx, false, c.key) // whether there is something to open or not
	if err == nil && have {
		b, err = c.current(ctx, u)
	}
	if err != nil {
		return nil, err
	}
	id := c.k.identity.Public()
	key, gen := protocol.Point(id.Compressed()), uint64(0)
	if have {
		gen = u.hot.gen
		if p, err := mf.ParsePolicy(b.policy); err == nil {
			if h := p.Holder(r.Holder); h != nil && h.Kind == mf.HolderRecovery {
				key = h.P
			} else {
				have = false
			}
		}
	}
	fresh := c.k.fresh(c.s.now(), r.Challenge, c.rebindAbout(r.User)...)
	signed := verify(key, protocol.RebindMessage(c.k.realm, c.peer.App, r.User, r.Gen, r.Holder, c.peer.Key, r.Challenge), protocol.RebindID, r.Sig)
	if !have || !fresh || !signed || gen != r.Gen && !(read && r.Gen == 0) {
		return nil, refused
	}
	return b, nil
}

// RecoverPolicy hands the policy to an enrolled device that holds the recovery
// code, before it is bound: uncounted, remembered for Status, and Locked while
// a plain user is.
// req: X-25
func (s *Server) RecoverPolicy(ctx context.Context, peer protocol.Peer, r protocol.RecoverPolicyRequest) (ans protocol.PolicyAnswer, err error) {
	err = s.serve(ctx, "recover-policy", peer, r.User, true, func(c *call, u *user) error {
		b, err := c.recovers(ctx, u, r, true)
		if err != nil {
			return err
		}
		if u.hot.mode == protocol.ModePlain && (u.hot.state == userLocked || u.hot.freeze < s.freeze.Load()) {
			return c.locked(u)
		}
		if err := c.noteRead(ctx, b.user); err != nil {
			return err
		}
		if ans, err = c.policyAnswer(ctx, u, b, protocol.Seen{Seq: u.hot.seq}); err != nil {
			return err
		}
		return s.audit.record(ctx, event{kind: evRecoverRead, subject: s.audit.digest(c.k, u.key), device: s.audit.digest(c.k, peer.Device[:])})
	})
	return ans, err
}

// Rebind lets this device make counted tries in place of the one bound so far.
// The count stays as it is: tries of the old device become foreign to the new
// one. The next Commit must be a revoke (mk generation + 1). A repeat changes
// nothing.
// req: K-17.1-07
func (s *Server) Rebind(ctx context.Context, peer protocol.Peer, r protocol.RebindRequest) error {
	return s.serve(ctx, "rebind", peer, r.User, false, func(c *call, u *user) error {
		done := false
		err := s.edit(ctx, c.k, u, func(u *user) (*blob, bool, error) {
			done = false
			if _, err := c.recovers(ctx, u, r, false); err != nil {
				return nil, false, err
			}
			h := u.hot
			if h.rebound && h.device == peer.Device {
				return nil, false, nil
			}
			if h.device != peer.Device {
				for i := range h.entries {
					h.entries[i].old = true
				}
				h.before, h.device = h.device, peer.Device
			}
			h.rebound, done = true, true
			return nil, true, nil
		})
		if err != nil || !done {
			if err == nil {
				err = s.audit.settled(ctx)
			}
			return err
		}
		s.cfg.Step.At("rebind.stored")
		return s.audit.record(ctx, event{kind: evRebind, seq: u.hot.seq, head: u.hot.head, subject: s.audit.digest(c.k, u.key), device: s.audit.digest(c.k, peer.Device[:])})
	})
}
