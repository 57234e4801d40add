package mstcc

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/mstcc/probes"
	"github.com/keposs/keposs/core/protocol"
)

// Status describes the module. It needs no PPD and shows no CSP; P_M is left
// out because reading it takes a grant.
type Status struct {
	State      State
	User       protocol.ID // zero before initialisation
	Profile    Profile
	Used       uint32 // tries used as this terminal counts
	Alarm      bool
	Epoch      uint64
	MKGen      uint64
	Pending    bool // a change was interrupted; the next service settles it
	Policy     string
	KDF        string
	Anchor     []string               // holders, as id (kind)
	Server     *protocol.StatusAnswer // nil when SS-CC was not asked or did not answer
	ServerErr  error                  // why Server is nil
	OwnPending int                    // tries of ours not yet confirmed
	Foreign    []protocol.HeldTry
	Probes     []probes.Finding // the environment now, by a quick look
}

// Status reports the local state and, if online, SS-CC's view, which may lift
// a lock an administrator released.
// req: K-10.2-07
func (m *Module) Status(ctx context.Context, online bool) (Status, error) {
	m.take()
	defer m.mu.Unlock()
	if m.closed {
		return Status{}, core.Errorf(core.State, "mstcc: status", "the module is closed: open it again")
	}
	st := Status{State: m.machine.State(), Profile: m.profile, Used: m.tries.used, Alarm: m.tries.alarm, OwnPending: len(m.tries.own)}
	st.Probes, _ = m.environment(ctx, true)
	if m.trust == nil {
		if online {
			st.ServerErr = m.lookForOrders(ctx)
			st.State = m.machine.State()
		}
		return st, nil
	}
	st.Pending = m.trust.Pending != nil
	if !m.bound() {
		return st, nil
	}
	st.User, st.Epoch, st.MKGen = m.trust.User, m.trust.Current.Epoch, m.trust.Current.MKGen
	st.KDF = m.trust.Floor.String()
	if !online {
		return st, nil
	}
	conn, err := m.connect(ctx)
	if err != nil {
		st.ServerErr = err
		return st, nil
	}
	ans, err := conn.Status(ctx, protocol.StatusRequest{User: m.trust.User, Seen: m.tries.seen})
	if err != nil {
		st.ServerErr = m.heed(ctx, err)
		st.State = m.machine.State()
		return st, nil
	}
	if err := m.mergeTries(ctx, ans.Tries); err != nil {
		return st, err
	}
	if m.machine.State() == Locked && m.tries.used < m.profile.Limit {
		if err := m.machine.Fire(EvUnlock, GuardUnlockOrder); err != nil {
			return st, err
		}
	}
	st.Server, st.Foreign = &ans, m.tries.foreign(ans.Tries)
	st.State, st.Used, st.Alarm = m.machine.State(), m.tries.used, m.tries.alarm
	if a, err := m.policyFor(ctx); err == nil {
		p := a.checked.Policy
		st.Policy, st.KDF = p.Tree.String(), p.KDF.String()
		for _, h := range p.Anchor {
			st.Anchor = append(st.Anchor, h.ID+" ("+h.Kind.String()+")")
		}
	}
	return st, nil
}

// Unbind ends this device's binding: SS-CC drops the record, the terminal its
// records and secrets. It needs PPD. The module is then in INIT.
// req: K-17.1-08
func (m *Module) Unbind(ctx context.Context, o OpenOptions, p core.Prompter) error {
	return m.remove(ctx, false, o, p)
}

// Deregister cancels the user and ends the module's life: every SSP in memory
// and every secret of the key store is destroyed; state EOL.
// req: K-17.1-08b, K-17.1-09, K-17.7-00
func (m *Module) Deregister(ctx context.Context, o OpenOptions, p core.Prompter) error {
	return m.remove(ctx, true, o, p)
}

func (m *Module) remove(ctx context.Context, deregister bool, o OpenOptions, p core.Prompter) error {
	m.take()
	defer m.mu.Unlock()
	defer m.faulted()
	flow := "unbind"
	if deregister {
		flow = "deregister"
	}
	m.begin(flow)
	a, err := m.enter(ctx, flow+" requested", o, p)
	if err != nil {
		if errors.Is(err, core.Refused) && m.removing() {
			return m.repeatRemoval(ctx, deregister)
		}
		return err
	}
	defer a.wipe()
	if err := m.saveTries(ctx); err != nil {
		return err
	}
	conf, err := a.opened.ConfirmKey()
	if err != nil {
		return err
	}
	defer conf.Wipe()
	b := m.cfg.Binding
	req := protocol.RemoveRequest{User: m.trust.User, Gen: a.checked.Policy.Epoch}
	sig, err := signWith(conf, m.cfg.Rand)(protocol.RemoveMessage(deregister, b.Realm, b.App, req.User, req.Gen, b.Device))
	if err != nil {
		return err
	}
	req.Sig = sig
	call := m.conn.Unbind
	if deregister {
		call = m.conn.Deregister
	}
	if err := writeFile(m.cfg.Dir, removingFile, nil); err != nil {
		return err
	}
	m.cfg.Step.At("remove.start")
	if err := again(ctx, func() error { return call(ctx, req) }); err != nil {
		return err
	}
	m.cfg.Step.At("remove.done")
	return m.finishRemoval(ctx, deregister)
}

// removingFile marks that SS-CC was asked to drop the record.
const removingFile = "removing"

func (m *Module) removing() bool {
	_, err := readFile(m.cfg.Dir, removingFile)
	return err == nil
}

// repeatRemoval finishes an earlier run that was killed after SS-CC dropped the
// record. What SS-CC said of it may have been heeded already.
func (m *Module) repeatRemoval(ctx context.Context, deregister bool) error {
	switch {
	case m.bound():
		return m.finishRemoval(ctx, deregister)
	case deregister && m.machine.State() == Init:
		if err := m.eraseLocal(ctx, true); err != nil {
			return err
		}
		if err := m.machine.Fire(EvDeregister, GuardNone); err != nil {
			return err
		}
	}
	return removeFile(m.cfg.Dir, removingFile)
}

func (m *Module) finishRemoval(ctx context.Context, deregister bool) error {
	if err := m.eraseLocal(ctx, deregister); err != nil {
		return err
	}
	if err := removeFile(m.cfg.Dir, removingFile); err != nil {
		return err
	}
	if deregister {
		return m.machine.Fire(EvDeregister, GuardPPDOrAdmin)
	}
	return m.machine.Fire(EvUnbind, GuardPPDAccepted)
}

// eraseLocal removes records, then the secrets they name. The trust record goes
// last of the records: while it stands, a repeated run knows what to erase.
func (m *Module) eraseLocal(ctx context.Context, all bool) error {
	slots := m.namedSlots()
	for _, kind := range []mf.FileKind{mf.FileJournal, mf.FileTrust} {
		if err := m.dropLocal(kind); err != nil {
			return err
		}
	}
	for _, kind := range []mf.FileKind{mf.FileFails, mf.FileProfile} {
		if err := m.dropLocal(kind); err != nil {
			return err
		}
	}
	for s := range slots {
		if s == "" {
			continue
		}
		if err := m.cfg.Keys.Delete(ctx, s); err != nil {
			return err
		}
	}
	least := uint64(2)
	if all {
		least = 1
	}
	for n := least; n <= 2; n++ {
		if err := m.cfg.Keys.Delete(ctx, DeviceKeyName(n)); err != nil {
			return err
		}
	}
	if all && m.conn != nil { // its device key is gone, also from memory
		_ = m.conn.Close()
		m.conn = nil
	}
	m.trust, m.tries, m.saved, m.profile, m.interim = nil, &tries{}, nil, m.cfg.Profile, ""
	return nil
}

// Zeroise erases everything local without PPD and without SS-CC: the service
// of last resort, from ERROR or any other state (G-7.9-10, F-48). The sealed
// keys at SS-CC are useless without the device secret or a recovery sheet. The
// module is in EOL afterwards, or where it was if it never held a user. It
// returns when everything is erased: that is the status G-7.9-11 asks for.
// req: G-7.9-10, G-7.9-11
func (m *Module) Zeroise(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.eraseLocal(ctx, true); err != nil {
		return err
	}
	if err := Erase(m.cfg.Dir); err != nil {
		return err
	}
	switch m.machine.State() {
	case Init, User, Locked: // whatever was asked for before ends here
		_ = m.machine.Fire(EvHardFault, GuardNone)
	}
	if m.machine.State() == Error {
		return m.machine.Fire(EvZeroise, GuardNone)
	}
	return nil
}

// Erase removes what a module that cannot even be opened left in dir: only
// files this package writes.
func Erase(dir string) error {
	for _, name := range localFiles {
		if err := removeFile(dir, name); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return core.Errorf(core.Internal, "mstcc: erase", "%w", err)
	}
	for _, e := range entries {
		if e.Type() == fs.FileMode(0) && strings.HasPrefix(e.Name(), ".") && strings.Contains(e.Name(), "-") {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
	return nil
}
