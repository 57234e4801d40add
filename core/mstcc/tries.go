package mstcc

import (
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/protocol"
)

// maxOwn bounds the attempts remembered as our own and not yet confirmed: SS-CC
// holds at most MaxHeld, and a lost reply may leave a few more here.
const maxOwn = 2 * protocol.MaxHeld

// tries is the terminal's own counter and its memory of SS-CC's (X-15, I7). It
// is written before a try is evaluated. Version 1:
//
//	used u32 ‖ unlockSeq u64 ‖ seq u32 ‖ head 32 ‖ alarm u8 ‖ n u8 ‖ n × tag 16
type tries struct {
	used      uint32
	unlockSeq uint64
	seen      protocol.Seen
	alarm     bool           // SS-CC's counter once went backwards or did not chain
	own       []protocol.Tag // attempts this terminal sent and has not seen confirmed
}

func (t *tries) marshal() []byte {
	p := &enc.Packer{}
	p.U32(t.used)
	p.U64(t.unlockSeq)
	p.U32(t.seen.Seq)
	p.Raw(t.seen.Head[:])
	p.Flag(t.alarm)
	p.U8(uint8(len(t.own)))
	for _, tag := range t.own {
		p.Raw(tag[:])
	}
	return p.B
}

func parseTries(b []byte) (*tries, error) {
	u := enc.NewUnpacker(b)
	t := &tries{used: u.U32(), unlockSeq: u.U64()}
	t.seen.Seq = u.U32()
	u.Raw(t.seen.Head[:])
	t.alarm = u.Flag()
	n := int(u.U8())
	if n > maxOwn {
		return nil, malformed("try counter")
	}
	for range n {
		var tag protocol.Tag
		u.Raw(tag[:])
		t.own = append(t.own, tag)
	}
	if !u.Done() {
		return nil, malformed("try counter")
	}
	return t, nil
}

// malformed is what an authenticated record that does not parse gives.
func malformed(what string) error {
	return core.Errorf(core.Integrity, "mstcc", "the %s is malformed: recover with the sheet", what)
}

// addOwn remembers tag, dropping the oldest beyond the bound.
func (t *tries) addOwn(tag protocol.Tag) {
	t.own = append(t.own, tag)
	if len(t.own) > maxOwn {
		t.own = t.own[len(t.own)-maxOwn:]
	}
}

// dropOwn forgets tags.
func (t *tries) dropOwn(tags map[protocol.Tag]bool) {
	kept := t.own[:0]
	for _, tag := range t.own {
		if !tags[tag] {
			kept = append(kept, tag)
		}
	}
	t.own = kept
}

// dropEntries forgets the tags of confirmed entries.
func (t *tries) dropEntries(entries []protocol.SeqTag) {
	gone := make(map[protocol.Tag]bool, len(entries))
	for _, e := range entries {
		gone[e.Tag] = true
	}
	t.dropOwn(gone)
}

func (t *tries) isOwn(tag protocol.Tag) bool {
	for _, o := range t.own {
		if o == tag {
			return true
		}
	}
	return false
}

// merge takes in SS-CC's view: a higher unlockSeq resets the local count, else
// the higher count wins. It reports whether history fails to chain from
// what was seen before: a rollback or a rewritten log (I7).
func (t *tries) merge(s protocol.Tries, head func(protocol.Head, uint32, protocol.Tag) protocol.Head) (broken bool) {
	if s.UnlockSeq > t.unlockSeq {
		t.unlockSeq = s.UnlockSeq
		t.used = 0
	}
	if s.Seq < t.seen.Seq || s.UnlockSeq < t.unlockSeq {
		broken = true
	} else {
		h, seq := t.seen.Head, t.seen.Seq
		for _, e := range s.Since {
			if e.Seq != seq+1 {
				broken = true
				break
			}
			h, seq = head(h, e.Seq, e.Tag), e.Seq
		}
		broken = broken || seq != s.Seq || h != s.Head
	}
	if broken {
		t.alarm = true
		return true // what was seen stays: the alarm must not heal by itself
	}
	t.seen = protocol.Seen{Seq: s.Seq, Head: s.Head}
	return false
}

// foreign returns the held tries this terminal did not make.
func (t *tries) foreign(s protocol.Tries) (out []protocol.HeldTry) {
	for _, h := range s.Held {
		if !t.isOwn(h.Tag) {
			out = append(out, h)
		}
	}
	return out
}

// confirmable returns the held entries that are ours.
func (t *tries) confirmable(s protocol.Tries) (out []protocol.SeqTag) {
	for _, h := range s.Held {
		if t.isOwn(h.Tag) {
			out = append(out, protocol.SeqTag{Seq: h.Seq, Tag: h.Tag})
		}
	}
	return out
}
