package sscc

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
)

// AuditEvent is one event as it is shown. Subjects and devices are HMAC
// digests in hex, the same for the same user or device; a user's is also in
// UserInfo.
type AuditEvent struct {
	Seq     uint64 `json:"seq"`  // from 1
	Time    int64  `json:"time"` // Unix milliseconds
	Kind    string `json:"kind"`
	Code    string `json:"code,omitempty"`
	Op      string `json:"op,omitempty"`
	Subject string `json:"subject,omitempty"`
	Device  string `json:"device,omitempty"`
	Try     uint32 `json:"try,omitempty"`  // seq of the user's counter
	Head    string `json:"head,omitempty"` // head of the user's counter
	N       uint32 `json:"n,omitempty"`
}

func (e *event) show(seq uint64) AuditEvent {
	v := AuditEvent{Seq: seq, Time: e.at, Kind: e.kind.String(), Op: e.op, Subject: e.subject.hex(), Device: e.device.hex(), Try: e.seq, N: e.n}
	if e.code != core.Unknown {
		v.Code = e.code.String()
	}
	if e.head != (protocol.Head{}) {
		v.Head = hex.EncodeToString(e.head[:])
	}
	return v
}

const maxAuditPage = 1000

// partOf finds the part that holds the event with seq events before it; parts'
// number when the log ends earlier.
func (s *Server) partOf(ctx context.Context, k *keyring, seq uint64) (uint64, error) {
	return search(func(n uint64) (bool, error) {
		p, err := s.readPart(ctx, k, n, false)
		return err == nil && (p.version == 0 || p.end() > seq), err
	})
}

// AuditPage returns up to most events (1 to 1000) from number from on, oldest
// first; 0 and 1 both begin at the first. What this replica still held in
// memory is stored before.
func (s *Server) AuditPage(ctx context.Context, tok Token, from uint64, most int) (out []AuditEvent, err error) {
	if most < 1 || most > maxAuditPage {
		return nil, core.Errorf(core.Invalid, "sscc: audit", "page of %d events, want 1 to %d", most, maxAuditPage)
	}
	from = max(from, 1)
	err = s.asOfficer(ctx, tok, func(k *keyring) error {
		if err := s.audit.flush(ctx); err != nil {
			return err
		}
		n, err := s.partOf(ctx, k, from-1)
		if err != nil {
			return err
		}
		for ; len(out) < most; n++ {
			p, err := s.readPart(ctx, k, n, true)
			if err != nil {
				return err
			}
			if p.version == 0 {
				return nil
			}
			for i := range p.events {
				if seq := p.first + uint64(i) + 1; seq >= from && len(out) < most {
					out = append(out, p.events[i].show(seq))
				}
			}
		}
		return nil
	})
	return out, err
}

// AuditReport tells what VerifyAudit found.
type AuditReport struct {
	OK      bool     `json:"ok"`
	Events  uint64   `json:"events"`  // that chain and are signed
	Head    string   `json:"head"`    // after them
	Faults  []string `json:"faults"`  // the first thing wrong, and a head that is not reached
	Outside bool     `json:"outside"` // the head kept outside was compared
}

// VerifyAudit reads the whole log: every part opens, chains to the one before
// and is signed, and the head kept outside the backend lies on the chain.
func (s *Server) VerifyAudit(ctx context.Context, tok Token) (r AuditReport, err error) {
	r.Faults = []string{}
	err = s.asOfficer(ctx, tok, func(k *keyring) error {
		if err := s.audit.flush(ctx); err != nil {
			return err
		}
		last, err := s.verifyParts(ctx, k, &r)
		if err != nil {
			return err
		}
		r.Events, r.Head = last.end(), hex.EncodeToString(last.head[:])
		if s.cfg.Heads == nil {
			return nil
		}
		r.Outside = true
		old, err := s.behind(ctx, k, last)
		switch {
		case core.CodeOf(err) == core.Corrupt:
			r.Faults = append(r.Faults, err.Error())
		case err != nil:
			return err
		case old:
			r.Faults = append(r.Faults, "the log does not reach the head kept outside the backend: it was rolled back or changed")
		}
		return nil
	})
	r.OK = err == nil && len(r.Faults) == 0
	return r, err
}

// verifyParts returns the last part that is right.
func (s *Server) verifyParts(ctx context.Context, k *keyring, r *AuditReport) (last part, err error) {
	for n := uint64(0); ; n++ {
		p, err := s.readPart(ctx, k, n, true)
		switch {
		case core.CodeOf(err) == core.Corrupt:
			r.Faults = append(r.Faults, err.Error())
			return last, nil
		case err != nil:
			return last, err
		case p.version == 0:
			return last, s.holes(ctx, k, n, r)
		case p.first != last.end() || p.before != last.head:
			r.Faults = append(r.Faults, fmt.Sprintf("part %d of the log does not follow the one before", n))
			return last, nil
		}
		last = p
	}
}

// holes looks past the end for a part that would mean one is missing.
func (s *Server) holes(ctx context.Context, k *keyring, end uint64, r *AuditReport) error {
	var keys []core.Key
	for n := end + 1; n <= end+64; n++ {
		keys = append(keys, k.partKey(n))
	}
	recs, err := s.store.get(ctx, true, keys...)
	if err != nil {
		return err
	}
	for i, rec := range recs {
		if rec.Version > 0 {
			r.Faults = append(r.Faults, fmt.Sprintf("part %d of the log is missing, part %d is there", end, end+1+uint64(i)))
			return nil
		}
	}
	return nil
}
