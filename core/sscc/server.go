package sscc

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/oprf"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// A Server is one replica of SS-CC. Make it with New, begin with Start. All
// methods are safe for concurrent use.
type Server struct {
	cfg     Config
	store   *store
	machine *Machine
	rates   *rates
	blobs   *blobCache
	audit   *auditor

	// mu is held for reading during a request, for writing while keys come or
	// go, so that no key is wiped under a request.
	mu   sync.RWMutex
	keys *keyring
	root *secret.Buffer
	// wasServing is the serving region before the officer came.
	wasServing atomic.Bool
	// freeze is the realm's freeze count as of version stateSeen of its state.
	freeze    atomic.Uint32
	stateSeen atomic.Uint64
	now       func() time.Time
	users     locks
}

// New checks c and returns a Server in OFF.
func New(c Config) (*Server, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: c, store: newStore(c.Backend), now: c.Clock}
	s.machine = NewMachine(func(t Transition) {
		c.Logger.Debug("state", "row", t.ID, "from", string(t.From), "event", string(t.Event), "to", string(t.To))
	})
	s.rates = newRates(c.Limits, c.Clock)
	s.blobs = newBlobCache(4096)
	s.audit = newAuditor(s)
	return s, nil
}

// State returns the serving region's state.
func (s *Server) State() State { return s.machine.State() }

// Officer returns the officer region's state.
func (s *Server) Officer() State { return s.machine.Officer() }

// Realm returns who this SS-CC is; ok is false before set-up.
func (s *Server) Realm(ctx context.Context) (realm protocol.ID, identity sm.PublicKey, ok bool, err error) {
	b, err := s.loadBoot(ctx)
	if err != nil || b == nil || b.guard.ended {
		return realm, identity, false, err
	}
	return b.realm, b.identity, true, nil
}

// reqID draws a request id. The system's generator does not fail once it has
// been seeded; a failure is a hard fault and leaves the id zero, which a
// backend treats as no id.
func (s *Server) reqID() (id core.ReqID) {
	if _, err := io.ReadFull(s.cfg.Rand, id[:]); err != nil {
		s.HardFault("random bytes")
		return core.ReqID{}
	}
	return id
}

func (s *Server) newID() (id protocol.ID, err error) {
	if _, err = io.ReadFull(s.cfg.Rand, id[:]); err != nil {
		return id, core.Errorf(core.Internal, "sscc", "random bytes: %w", err)
	}
	return id, nil
}

// Start runs the pre-operational tests and leaves OFF for INIT or SEALED
// (S-01..S-06). A failed test leaves ERROR.
func (s *Server) Start(ctx context.Context) error {
	b, err := s.loadBoot(ctx)
	if err != nil {
		return err
	}
	if b != nil && b.guard.ended {
		return core.Errorf(core.State, "sscc: start", "this SS-CC was decommissioned: its records cannot be opened again")
	}
	if b != nil {
		err = s.machine.Fire(EvLoad, GuardSetUp)
	} else if err = s.machine.Fire(EvInstall, GuardImageSigned); err == nil {
		err = s.machine.Fire(EvFirstStart, GuardNone)
	}
	if err != nil {
		return err
	}
	return s.selfTest(ctx, b != nil)
}

// SelfTest runs the tests again on demand (S-22) while peers are told to wait.
// Keys stay; without an error serving resumes at once.
func (s *Server) SelfTest(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.machine.Fire(EvSelfTestRequest, GuardNone); err != nil {
		return err
	}
	if err := s.runTests(ctx); err != nil {
		s.wipeLocked()
		_ = s.machine.Fire(EvFail, GuardNone)
		return err
	}
	s.machine.resume()
	return nil
}

func (s *Server) selfTest(ctx context.Context, setUp bool) error {
	if err := s.runTests(ctx); err != nil {
		_ = s.machine.Fire(EvFail, GuardNone)
		return err
	}
	if setUp {
		return s.machine.Fire(EvPass, GuardAdminSet)
	}
	return s.machine.Fire(EvPass, GuardNoAdmin)
}

func (s *Server) runTests(ctx context.Context) error {
	for _, k := range append(sm.SelfTests(), oprf.SelfTest()) {
		if err := k.Run(); err != nil {
			return core.Errorf(core.Integrity, "sscc: self-test", "%s: %w", k.Name, err)
		}
	}
	for _, t := range s.cfg.SelfTests {
		if err := t.Run(ctx); err != nil {
			return core.Errorf(core.Integrity, "sscc: self-test", "%s: %w", t.Name, err)
		}
	}
	return nil
}

// Reset leaves ERROR through the self-tests (S-27).
func (s *Server) Reset(ctx context.Context) error {
	if err := s.machine.Fire(EvReset, GuardNone); err != nil {
		return err
	}
	b, err := s.loadBoot(ctx)
	if err != nil {
		_ = s.machine.Fire(EvFail, GuardNone)
		return err
	}
	return s.selfTest(ctx, b != nil)
}

// HardFault wipes every key and leaves ERROR as the only state (S-21, S-23,
// S-24). what is logged.
func (s *Server) HardFault(what string) {
	s.cfg.Logger.Error("hard fault", "what", what)
	if s.machine.Fire(EvHardFault, GuardNone) == nil {
		go func() { // the faulting request itself holds mu
			s.audit.note(context.Background(), event{kind: evFault})
			s.wipe()
		}()
	}
}

// Close unloads: waits for requests under way, writes what the audit log still
// holds, wipes the keys. The backend stays open.
func (s *Server) Close() error {
	_ = s.machine.Fire(EvUnload, GuardNone)
	s.wipe()
	s.audit.close()
	return nil
}

// wipe waits for the requests under way, wipes every key and closes the log.
func (s *Server) wipe() {
	s.mu.Lock()
	s.wipeLocked()
	s.mu.Unlock()
	s.audit.rest()
}

func (s *Server) wipeLocked() {
	s.keys.wipe()
	s.keys = nil
	s.root.Wipe()
	s.root = nil
	s.blobs.clear()
	s.stateSeen.Store(0)
}

// holding runs fn with the key ring, which stays valid until fn returns. State
// while SEALED. When fn meets a record of a newer ring, that ring is taken into
// use and fn runs again: a rotation went on at another replica.
func (s *Server) holding(fn func(k *keyring) error) error {
	err := s.hold(fn)
	if !errors.Is(err, errOldRing) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	if err := s.refresh(ctx); err != nil {
		return err
	}
	return s.hold(fn)
}

func (s *Server) hold(fn func(k *keyring) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.keys == nil {
		return core.Errorf(core.State, "sscc", "SS-CC is sealed: the administrator unseals it")
	}
	return fn(s.keys)
}

// Health tells whether peers can be served now.
func (s *Server) Health(ctx context.Context) error {
	switch st := s.machine.State(); st {
	case Serving, Approved:
	default:
		return core.Errorf(core.State, "sscc: health", "state %s", st)
	}
	if h, ok := s.cfg.Backend.(core.Healther); ok {
		return h.Health(ctx)
	}
	_, err := s.store.get(ctx, true, bootKey())
	return err
}

// locks serialises the requests of one user inside this replica. It is no
// truth, only good manners: without it they would lose compare-and-sets to
// each other. There are many, so that few users share one: whoever holds a lock
// waits for the disk.
type locks [4096]sync.Mutex

func (l *locks) of(key core.Key) *sync.Mutex { return &l[binary.BigEndian.Uint16(key)&4095] }
