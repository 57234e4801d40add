package mstcc

import (
	"sync"

	"github.com/keposs/keposs/core"
)

// State is a state of MST-CC (clause 17.3, requirement part 10).
type State string

// The ten states.
const (
	Off      State = "OFF"
	Factory  State = "FACTORY"
	SelfTest State = "SELFTEST"
	Init     State = "INIT"
	User     State = "USER"
	CSPEntry State = "CSP-ENTRY"
	Approved State = "APPROVED"
	Locked   State = "LOCKED"
	Error    State = "ERROR"
	EOL      State = "EOL"
)

// States lists every state, in the order of the table.
func States() []State {
	return []State{Off, Factory, SelfTest, Init, User, CSPEntry, Approved, Locked, Error, EOL}
}

// Event moves the machine.
type Event string

// Events of the table.
const (
	EvInstall         Event = "install"
	EvLoad            Event = "load"
	EvInitRequest     Event = "init-request"
	EvUninstall       Event = "uninstall"
	EvUnload          Event = "unload"
	EvAppIDRevoked    Event = "app-id-revoked"
	EvPass            Event = "pass"
	EvFail            Event = "fail"
	EvNeedPPD         Event = "need-ppd"
	EvInitDone        Event = "init-done"
	EvSoftFail        Event = "soft-fail"
	EvHardFault       Event = "hard-fault"
	EvDeregister      Event = "deregister"
	EvServiceRequest  Event = "service-request"
	EvServiceReady    Event = "service-ready"
	EvSelfTestRequest Event = "self-test-request"
	EvUnbind          Event = "unbind"
	EvEnvChange       Event = "env-change"
	EvPPDOk           Event = "ppd-ok"
	EvPPDBad          Event = "ppd-bad"
	EvCancel          Event = "cancel"
	EvDone            Event = "done"
	EvUnlock          Event = "unlock"
	EvReset           Event = "reset"
	EvZeroise         Event = "zeroise"
)

// Guard names the condition a transition needs; the caller says which holds.
type Guard string

// Guards of the table.
const (
	GuardNone         Guard = ""
	GuardImageSigned  Guard = "image signature valid"
	GuardNeverUsed    Guard = "never used"
	GuardUsedBefore   Guard = "module was used before"
	GuardProvisioned  Guard = "app id and channel key provisioned"
	GuardNoUser       Guard = "no user bound"
	GuardUserOpen     Guard = "user bound, not locked"
	GuardUserLocked   Guard = "user bound, locked"
	GuardPairTested   Guard = "key pair generated, pair test passed"
	GuardAcknowledged Guard = "SS-CC acknowledged the user id, d_M wiped"
	GuardNeedsPPD     Guard = "service needs PPD"
	GuardPPDAccepted  Guard = "PPD accepted for this request"
	GuardNoCSP        Guard = "no CSP used"
	GuardIdle         Guard = "no service running"
	GuardPPDOrAdmin   Guard = "PPD accepted or administrator order"
	GuardLevel2       Guard = "probe turns bad (level 2)"
	GuardReturnUser   Guard = "return state USER"
	GuardReturnInit   Guard = "return state INIT"
	GuardTriesLeft    Guard = "tries left > 0"
	GuardTriesGone    Guard = "tries left = 0, a user is bound"
	GuardUnlockOrder  Guard = "policy satisfied or SS-CC administrator order"
	GuardAdminOrder   Guard = "SS-CC administrator order"
)

// Transition is one row of the table.
type Transition struct {
	ID     string
	From   State
	Event  Event
	Guard  Guard
	To     State
	Action string
}

// Machine holds the state and the grant bit. It is safe for concurrent use.
type Machine struct {
	mu    sync.Mutex
	state State
	grant bool
	trace func(Transition)
}

// NewMachine starts in OFF. trace, if set, hears every transition.
func NewMachine(trace func(Transition)) *Machine { return &Machine{state: Off, trace: trace} }

// State returns the present state.
func (m *Machine) State() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

// Allows is Fire without the transition: State when there is no such row now.
func (m *Machine) Allows(e Event, g Guard) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := find(m.state, e, g); !ok {
		return core.Errorf(core.State, "mstcc", "%s is not allowed in state %s: wrong state", e, m.state)
	}
	return nil
}

// Fire applies the row for (state, e, g). No such row is core.State and
// changes nothing. The grant is given by F-27 and ends with the one service it
// was given for; APPROVED is never entered without it unless no CSP is used.
func (m *Machine) Fire(e Event, g Guard) error {
	m.mu.Lock()
	row, ok := find(m.state, e, g)
	if !ok || row.ID == "F-19" && !m.grant {
		s := m.state
		m.mu.Unlock()
		return core.Errorf(core.State, "mstcc", "%s is not allowed in state %s: wrong state", e, s)
	}
	m.state = row.To
	switch {
	case row.ID == "F-27":
		m.grant = true
	case row.To != Approved:
		m.grant = false
	}
	trace := m.trace
	m.mu.Unlock()
	if trace != nil {
		trace(row)
	}
	return nil
}

// OutputAllowed reports whether the state lets data out. CSP-ENTRY and INIT
// allow only what their flows name; status output is allowed in all but OFF.
// req: G-7.3-02, G-7.3-03
func (m *Machine) OutputAllowed() bool {
	s := m.State()
	return s == User || s == Approved
}

func find(s State, e Event, g Guard) (Transition, bool) {
	for _, row := range Table {
		if row.From == s && row.Event == e && row.Guard == g {
			return row, true
		}
	}
	return Transition{}, false
}
