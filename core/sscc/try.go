package sscc

import (
	"context"
	"crypto/subtle"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

// TryTag is the tag of one try: SM3(enc(attempt, SM3(B or "")))[:16].
func TryTag(attempt protocol.ID, blinded []byte) (t protocol.Tag) {
	h := sm.SM3(protocol.TryTagInput(attempt, sm.SM3(blinded)))
	copy(t[:], h[:])
	return t
}

func attemptDigest(attempt protocol.ID) (d [7]byte) {
	h := sm.SM3(attempt[:])
	copy(d[:], h[:])
	return d
}

// Fetch is the counted try of plain mode: it hands out the sealed keys after
// the count is durable.
// req: K-7.2-03, K-7.2-04, K-7.2-D3, X-13
func (s *Server) Fetch(ctx context.Context, peer protocol.Peer, r protocol.FetchRequest) (ans protocol.FetchAnswer, err error) {
	if r.Attempt.IsZero() {
		return ans, core.Errorf(core.Invalid, "ss-cc: fetch", "an attempt needs an id")
	}
	t := newTry(protocol.ModePlain, r.Gen, r.Attempt, nil)
	err = s.serve(ctx, "fetch", peer, r.User, false, func(c *call, u *user) error {
		seq, b, err := c.count(ctx, u, t)
		if err != nil {
			return err
		}
		ans.Sealed, ans.Seq = append([]byte(nil), b.sealed...), seq
		ans.Tries, err = c.tries(ctx, u, r.Seen)
		return err
	})
	return ans, err
}

// Evaluate is the counted try of hardened mode. The element is checked before
// anything is counted, the count is durable before the key is used.
// req: K-7.2-D3
func (s *Server) Evaluate(ctx context.Context, peer protocol.Peer, r protocol.EvaluateRequest) (ans protocol.EvaluateAnswer, err error) {
	const op = "ss-cc: evaluate"
	if s.cfg.OPRF == nil {
		return ans, core.Errorf(core.Unsupported, op, "this SS-CC serves plain mode only")
	}
	if r.Attempt.IsZero() {
		return ans, core.Errorf(core.Invalid, op, "an attempt needs an id")
	}
	// Whoever asks, and for whom: this comes first and takes the same time.
	element, err := s.cfg.OPRF.Check(r.Blinded)
	if err != nil {
		return ans, core.Errorf(core.Invalid, op, "blinded element: %w", err)
	}
	t := newTry(protocol.ModeHardened, r.Gen, r.Attempt, r.Blinded[:])
	err = s.serve(ctx, "evaluate", peer, r.User, false, func(c *call, u *user) error {
		seq, b, err := c.count(ctx, u, t)
		if err != nil {
			return err
		}
		if b.key == nil {
			return core.Errorf(core.Internal, op, "no oprf key in a hardened user's record")
		}
		if r.WantProof {
			ans.Evaluated, ans.Proof, err = b.key.EvaluateWithProof(s.cfg.Rand, element)
		} else {
			ans.Evaluated, err = b.key.Evaluate(element)
		}
		if err != nil {
			return core.Errorf(core.Internal, op, "%w", err)
		}
		ans.Sealed, ans.Seq = append([]byte(nil), b.sealed...), seq
		ans.Tries, err = c.tries(ctx, u, r.Seen)
		return err
	})
	if err != nil {
		return protocol.EvaluateAnswer{}, err
	}
	return ans, nil
}

// A try is what count needs of a request.
type try struct {
	mode protocol.Mode
	gen  uint64
	e    entry
}

func newTry(mode protocol.Mode, gen uint64, attempt protocol.ID, blinded []byte) try {
	return try{mode, gen, entry{tag: TryTag(attempt, blinded), attempt: attemptDigest(attempt), held: true}}
}

// count makes the try durable and returns its seq and the blob to answer from
// (I1). The same attempt with the same element is the same try (I2).
func (c *call) count(ctx context.Context, u *user, t try) (seq uint32, b *blob, err error) {
	s := c.s
	e := t.e
	if c.alive(u) == nil && u.hot.state == userLocked && u.hot.mode == t.mode && u.hot.gen == t.gen {
		// As it was read: guesses above the limit do not queue for the record.
		if known, _ := c.known(u.hot, e); known == nil {
			return 0, nil, c.locked(u)
		}
	}
	var ev *event
	err = s.edit(ctx, c.k, u, func(u *user) (*blob, bool, error) {
		ev = nil
		if err := c.alive(u); err != nil {
			return nil, false, err
		}
		h := u.hot
		if h.mode != t.mode || h.gen != t.gen {
			return nil, false, core.Errorf(core.State, "ss-cc: try", "the policy is another one by now: read it again")
		}
		known, again := c.known(h, e)
		if known == nil {
			var err error
			if b, err = s.blob(ctx, c.k, u); err != nil {
				return nil, false, err
			}
		}
		switch {
		case again && known.held:
			seq = known.seq
			var err error
			b, err = s.blob(ctx, c.k, u)
			return nil, false, err
		case known != nil:
			// The id with another element, or a replay of a try already confirmed.
			return nil, false, core.Errorf(core.Invalid, "ss-cc: try", "this attempt id was used: draw a new one")
		}
		switch err := c.exhausted(u); {
		case core.CodeOf(err) == core.Locked && h.state != userLocked:
			return c.exhaust(u, &ev)
		case err != nil:
			return nil, false, err
		}
		if err := c.minute(h); err != nil {
			return nil, false, err
		}
		if h.room() {
			if err := s.flushTries(ctx, c.k, c.peer.App, userID(b), u); err != nil {
				return nil, false, err
			}
			h.room()
		}
		if h.seq == 1<<32-1 {
			return nil, false, core.Errorf(core.Exhausted, "ss-cc: try", "this user's try numbers are used up: replace the record")
		}
		h.seq++
		h.head = sm.SM3(protocol.TryHeadInput(h.head, h.seq, e.tag))
		e.seq, seq = h.seq, h.seq
		h.entries = append(h.entries, e)
		h.lastTry = s.now().Unix()
		ev = &event{kind: evTry, seq: h.seq, head: h.head}
		s.cfg.Step.At("try.before")
		return nil, true, nil
	})
	if ev != nil && err == nil {
		s.cfg.Step.At("try.counted")
		ev.subject, ev.device = s.audit.digest(c.k, u.key), s.audit.digest(c.k, c.peer.Device[:])
		if err := s.audit.record(ctx, *ev); err != nil {
			return 0, nil, err
		}
		if ev.kind != evTry {
			return 0, nil, c.locked(u)
		}
	}
	if ev == nil && err == nil {
		err = s.audit.settled(ctx)
	}
	return seq, b, err
}

func userID(b *blob) protocol.ID { return b.user }

// known finds the entry of the same attempt id; again tells that the element
// is the same too.
func (c *call) known(h *hot, e entry) (found *entry, again bool) {
	for i := range h.entries {
		if h.entries[i].attempt == e.attempt {
			return &h.entries[i], subtle.ConstantTimeCompare(h.entries[i].tag[:], e.tag[:]) == 1
		}
	}
	return nil, false
}

// exhausted is Locked when no try may be counted: the limit is reached, or the
// record is locked or frozen.
func (c *call) exhausted(u *user) error {
	h := u.hot
	if h.state == userLocked || h.freeze < c.s.freeze.Load() || h.used() >= uint32(h.limit) {
		return c.locked(u)
	}
	return nil
}

// locked is told to the bound, authenticated device only.
func (c *call) locked(u *user) error {
	return core.Errorf(core.Locked, "ss-cc: try", "%d of %d tries are used up: the administrator unlocks", u.hot.used(), u.hot.limit)
}

// exhaust is what the try after the last one does (I5, I6): lock, or destroy
// once the last answered try is old enough to have been confirmed.
func (c *call) exhaust(u *user, ev **event) (*blob, bool, error) {
	h := u.hot
	if h.used() < uint32(h.limit) || !h.destroy { // frozen, or the lock policy
		h.state = userLocked
		*ev = &event{kind: evLocked, seq: h.seq, head: h.head}
		return nil, true, nil
	}
	if wait := time.Duration(h.lastTry-c.s.now().Unix())*time.Second + c.s.cfg.Limits.DestroyWait; wait > 0 {
		return nil, false, &core.Error{Code: core.Locked, Op: "ss-cc: try", Msg: "the tries are used up", After: wait}
	}
	b, err := c.s.blob(context.Background(), c.k, u)
	if err != nil {
		return nil, false, err
	}
	h.state = userDestroyed
	*ev = &event{kind: evDestroyed, seq: h.seq, head: h.head}
	return b.emptied(), true, nil
}

// emptied is b without anything that helps to open a key; P_conf stays, so that
// a repeated removal can be recognised.
func (b *blob) emptied() *blob {
	e := *b
	e.policy, e.sealed, e.oprfKey, e.key = nil, nil, nil, nil
	return &e
}

// minute keeps the durable floor of tries in one minute of SS-CC's clock. A
// clock that goes back stays in the newest minute it has seen.
// req: G-7.4-05
func (c *call) minute(h *hot) error {
	now := c.s.now()
	m := max(uint32(now.Unix()/60), h.minute)
	if m != h.minute {
		h.minute, h.inMinute = m, 0
	}
	if h.inMinute >= c.s.cfg.Limits.TriesPerMinute {
		return &core.Error{Code: core.Throttled, Op: "ss-cc: try", Msg: "too many tries in this minute: wait", After: time.Duration(60-now.Unix()%60) * time.Second}
	}
	h.inMinute++
	return nil
}

// tries is the counter as the bound device sees it.
func (c *call) tries(ctx context.Context, u *user, seen protocol.Seen) (protocol.Tries, error) {
	h := u.hot
	t := protocol.Tries{Used: h.used(), Limit: uint32(h.limit), UnlockSeq: h.unlockSeq, Seq: h.seq, Head: h.head,
		Locked: h.state == userLocked || h.freeze < c.s.freeze.Load()}
	if t.Used > 0 {
		t.Held = make([]protocol.HeldTry, 0, t.Used)
	}
	for _, e := range h.entries {
		if !e.held {
			continue
		}
		dev := h.device
		if e.old {
			dev = h.before
		}
		t.Held = append(t.Held, protocol.HeldTry{Seq: e.seq, Tag: e.tag, Device: dev})
	}
	var err error
	t.Since, err = c.since(ctx, u, seen.Seq)
	return t, err
}
