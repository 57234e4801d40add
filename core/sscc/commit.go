package sscc

import (
	"context"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

// Commit makes the staged record the served one when the proof holds: signed by
// the confirm key in force on a replacement, by the new one on an
// initialisation. It is idempotent and returns the user id SS-CC made. A new
// OPRF key starts a new count; nothing else of a replacement touches it.
// NotFound when nothing is staged under the idempotency key, or no longer.
// req: K-6.2-02a, K-7.1-09a, K-7.1-09b, K-7.1-09c, K-7.1-D1, K-17.1-D1
func (s *Server) Commit(ctx context.Context, peer protocol.Peer, r protocol.CommitRequest) (ans protocol.CommitAnswer, err error) {
	err = s.serve(ctx, "commit", peer, r.User, false, func(c *call, u *user) error {
		if !r.User.IsZero() {
			if err := c.alive(u); err != nil {
				return err
			}
		}
		p, err := s.loadPending(ctx, c.k, peer, r.User, true)
		if err != nil {
			return err
		}
		var found bool
		if ans, found, err = c.committed(ctx, u, p, r); err != nil || found {
			if found && err == nil {
				err = s.audit.settled(ctx)
			}
			return err
		}
		if p == nil || p.idem != r.Idem || p.expires <= s.now().Unix() {
			return core.Errorf(core.NotFound, "ss-cc: commit", "nothing is staged under this idempotency key: prepare again")
		}
		defer p.body.wipe()
		if p.init {
			err = c.commitInit(ctx, p, r)
		} else {
			err = c.commitReplace(ctx, u, p, r)
		}
		if err != nil {
			return err
		}
		if err := c.mark(ctx, r.User, p); err != nil {
			return err
		}
		ans = protocol.CommitAnswer{User: p.user, Gen: p.newGen}
		return nil
	})
	return ans, err
}

// committed finds an earlier run of the same Commit: marked, remembered, or
// stored and interrupted before the mark, which it makes good.
func (c *call) committed(ctx context.Context, u *user, p *pending, r protocol.CommitRequest) (ans protocol.CommitAnswer, found bool, err error) {
	switch {
	case p != nil && p.idem == r.Idem && p.done:
		return protocol.CommitAnswer{User: p.user, Gen: p.newGen}, true, nil
	case p != nil && p.idem != r.Idem:
		for _, d := range p.past {
			if d.idem == r.Idem {
				return protocol.CommitAnswer{User: d.user, Gen: d.gen}, true, nil
			}
		}
	}
	if r.User.IsZero() {
		if p == nil || p.idem != r.Idem {
			return ans, false, nil
		}
		made, err := c.made(ctx, p)
		if err != nil || made == nil {
			return ans, false, err
		}
		return protocol.CommitAnswer{User: p.user, Gen: p.newGen}, true, c.mark(ctx, r.User, p)
	}
	b, err := c.current(ctx, u)
	if err != nil || b.idem != r.Idem {
		return ans, false, err
	}
	pol, err := mf.ParsePolicy(b.policy)
	if err != nil {
		return ans, false, corrupt("user")
	}
	if err = c.rekey(ctx, deviceOf(pol)); err == nil && p != nil && p.idem == r.Idem {
		err = c.mark(ctx, r.User, p)
	}
	return protocol.CommitAnswer{User: r.User, Gen: u.hot.gen}, true, err
}

// made loads the user an initialisation made; nil when its Commit never stored
// one.
func (c *call) made(ctx context.Context, p *pending) (*user, error) {
	u := &user{key: c.k.userKey(nil, c.peer.App, p.user)}
	next, err := c.s.reload(ctx, c.k, u)
	if err != nil || next.version == 0 {
		return nil, err
	}
	return next, nil
}

// mark notes that p was committed and drops the staged bytes.
func (c *call) mark(ctx context.Context, user protocol.ID, p *pending) error {
	p.done = true
	err := c.putPending(ctx, user, p)
	if core.CodeOf(err) == core.Conflict {
		return nil // replaced by a newer Prepare, or marked by the same Commit elsewhere
	}
	if err == nil {
		c.s.cfg.Step.At("commit.marked")
	}
	return err
}

// proof checks the Commit's signature under conf.
func (c *call) proof(p *pending, pol *mf.Policy, conf protocol.Point, sig protocol.Sig) bool {
	m := protocol.Commit{Realm: c.k.realm, App: c.peer.App, Idem: p.idem, OldGen: p.oldGen, NewGen: p.newGen,
		Policy: sm.SM3(p.body.policy), Sealed: sm.SM3(p.body.sealed), Pubs: sm.SM3(p.body.pubs.Encode()),
		OPRFKey: sm.SM3(p.body.oprfKey), Device: c.peer.Key}
	if key := deviceOf(pol); key != (protocol.Point{}) {
		m.Device = key
	}
	if !p.init {
		m.User = p.user
	}
	return verify(conf, protocol.CommitMessage(m), protocol.ConfirmID, sig)
}

// record makes the blob of a staged record.
func (c *call) record(p *pending, pol *mf.Policy) *blob {
	return &blob{app: c.peer.App, user: p.user, idem: p.idem, digest: p.digest, mkGen: pol.MKGen, keyID: pol.KeyID,
		conf: pol.PConf, pubs: p.body.pubs, policy: p.body.policy, sealed: p.body.sealed,
		oprfKey: append([]byte(nil), p.body.oprfKey...)}
}

func (c *call) commitInit(ctx context.Context, p *pending, r protocol.CommitRequest) error {
	s := c.s
	pol, err := mf.ParsePolicy(p.body.policy)
	if err != nil {
		return corrupt("staged record")
	}
	if !c.proof(p, pol, pol.PConf, r.Proof) {
		return refused
	}
	freeze, err := s.realmFreeze(ctx, c.k)
	if err != nil {
		return err
	}
	u := &user{key: c.k.userKey(nil, c.peer.App, p.user), hot: &hot{state: userActive, limit: c.app.limit, destroy: c.app.destroy,
		mode: pol.Escrow.Mode, gen: p.newGen, device: c.peer.Device, freeze: freeze}}
	err = s.storeUser(ctx, c.k, u, c.record(p, pol))
	if core.CodeOf(err) == core.Conflict { // the same Commit, at the same moment
		made, err := c.made(ctx, p)
		if err == nil && made == nil {
			err = core.Errorf(core.Corrupt, "ss-cc: commit", "the backend says a new user's record exists and does not show it")
		}
		return err
	}
	if err != nil {
		return err
	}
	s.cfg.Step.At("commit.stored")
	return s.audit.record(ctx, event{kind: evInit, subject: s.audit.digest(c.k, u.key), device: s.audit.digest(c.k, c.peer.Device[:])})
}

func (c *call) commitReplace(ctx context.Context, u *user, p *pending, r protocol.CommitRequest) error {
	s := c.s
	pol, err := mf.ParsePolicy(p.body.policy)
	if err != nil {
		return corrupt("staged record")
	}
	stored := false
	err = s.edit(ctx, c.k, u, func(u *user) (*blob, bool, error) {
		stored = false
		if err := c.changeable(u); err != nil {
			return nil, false, err
		}
		b, err := s.blob(ctx, c.k, u)
		if err != nil {
			return nil, false, err
		}
		if b.idem == p.idem { // the same Commit, at the same moment
			return nil, false, nil
		}
		if !c.proof(p, pol, b.conf, r.Proof) {
			return nil, false, refused
		}
		if u.hot.gen != p.oldGen || u.hot.rebound && pol.MKGen != b.mkGen+1 {
			return nil, false, core.Errorf(core.Invalid, "ss-cc: commit", "the record changed since it was staged: read the policy again")
		}
		next, h := c.record(p, pol), u.hot
		if pol.Escrow.Mode == protocol.ModeHardened && len(next.oprfKey) == 0 {
			next.oprfKey = append([]byte(nil), b.oprfKey...)
		} else if pol.Escrow.Mode == protocol.ModeHardened {
			h.release()
			h.state = userActive
		}
		h.mode, h.gen, h.rebound = pol.Escrow.Mode, p.newGen, false
		stored = true
		return next, true, nil
	})
	if err != nil {
		return err
	}
	if stored {
		s.cfg.Step.At("commit.stored")
	}
	if err := c.rekey(ctx, deviceOf(pol)); err != nil || !stored {
		return err
	}
	return s.audit.record(ctx, event{kind: evReplace, seq: u.hot.seq, head: u.hot.head, subject: s.audit.digest(c.k, u.key), device: s.audit.digest(c.k, c.peer.Device[:])})
}
