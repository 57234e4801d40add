package sscc

import (
	"context"
	"slices"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/protocol"
)

// Policy hands the public policy to the bound device: uncounted, rate-limited,
// audited, remembered for Status. In plain mode it is Locked while the user
// is. It carries no ciphertext.
func (s *Server) Policy(ctx context.Context, peer protocol.Peer, r protocol.PolicyRequest) (ans protocol.PolicyAnswer, err error) {
	err = s.serve(ctx, "policy", peer, r.User, true, func(c *call, u *user) error {
		if err := c.alive(u); err != nil {
			return err
		}
		if u.hot.mode == protocol.ModePlain && (u.hot.state == userLocked || u.hot.freeze < s.freeze.Load()) {
			return c.locked(u)
		}
		b, err := c.current(ctx, u)
		if err != nil {
			return err
		}
		if err := c.noteRead(ctx, b.user); err != nil {
			return err
		}
		ans, err = c.policyAnswer(ctx, u, b, r.Seen)
		return err
	})
	return ans, err
}

// current opens the blob that belongs to the newest counter.
func (c *call) current(ctx context.Context, u *user) (*blob, error) {
	for {
		b, err := c.s.blob(ctx, c.k, u)
		if core.CodeOf(err) != core.Conflict {
			return b, err
		}
		next, err := c.s.reload(ctx, c.k, u)
		if err != nil {
			return nil, err
		}
		*u = *next
		if err := ctx.Err(); err != nil {
			return nil, core.Errorf(core.Unavailable, "sscc", "gave up: %w", err)
		}
	}
}

func (c *call) policyAnswer(ctx context.Context, u *user, b *blob, seen protocol.Seen) (protocol.PolicyAnswer, error) {
	t, err := c.tries(ctx, u, seen)
	return protocol.PolicyAnswer{Policy: slices.Clone(b.policy), Gen: u.hot.gen, Pubs: b.pubs, Tries: t}, err
}

// Status describes the user's record to its bound device, locked or not.
func (s *Server) Status(ctx context.Context, peer protocol.Peer, r protocol.StatusRequest) (ans protocol.StatusAnswer, err error) {
	err = s.serve(ctx, "status", peer, r.User, true, func(c *call, u *user) error {
		if err := c.alive(u); err != nil {
			return err
		}
		b, err := c.current(ctx, u)
		if err != nil {
			return err
		}
		ans = protocol.StatusAnswer{Gen: u.hot.gen, Mode: u.hot.mode, ServerNow: s.now().Unix()}
		if ans.AutoSeal, err = s.autoSeal(ctx); err != nil {
			return err
		}
		if ans.Tries, err = c.tries(ctx, u, r.Seen); err != nil {
			return err
		}
		d, err := s.getDoc(ctx, c.k, kindReads, c.k.readsKey(c.peer.App, b.user))
		if err != nil {
			return err
		}
		if d.version > 0 {
			if ans.Reads, err = parseReads(d.plain); err != nil {
				return err
			}
		}
		p, err := s.loadPending(ctx, c.k, c.peer, b.user, false)
		if err != nil {
			return err
		}
		ans.Pending = p != nil && !p.done && p.expires > s.now().Unix()
		return nil
	})
	return ans, err
}

const maxReads = 8

func (k *keyring) readsKey(app, user protocol.ID) core.Key {
	return k.index(enc.Str("reads"), app[:], user[:])
}

func marshalReads(rs []protocol.Read) []byte {
	p := &enc.Packer{}
	p.U8(recordVersion)
	p.U8(uint8(len(rs)))
	for _, r := range rs {
		p.U64(uint64(r.Unix))
		p.Raw(r.Device[:])
	}
	return p.B
}

func parseReads(b []byte) ([]protocol.Read, error) {
	u := enc.NewUnpacker(b)
	v, n := u.U8(), int(u.U8())
	var rs []protocol.Read
	for range min(n, maxReads) {
		r := protocol.Read{Unix: int64(u.U64())}
		u.Raw(r.Device[:])
		rs = append(rs, r)
	}
	if v != recordVersion || n > maxReads || !u.Done() {
		return nil, corrupt("read list")
	}
	return rs, nil
}

// noteRead remembers one policy read. Reads of one device within a minute are
// one, so that the list cannot be flushed in a moment by whoever has the
// device.
func (c *call) noteRead(ctx context.Context, id protocol.ID) error {
	now := c.s.now().Unix()
	for {
		d, err := c.s.getDoc(ctx, c.k, kindReads, c.k.readsKey(c.peer.App, id))
		if err != nil {
			return err
		}
		var rs []protocol.Read
		if d.version > 0 {
			if rs, err = parseReads(d.plain); err != nil {
				return err
			}
		}
		if len(rs) > 0 && rs[0].Device == c.peer.Device && now-rs[0].Unix < 60 && now >= rs[0].Unix {
			return nil
		}
		rs = append([]protocol.Read{{Unix: now, Device: c.peer.Device}}, rs...)
		d.plain = marshalReads(rs[:min(len(rs), maxReads)])
		if err = c.s.putDoc(ctx, c.k, kindReads, d); core.CodeOf(err) != core.Conflict {
			if err != nil {
				return err
			}
			return c.s.audit.record(ctx, event{kind: evPolicyRead, subject: c.s.audit.digest(c.k, c.key), device: c.s.audit.digest(c.k, c.peer.Device[:])})
		}
	}
}
