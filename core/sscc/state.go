package sscc

import (
	"sync"

	"github.com/keposs/keposs/core"
)

// State is a state of SS-CC (clause 17.3, requirement part 10).
type State string

// The states of both regions. NoOfficer is the officer region at rest.
const (
	Off      State = "OFF"
	Factory  State = "FACTORY"
	SelfTest State = "SELFTEST"
	Init     State = "INIT"
	Sealed   State = "SEALED"
	Serving  State = "SERVING"
	Approved State = "APPROVED"
	Error    State = "ERROR"
	EOL      State = "EOL"

	CSPEntry  State = "CSP-ENTRY"
	Admin     State = "ADMIN"
	Locked    State = "LOCKED"
	NoOfficer State = ""
)

// States lists every state of the table.
func States() []State {
	return []State{Off, Factory, SelfTest, Init, Sealed, CSPEntry, Admin, Locked, Serving, Approved, Error, EOL}
}

// Event moves the machine.
type Event string

// Events of the table.
const (
	EvInstall         Event = "install"
	EvFirstStart      Event = "first-start"
	EvLoad            Event = "load"
	EvPass            Event = "pass"
	EvFail            Event = "fail"
	EvSetPassword     Event = "set-password"
	EvLogin           Event = "login"
	EvPasswordOk      Event = "password-ok"
	EvPasswordBad     Event = "password-bad"
	EvCancel          Event = "cancel"
	EvLogout          Event = "logout"
	EvSeal            Event = "seal"
	EvDecommission    Event = "decommission"
	EvPeerRequest     Event = "peer-request"
	EvDone            Event = "done"
	EvSoftFail        Event = "soft-fail"
	EvHardFault       Event = "hard-fault"
	EvSelfTestRequest Event = "self-test-request"
	EvWaitOver        Event = "wait-over"
	EvReset           Event = "reset"
	EvUnload          Event = "unload"
	EvUninstall       Event = "uninstall"
)

// Guard names the condition a transition needs.
type Guard string

// Guards of the table.
const (
	GuardNone          Guard = ""
	GuardImageSigned   Guard = "image signature valid"
	GuardSetUp         Guard = "set up before"
	GuardNoAdmin       Guard = "no admin password set"
	GuardAdminSet      Guard = "admin set"
	GuardStrong        Guard = "strength rule met, entered twice"
	GuardTriesLeft     Guard = "tries left > 0"
	GuardTriesGone     Guard = "tries left = 0"
	GuardServed        Guard = "serving before"
	GuardSealed        Guard = "sealed before"
	GuardStoreOpen     Guard = "store open"
	GuardConfirmed     Guard = "confirmed"
	GuardAuthenticated Guard = "bound device authenticated"
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

// Machine holds the two regions. APPROVED is entered per request, so many may
// be inside at once: the serving variable shows APPROVED while any is.
type Machine struct {
	mu      sync.Mutex
	serving State
	officer State
	inside  int
	trace   func(Transition)
}

// NewMachine starts in OFF.
func NewMachine(trace func(Transition)) *Machine { return &Machine{serving: Off, trace: trace} }

// State returns the serving region's state.
func (m *Machine) State() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.serving
}

// Officer returns the officer region's state.
func (m *Machine) Officer() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.officer
}

func isOfficer(s State) bool { return s == CSPEntry || s == Admin || s == Locked }

// Fire applies the row for the event: the officer region is asked first, then
// the serving region. No such row is core.State and changes nothing.
func (m *Machine) Fire(e Event, g Guard) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	row, ok := m.find(e, g)
	if !ok {
		return core.Errorf(core.State, "sscc", "%s is not allowed in state %s: wrong state", e, m.describe())
	}
	m.apply(row)
	if m.trace != nil {
		m.trace(row)
	}
	return nil
}

func (m *Machine) describe() string {
	if m.officer == NoOfficer {
		return string(m.serving)
	}
	return string(m.serving) + "/" + string(m.officer)
}

func (m *Machine) find(e Event, g Guard) (Transition, bool) {
	if m.officer != NoOfficer && e != EvPeerRequest {
		if row, ok := lookup(m.officer, e, g); ok {
			return row, true
		}
	}
	if e == EvLogin && m.officer != NoOfficer {
		return Transition{}, false // one officer at a time
	}
	from := m.serving
	if from == Approved && (e == EvPeerRequest || e == EvLogin || e == EvSelfTestRequest) {
		from = Serving // other requests enter beside the one under way
	}
	return lookup(from, e, g)
}

func lookup(s State, e Event, g Guard) (Transition, bool) {
	for _, row := range Table {
		if row.From == s && row.Event == e && row.Guard == g {
			return row, true
		}
	}
	return Transition{}, false
}

func (m *Machine) apply(row Transition) {
	switch {
	case row.ID == "S-14": // logout: the store stays open
		m.officer = NoOfficer
		if m.serving == Sealed {
			m.serving = Serving
		}
	case row.ID == "S-12" || row.ID == "S-13" || row.ID == "S-25" || row.ID == "S-26":
		m.officer = NoOfficer
	case isOfficer(row.To):
		m.officer = row.To
	case row.To == Approved:
		m.inside++
		m.serving = Approved
	case row.From == Approved && row.To == Serving:
		if m.inside--; m.inside == 0 {
			m.serving = Serving
		}
	default:
		m.officer, m.inside, m.serving = NoOfficer, 0, row.To
	}
}

// resume goes back to SERVING after tests passed on demand: the keys were kept,
// so S-05's SEALED and S-08, S-09, S-14 collapse into one step.
func (m *Machine) resume() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.serving == SelfTest {
		m.serving = Serving
	}
}

// endOfficer drops the officer's region without touching the serving one: a
// new login took the session over.
func (m *Machine) endOfficer() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.officer != Admin {
		return core.Errorf(core.State, "sscc", "no officer is logged in: wrong state")
	}
	m.officer = NoOfficer
	return nil
}

// force puts the officer's region into s when the session was opened at
// another replica: the token has just been verified.
func (m *Machine) force(s State) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch m.serving {
	case Sealed, Serving, Approved:
		m.officer = s
		return nil
	}
	return core.Errorf(core.State, "sscc", "not allowed in state %s: wrong state", m.describe())
}
