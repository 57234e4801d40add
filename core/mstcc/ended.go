package mstcc

import (
	"context"
	"errors"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
)

// heed asks SS-CC, when it refused, how this device stands, and does what the
// administrator ordered: a revoked app ends the module's life (F-05, F-16,
// F-23, F-34, F-39, F-44), as a removed user does (F-22, F-43); an unbound one
// leaves the terminal free for another (F-42). It returns err, or the order as
// Refused. Nothing is erased on a refusal alone, which anybody on the way can
// make up: the answer came through the session.
// req: K-17.1-10, K-17.1-08, K-17.1-09
func (m *Module) heed(ctx context.Context, err error) error {
	if !errors.Is(err, core.Refused) || m.conn == nil {
		return err
	}
	ans, asked := m.standing(ctx)
	if asked != nil {
		return err
	}
	switch order, e := m.obey(ctx, ans); {
	case e != nil:
		return errors.Join(err, e)
	case order != nil:
		return order
	}
	return err
}

func (m *Module) standing(ctx context.Context) (ans protocol.StandingAnswer, err error) {
	var r protocol.StandingRequest
	if m.bound() {
		r.User = m.trust.User
	}
	err = again(ctx, func() error {
		ans, err = m.conn.Standing(ctx, r)
		return err
	})
	return ans, err
}

// obey carries out what the answer orders and names it; nil when it orders
// nothing. The records go before the state changes, so that a crash between is
// made good by the next refusal.
func (m *Module) obey(ctx context.Context, ans protocol.StandingAnswer) (order error, err error) {
	const op = "mstcc"
	switch {
	case ans.Revoked:
		if err := m.eraseLocal(ctx, true); err != nil {
			return nil, err
		}
		return core.Errorf(core.Refused, op, "the administrator revoked this app: everything here is erased and the terminal's life has ended"),
			m.machine.Fire(EvAppIDRevoked, GuardNone)
	case !m.bound():
		return nil, nil
	case ans.User == protocol.KeptRemoved:
		if err := m.eraseLocal(ctx, true); err != nil {
			return nil, err
		}
		m.leaveCSPEntry()
		return core.Errorf(core.Refused, op, "the administrator removed this user: everything here is erased and the terminal's life has ended"),
			m.machine.Fire(EvDeregister, GuardPPDOrAdmin)
	case ans.User == protocol.KeptUnbound:
		if err := m.eraseLocal(ctx, false); err != nil {
			return nil, err
		}
		m.leaveCSPEntry()
		return core.Errorf(core.Refused, op, "the administrator unbound this user: run init for a new one"), m.unbound(ctx)
	}
	return nil, nil
}

// leaveCSPEntry ends an entry or service before an order that has rows from
// USER and LOCKED only.
func (m *Module) leaveCSPEntry() {
	switch m.machine.State() {
	case CSPEntry:
		_ = m.machine.Fire(EvCancel, GuardReturnUser)
	case Approved:
		_ = m.machine.Fire(EvSoftFail, GuardNone)
	}
}

// unbound leads to INIT: from LOCKED by the order (F-42); from USER through the
// self-tests, as a start without a user does (F-20, F-06).
func (m *Module) unbound(ctx context.Context) error {
	if m.machine.State() == Locked {
		return m.machine.Fire(EvUnbind, GuardAdminOrder)
	}
	if err := m.machine.Fire(EvSelfTestRequest, GuardIdle); err != nil {
		return err
	}
	if _, err := m.tests(ctx); err != nil {
		_ = m.machine.Fire(EvFail, GuardNone)
		return err
	}
	return m.machine.Fire(EvPass, GuardNoUser)
}

// lookForOrders asks SS-CC before a user is bound, when the app wants to know:
// nothing else would tell a terminal without a user that its app was revoked.
func (m *Module) lookForOrders(ctx context.Context) error {
	if s := m.machine.State(); m.cfg.Binding == nil || s != Factory && s != Init {
		return nil
	}
	if _, err := m.connect(ctx); err != nil {
		return err
	}
	ans, err := m.standing(ctx)
	if err != nil {
		return err
	}
	order, err := m.obey(ctx, ans)
	return errors.Join(order, err)
}
