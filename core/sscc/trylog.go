package sscc

import (
	"context"
	"slices"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

// The try log keeps every try of a user that left Hot, in chunks of one small
// record each: tries n·24+1 … n·24+24 in chunk n. It is written before an
// entry is dropped from Hot, never on the way of a try, and holds nothing but
// what Hot said, so writers that race write the same. Chunk, version 1:
//
//	1 u8 ‖ head before its first try 32 ‖ n u8 ‖ n × tag 16
const (
	chunkTries = 24
	maxSince   = 4096 // tries told at once; beyond it only the newest are
)

type chunk struct {
	before protocol.Head
	tags   []protocol.Tag
}

func (c *chunk) marshal() []byte {
	p := &enc.Packer{}
	p.U8(recordVersion)
	p.Raw(c.before[:])
	p.U8(uint8(len(c.tags)))
	for _, t := range c.tags {
		p.Raw(t[:])
	}
	return p.B
}

func parseChunk(b []byte) (*chunk, error) {
	u := enc.NewUnpacker(b)
	v := u.U8()
	c := &chunk{}
	u.Raw(c.before[:])
	n := int(u.U8())
	for range min(n, chunkTries) {
		var t protocol.Tag
		u.Raw(t[:])
		c.tags = append(c.tags, t)
	}
	if v != recordVersion || n > chunkTries || !u.Done() {
		return nil, corrupt("try log")
	}
	return c, nil
}

// after is the head after the chunk's last try; first is the seq of its first.
func (c *chunk) after(first uint32) protocol.Head {
	h := c.before
	for i, t := range c.tags {
		h = sm.SM3(protocol.TryHeadInput(h, first+uint32(i), t))
	}
	return h
}

func (k *keyring) chunkKey(app, user protocol.ID, n uint32) core.Key {
	return k.index(enc.Str("try-log"), app[:], user[:], enc.U32(n))
}

// flushTries makes the log hold every try of u.hot and notes that in
// u.hot.flushed, which the caller's compare-and-set stores.
func (s *Server) flushTries(ctx context.Context, k *keyring, app, id protocol.ID, u *user) error {
	h := u.hot
	for h.flushed < h.seq {
		n := h.flushed / chunkTries
		first := n*chunkTries + 1
		d, err := s.getDoc(ctx, k, kindTryLog, k.chunkKey(app, id, n))
		if err != nil {
			return err
		}
		c := &chunk{}
		if d.version > 0 {
			if c, err = parseChunk(d.plain); err != nil {
				return err
			}
		} else if n > 0 {
			prev, err := s.getDoc(ctx, k, kindTryLog, k.chunkKey(app, id, n-1))
			if err != nil {
				return err
			}
			p, err := parseChunk(prev.plain)
			if err != nil {
				return err
			}
			c.before = p.after(first - chunkTries)
		}
		had := len(c.tags)
		for seq := first + uint32(had); seq <= h.seq && len(c.tags) < chunkTries; seq++ {
			i := slices.IndexFunc(h.entries, func(e entry) bool { return e.seq == seq })
			if i < 0 {
				return core.Errorf(core.Corrupt, "sscc: try log", "try %d is neither in the counter nor in the log: the backend gave an old record", seq)
			}
			c.tags = append(c.tags, h.entries[i].tag)
		}
		if len(c.tags) > had {
			d.plain = c.marshal()
			switch err := s.putDoc(ctx, k, kindTryLog, d); {
			case core.CodeOf(err) == core.Conflict:
				continue // another replica wrote the same tries
			case err != nil:
				return err
			}
		}
		h.flushed = min(first-1+uint32(len(c.tags)), h.seq)
	}
	return nil
}

// since lists every try after seq, oldest first: from the log what left Hot,
// from Hot the rest.
func (c *call) since(ctx context.Context, u *user, seq uint32) ([]protocol.SeqTag, error) {
	h := u.hot
	if seq >= h.seq {
		return nil, nil
	}
	if h.seq-seq > maxSince {
		seq = h.seq - maxSince
	}
	inHot := h.seq + 1
	for i := len(h.entries) - 1; i >= 0 && h.entries[i].seq == inHot-1; i-- {
		inHot--
	}
	var out []protocol.SeqTag
	if seq+1 < inHot {
		b, err := c.s.blob(ctx, c.k, u)
		if err != nil {
			return nil, err
		}
		if out, err = c.s.readLog(ctx, c.k, c.peer.App, b.user, seq+1, inHot-1); err != nil {
			return nil, err
		}
	}
	for _, e := range h.entries {
		if e.seq >= inHot && e.seq > seq {
			out = append(out, protocol.SeqTag{Seq: e.seq, Tag: e.tag})
		}
	}
	return out, nil
}

// readLog returns tries from..to, all of which are in the log.
func (s *Server) readLog(ctx context.Context, k *keyring, app, id protocol.ID, from, to uint32) ([]protocol.SeqTag, error) {
	var keys []core.Key
	first := (from - 1) / chunkTries
	for n := first; n <= (to-1)/chunkTries; n++ {
		keys = append(keys, k.chunkKey(app, id, n))
	}
	recs, err := s.store.get(ctx, true, keys...)
	if err != nil {
		return nil, err
	}
	out := make([]protocol.SeqTag, 0, to-from+1)
	for i, r := range recs {
		d, err := s.openDoc(nil, k, kindTryLog, r)
		if err != nil {
			return nil, err
		}
		if d.version == 0 {
			return nil, core.Errorf(core.Corrupt, "sscc: try log", "a part of the log is missing: the backend lost a record")
		}
		c, err := parseChunk(d.plain)
		if err != nil {
			return nil, err
		}
		for j, t := range c.tags {
			if seq := (first+uint32(i))*chunkTries + 1 + uint32(j); seq >= from && seq <= to {
				out = append(out, protocol.SeqTag{Seq: seq, Tag: t})
			}
		}
	}
	if uint32(len(out)) != to-from+1 {
		return nil, core.Errorf(core.Corrupt, "sscc: try log", "%d of %d tries are in the log: the backend gave an old record", len(out), to-from+1)
	}
	return out, nil
}
