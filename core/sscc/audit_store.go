package sscc

import (
	"bytes"
	"context"
	"slices"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

// The log is stored in parts, numbered from 0, key index("audit", number). The
// newest part is rewritten until it holds partFull events, then the next is
// begun, always by compare-and-set, so that replicas write one chain. Hot,
// sealed for the record's version, version 1:
//
//	1 u8 ‖ number u64 ‖ first u64 ‖ n u32 ‖ head before 32 ‖ head after 32 ‖ Unix s i64 ‖ signature 64
//
// Blob, sealed alike, holds the events. The signature is SS-CC's identity key's
// over enc("audit-head", realm, events so far, head, Unix s) under AuditID.
type part struct {
	version core.Version // 0 = not stored yet
	number  uint64
	first   uint64 // number of events before this part
	before  protocol.Hash
	head    protocol.Hash
	unix    int64
	sig     protocol.Sig
	n       uint32
	events  []event
}

const (
	partFull  = 128 // a part with so many is closed
	maxAppend = 400 // events added in one write
	maxPart   = partFull + maxAppend

	// AuditID is the id SS-CC signs heads of the audit log under.
	AuditID = "KEPOSS-AUDIT-v1"
)

func (p *part) marshal() []byte {
	b := &enc.Packer{}
	b.U8(recordVersion)
	b.U64(p.number)
	b.U64(p.first)
	b.U32(p.n)
	b.Raw(p.before[:])
	b.Raw(p.head[:])
	b.U64(uint64(p.unix))
	b.Raw(p.sig[:])
	return b.B
}

func parsePart(raw []byte) (p part, err error) {
	u := enc.NewUnpacker(raw)
	v := u.U8()
	p.number, p.first, p.n = u.U64(), u.U64(), u.U32()
	u.Raw(p.before[:])
	u.Raw(p.head[:])
	p.unix = int64(u.U64())
	u.Raw(p.sig[:])
	if v != recordVersion || !u.Done() || p.n == 0 || p.n > maxPart {
		return part{}, corrupt("part of the audit log")
	}
	return p, nil
}

// end is how many events the chain has after p.
func (p *part) end() uint64 { return p.first + uint64(p.n) }

func (p *part) logHead(realm protocol.ID) LogHead {
	return LogHead{Realm: realm, Seq: p.end(), Head: p.head, Unix: p.unix, Sig: p.sig}
}

func headMessage(realm protocol.ID, seq uint64, head protocol.Hash, unix int64) []byte {
	return enc.Join(enc.Str("audit-head"), realm[:], enc.U64(seq), head[:], enc.U64(uint64(unix)))
}

func (k *keyring) partKey(n uint64) core.Key { return k.index(enc.Str("audit"), enc.U64(n)) }

// openPart opens a stored part; full also checks its events against the chain.
func (s *Server) openPart(k *keyring, r core.Record, number uint64, full bool) (p part, err error) {
	plain, err := k.open(kindAudit, r.Key, uint64(r.Version), r.Hot)
	if err != nil {
		return part{}, err
	}
	if p, err = parsePart(plain); err != nil {
		return part{}, err
	}
	p.version = r.Version
	if p.number != number {
		return part{}, corrupt("part of the audit log")
	}
	if !full {
		return p, nil
	}
	if plain, err = k.open(kindEvents, r.Key, uint64(r.Version), r.Blob); err != nil {
		return part{}, err
	}
	if p.events, err = parseEvents(plain, maxPart); err != nil {
		return part{}, err
	}
	head := p.before
	for i := range p.events {
		head = p.events[i].next(head)
	}
	if head != p.head || len(p.events) != int(p.n) {
		return part{}, core.Errorf(core.Corrupt, "sscc: audit", "part %d of the log does not chain", number)
	}
	if !sm.Verify(k.identity.Public(), headMessage(k.realm, p.end(), p.head, p.unix), []byte(AuditID), p.sig) {
		return part{}, core.Errorf(core.Corrupt, "sscc: audit", "the head of part %d is not signed by this SS-CC", number)
	}
	return p, nil
}

// readPart reads one part; version 0 when it is absent.
func (s *Server) readPart(ctx context.Context, k *keyring, number uint64, full bool) (part, error) {
	recs, err := s.store.get(ctx, !full, k.partKey(number))
	if err != nil {
		return part{}, err
	}
	if recs[0].Version == 0 {
		return part{number: number}, nil
	}
	return s.openPart(k, recs[0], number, full)
}

// search finds the first number from 0 on for which past is true; past must be
// false up to some number and true from there.
func search(past func(n uint64) (bool, error)) (uint64, error) {
	lo, hi := uint64(0), uint64(1)
	for {
		ok, err := past(hi - 1)
		if err != nil {
			return 0, err
		}
		if ok {
			break
		}
		lo, hi = hi, hi*2
	}
	for lo < hi-1 {
		mid := lo + (hi-1-lo)/2
		ok, err := past(mid)
		if err != nil {
			return 0, err
		}
		if ok {
			hi = mid + 1
		} else {
			lo = mid + 1
		}
	}
	return hi - 1, nil
}

// parts is how many parts are stored.
func (s *Server) parts(ctx context.Context, k *keyring) (uint64, error) {
	return search(func(n uint64) (bool, error) {
		recs, err := s.store.get(ctx, true, k.partKey(n))
		return err == nil && recs[0].Version == 0, err
	})
}

// lastPart is the end of the log, an empty part 0 when there is none.
func (s *Server) lastPart(ctx context.Context, k *keyring) (part, error) {
	n, err := s.parts(ctx, k)
	if err != nil || n == 0 {
		return part{}, err
	}
	return s.readPart(ctx, k, n-1, true)
}

// append stores a batch at the end of the chain, wherever another replica has
// moved it meanwhile. Called with w held.
func (a *auditor) append(ctx context.Context, batch []queued) error {
	for {
		next, err := a.extend(batch)
		if err != nil {
			return err
		}
		if next.version == 0 {
			if err := a.s.ringIs(ctx, a.keys.rev); err != nil {
				return err
			}
		}
		m := core.Mutation{Key: a.keys.partKey(next.number), Expect: next.version, Op: core.OpPut, ReqID: a.s.reqID()}
		if m.Hot, err = a.keys.seal(a.s.cfg.Rand, kindAudit, m.Key, uint64(next.version)+1, next.marshal()); err != nil {
			return err
		}
		if m.Blob, err = a.keys.seal(a.s.cfg.Rand, kindEvents, m.Key, uint64(next.version)+1, marshalEvents(next.events)); err != nil {
			return err
		}
		v, err := a.s.store.put(ctx, m)
		if err == nil {
			next.version = v
			a.tail, a.unsaved = next, true
			return nil
		}
		if c := core.CodeOf(err); c != core.Conflict && c != core.Indeterminate && c != core.NotFound {
			return err
		}
		// Somebody else wrote, or an earlier send of ours arrived after all.
		was := next
		if a.tail, err = a.s.readPart(ctx, a.keys, was.number, true); err != nil {
			return err
		}
		if a.tail.version == 0 { // the write did not happen
			a.tail = part{number: was.number, first: was.first, before: was.before, head: was.before}
			continue
		}
		if len(a.tail.events) >= len(was.events) && bytes.Equal(marshalEvents(a.tail.events[:len(was.events)]), marshalEvents(was.events)) {
			a.unsaved = true
			return nil
		}
		for {
			more, err := a.s.readPart(ctx, a.keys, a.tail.number+1, true)
			if err != nil {
				return err
			}
			if more.version == 0 {
				break
			}
			a.tail = more
		}
	}
}

// extend is the tail with the batch added, or the part after it.
func (a *auditor) extend(batch []queued) (part, error) {
	next := a.tail
	if next.n >= partFull {
		next = part{number: next.number + 1, first: next.end(), before: next.head, head: next.head}
	}
	next.events = slices.Grow(slices.Clone(next.events), len(batch))
	for _, q := range batch {
		next.events = append(next.events, q.e)
		next.head = q.e.next(next.head)
	}
	next.n = uint32(len(next.events))
	next.unix = a.s.now().Unix()
	sig, err := a.keys.identity.Sign(a.s.cfg.Rand, headMessage(a.keys.realm, next.end(), next.head, next.unix), []byte(AuditID))
	next.sig = sig
	return next, err
}
