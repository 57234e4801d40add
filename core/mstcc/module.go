package mstcc

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

// A Module is the terminal component for one user. Its services run one at a
// time: one grant per user (requirement part 10). Create it with Open.
type Module struct {
	cfg     Config
	machine *Machine

	mu      sync.Mutex // one service at a time; also guards what follows
	trust   *mf.TrustRecord
	tries   *tries
	saved   []byte // the counter as it stands on disk; nil = not known
	profile Profile
	interim string // slot that seals the counter while a recovery has no trust record yet
	conn    Escrow
	flow    flow
	closed  bool

	confirming chan struct{} // closed when the last Confirm is through; nil = none
}

// Open loads the terminal's state and runs the self-tests if the module was
// used before. Integrity means a record was changed outside the module; the
// way on is recovery, never a fresh start. The caller closes the Module.
// req: K-16-02, K-17.3-01, K-17.3-02
func Open(ctx context.Context, cfg Config) (*Module, error) {
	if cfg.Rand == nil {
		cfg.Rand = sm.Rand()
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, core.Errorf(core.Environment, "mstcc: open", "state folder: %w", err)
	}
	if err := privateMode(cfg.Dir); err != nil {
		return nil, err
	}
	sweepTemps(cfg.Dir)
	m := &Module{cfg: cfg, profile: cfg.Profile, tries: &tries{}}
	m.machine = NewMachine(func(t Transition) {
		m.emit(Progress{Flow: "state", Text: t.ID + " " + string(t.From) + " → " + string(t.To) + ": " + string(t.Event)})
	})
	if err := m.load(ctx); err != nil {
		return nil, err
	}
	if err := m.settle(ctx); err != nil {
		return nil, err
	}
	if m.trust == nil {
		return m, m.machine.Fire(EvLoad, GuardNeverUsed)
	}
	if err := m.machine.Fire(EvLoad, GuardUsedBefore); err != nil {
		return nil, err
	}
	if _, err := m.tests(ctx); err != nil {
		_ = m.machine.Fire(EvFail, GuardNone)
		return m, err
	}
	return m, m.machine.Fire(EvPass, m.bindingGuard())
}

// load reads trust record, profile and counter. An absent trust record means
// the module was never used; anything unreadable beside one is Integrity.
func (m *Module) load(ctx context.Context) (err error) {
	if m.trust, err = m.loadTrust(ctx); err != nil || m.trust == nil {
		return err
	}
	body, err := m.readLocal(ctx, mf.FileProfile)
	if err != nil {
		return mustExist(err, "profile")
	}
	if m.profile, err = parseProfile(body); err != nil {
		return err
	}
	if body, err = m.readLocal(ctx, mf.FileFails); err != nil {
		return mustExist(err, "try counter")
	}
	m.tries, err = parseTries(body)
	m.saved = body
	return err
}

// mustExist turns NotFound into Integrity: beside a trust record the file
// belongs there, and deleting the counter must not give tries back.
func mustExist(err error, what string) error {
	if errors.Is(err, core.NotFound) {
		return core.Errorf(core.Integrity, "mstcc: open", "the %s is gone: recover with the sheet", what)
	}
	return err
}

// bound reports whether a user is bound: a committed generation exists.
func (m *Module) bound() bool { return m.trust != nil && m.trust.Current != nil }

func (m *Module) bindingGuard() Guard {
	switch {
	case !m.bound():
		return GuardNoUser
	case m.tries.used >= m.profile.Limit:
		return GuardUserLocked
	default:
		return GuardUserOpen
	}
}

// connect returns the open session, dialling on first use.
func (m *Module) connect(ctx context.Context) (Escrow, error) {
	if m.cfg.Binding == nil {
		return nil, core.Errorf(core.State, "mstcc", "not provisioned: run provision with the administrator's file first")
	}
	if m.conn != nil {
		return m.conn, nil
	}
	c, err := m.cfg.Dial(ctx)
	if errors.Is(err, core.Refused) && m.rotating() {
		return m.redialNext(ctx)
	}
	if err != nil {
		return nil, err
	}
	m.conn = proving{c, m, m.cfg.Device}
	return m.conn, nil
}

// State returns the state of the machine.
func (m *Module) State() State { return m.machine.State() }

// UserID returns the bound user's id; ok is false before initialisation.
func (m *Module) UserID() (id protocol.ID, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.bound() {
		return protocol.ID{}, false
	}
	return m.trust.User, true
}

// Close waits for Confirms under way, ends the session and unloads. It holds
// no secret between services, so nothing else is left to wipe.
func (m *Module) Close() error {
	m.take()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	var err error
	if m.conn != nil {
		err = m.conn.Close()
		m.conn = nil
	}
	if s := m.machine.State(); s != Off {
		_ = m.machine.Fire(EvUnload, GuardNone)
	}
	return err
}

// flow numbers and times the steps of one run.
type flow struct {
	name string
	last time.Time
}

func (m *Module) begin(name string) { m.flow = flow{name: name, last: m.cfg.Clock()} }

// step reports a finished step of the flow under way.
func (m *Module) step(n int, text string) {
	now := m.cfg.Clock()
	m.emit(Progress{Flow: m.flow.name, Step: n, Text: text, Took: now.Sub(m.flow.last)})
	m.flow.last = now
}

// entryStep reports a step of opening the keys by its number in clause 7.2.
// Clause 7.3 has no number for it.
func (m *Module) entryStep(n int, text string) {
	if m.flow.name == "7.3" {
		n = 0
	}
	m.step(n, text)
}

func (m *Module) emit(e Progress) {
	if m.cfg.Progress == nil {
		return
	}
	e.State = m.machine.State()
	m.cfg.Progress(e)
}
