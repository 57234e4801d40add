package sscc

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/keposs/keposs/core"
)

// RotateKeys draws a new generation of record keys and seals every stored
// record under it while peers are served; then the old generations are
// destroyed. Whatever interrupts it, records stay readable and the next call
// goes on where it stopped. progress, if not nil, hears how many records were
// sealed anew so far.
//
// Other replicas follow when they meet a record of the new generation. With a
// replicated backend the old keys live on for Limits.RotateGrace and a second
// pass, so that no request that began before is cut off.
// req: K-10.1-02
func (s *Server) RotateKeys(ctx context.Context, tok Token, progress func(records int)) error {
	info, err := s.cfg.Backend.Describe(ctx)
	if err != nil {
		return err
	}
	if err := s.asOfficer(ctx, tok, func(*keyring) error { return nil }); err != nil {
		return err
	}
	if err := s.newGeneration(ctx); err != nil {
		return err
	}
	s.cfg.Step.At("rotate.ring")
	done := 0
	count := func() {
		if done++; progress != nil {
			progress(done)
		}
	}
	if err := s.rewrapAll(ctx, tok, count); err != nil {
		return err
	}
	if info.Replicated {
		select {
		case <-time.After(s.cfg.Limits.RotateGrace):
		case <-ctx.Done():
			return core.Errorf(core.Canceled, "sscc: rotate", "stopped before the old keys were destroyed; run it again: %w", ctx.Err())
		}
	}
	if err := s.rewrapAll(ctx, tok, count); err != nil {
		return err
	}
	s.cfg.Step.At("rotate.rewrapped")
	if err := s.retire(ctx); err != nil {
		return err
	}
	return s.asOfficer(ctx, tok, func(*keyring) error {
		return s.audit.record(ctx, event{kind: evRotate, n: uint32(done)})
	})
}

// changeRing stores a changed copy of the ring in force and takes it into use.
// fn returns false when there is nothing to change.
func (s *Server) changeRing(ctx context.Context, fn func(k *keyring) (bool, error)) error {
	changed := false
	err := s.holding(func(*keyring) error {
		return s.editBoot(ctx, func(b *boot) error {
			k, err := openRing(b, s.root)
			if err != nil {
				return err
			}
			defer k.wipe()
			if changed, err = fn(k); err != nil || !changed {
				return err
			}
			k.rev++
			return s.sealRing(b, k, s.root)
		})
	})
	if err != nil || !changed {
		return err
	}
	return s.refresh(ctx)
}

// newGeneration adds one, unless a rotation was interrupted: that one is ended
// first.
func (s *Server) newGeneration(ctx context.Context) error {
	return s.changeRing(ctx, func(k *keyring) (bool, error) {
		if len(k.gens) > 1 {
			return false, nil
		}
		return true, k.addGen(s.cfg.Rand)
	})
}

// retire destroys every generation but the newest.
func (s *Server) retire(ctx context.Context) error {
	return s.changeRing(ctx, func(k *keyring) (bool, error) {
		if len(k.gens) == 1 {
			return false, nil
		}
		for g, keys := range k.gens {
			if g != k.newest {
				keys.wipe()
				delete(k.gens, g)
			}
		}
		return true, nil
	})
}

// refresh takes the stored ring into use when it is another one than this
// replica's: a rotation went on elsewhere.
func (s *Server) refresh(ctx context.Context) error {
	b, err := s.loadBoot(ctx)
	if err != nil {
		return err
	}
	if b == nil || b.guard.ended {
		s.HardFault("the boot record is gone")
		return core.Errorf(core.State, "sscc", "this SS-CC was decommissioned")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil || s.keys.rev == b.rev {
		return nil
	}
	k, err := openRing(b, s.root)
	if err != nil {
		return err
	}
	if err := s.audit.rekey(k); err != nil {
		k.wipe()
		return err
	}
	s.keys.wipe()
	s.keys = k
	return nil
}

// rewrapAll seals every record anew that is not under the newest generation.
func (s *Server) rewrapAll(ctx context.Context, tok Token, count func()) error {
	return s.asOfficer(ctx, tok, func(k *keyring) error {
		_, err := s.scan(ctx, nil, true, func(r core.Record) (bool, error) {
			if ctx.Err() != nil {
				return false, core.Errorf(core.Canceled, "sscc: rotate", "stopped; run it again: %w", ctx.Err())
			}
			for k.stale(r) {
				err := s.rewrap(ctx, k, r)
				if err == nil {
					count()
					break
				}
				if core.CodeOf(err) != core.Conflict && !errors.Is(err, errMoved) {
					return false, err
				}
				recs, err := s.store.get(ctx, false, r.Key)
				if err != nil {
					return false, err
				}
				r = recs[0]
			}
			return true, nil
		})
		return err
	})
}

// stale reports whether a stored record is under an older generation.
func (k *keyring) stale(r core.Record) bool {
	old := func(b []byte) bool {
		return len(b) >= sealOverhead && b[0] == frameVersion && binary.BigEndian.Uint16(b[2:]) != k.newest
	}
	return kindOf(r) != 0 && r.Version > 0 && (old(r.Hot) || old(r.Blob))
}

// rewrap stores one record under the newest generation at its next version;
// Conflict when it changed meanwhile.
func (s *Server) rewrap(ctx context.Context, k *keyring, r core.Record) error {
	of := kindOf(r)
	if of == kindUserHot {
		u, err := s.openUser(nil, k, r)
		if err != nil {
			return err
		}
		plain, err := k.open(kindUserBlob, u.key, u.hot.blobRev, r.Blob)
		if err != nil {
			return err
		}
		b, err := parseBlob(plain)
		if err != nil {
			return err
		}
		defer b.wipe()
		return s.storeUser(ctx, k, u, b)
	}
	m := core.Mutation{Key: r.Key, Expect: r.Version, Op: core.OpPut, ReqID: s.reqID()}
	again := func(of kind, b []byte) ([]byte, error) {
		if len(b) == 0 {
			return nil, nil
		}
		plain, err := k.open(of, r.Key, uint64(r.Version), b)
		if err != nil {
			return nil, err
		}
		return k.seal(s.cfg.Rand, of, r.Key, uint64(r.Version)+1, plain)
	}
	var err error
	if m.Hot, err = again(of, r.Hot); err != nil {
		return err
	}
	if m.Blob, err = again(of.blobKind(), r.Blob); err != nil {
		return err
	}
	_, err = s.store.put(ctx, m)
	return err
}

// blobKind is the kind of the Blob beside a Hot of kind k.
func (k kind) blobKind() kind {
	switch k {
	case kindPending:
		return kindPendBlob
	case kindAudit:
		return kindEvents
	default:
		return k
	}
}

// ringIs is errOldRing when rev is no longer the stored ring's: asked before the
// log begins a part, which no compare-and-set would contradict.
func (s *Server) ringIs(ctx context.Context, rev uint64) error {
	b, err := s.loadBoot(ctx)
	if err == nil && (b == nil || b.rev != rev) {
		err = errOldRing
	}
	return err
}
