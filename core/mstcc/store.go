package mstcc

import (
	"context"
	"errors"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

// retries bounds how often one idempotent request is repeated in place.
const retries = 3

// store hands a sealed generation to SS-CC: pending slot, Prepare, journal,
// Commit, promotion. Wherever it stops, the next run finds exactly one usable
// state: before the journal nothing was committed; after it the Commit is
// repeated (clause 7.1(8)-(9), K-7.1-D1, K-17.1-D1).
func (m *Module) store(ctx context.Context, conn Escrow, g *generation) (protocol.ID, error) {
	var none protocol.ID
	var idem protocol.ID
	if _, err := m.cfg.Rand.Read(idem[:]); err != nil {
		return none, core.Errorf(core.Internal, "mstcc: store", "%w", err)
	}
	proof, err := g.signer(protocol.CommitMessage(m.commitFields(g, idem)))
	if err != nil {
		return none, err
	}
	g.sealed.Confirm.Wipe()
	m.cfg.Step.At("store.start")
	if err := m.savePending(ctx, g); err != nil {
		return none, err
	}
	m.cfg.Step.At("store.pending")
	prep := protocol.PrepareRequest{
		Init: g.init, User: g.user, OldGen: g.oldGen, NewGen: g.sealed.Slot.Epoch, Idem: idem,
		Policy: g.sealed.Policy, Sealed: g.sealed.Blob, Pubs: g.sealed.Slot.Pubs, OPRFKey: g.sealed.OPRFKey.Bytes(),
	}
	if err := again(ctx, func() error { _, err := conn.Prepare(ctx, prep); return err }); err != nil {
		return none, err
	}
	m.step(8, "sealed keys sent to SS-CC")
	m.cfg.Step.At("store.prepared")
	j := &journal{init: g.init, user: g.user, idem: idem, newGen: g.sealed.Slot.Epoch, policy: g.sealed.Slot.Policy, sealed: sm.SM3(g.sealed.Blob), proof: proof}
	if err := m.writeLocal(ctx, mf.FileJournal, m.slot(), j.marshal()); err != nil {
		return none, err
	}
	m.cfg.Step.At("store.journal")
	return m.commit(ctx, conn, j)
}

func (m *Module) commitFields(g *generation, idem protocol.ID) protocol.Commit {
	return protocol.Commit{
		Realm: m.cfg.Binding.Realm, App: m.cfg.Binding.App, User: g.user, Idem: idem,
		OldGen: g.oldGen, NewGen: g.sealed.Slot.Epoch,
		Policy: g.sealed.Slot.Policy, Sealed: sm.SM3(g.sealed.Blob), Pubs: sm.SM3(g.sealed.Slot.Pubs.Encode()),
		OPRFKey: sm.SM3(g.sealed.OPRFKey.Bytes()), Device: g.device,
	}
}

// savePending stores the device secret of the new generation, then, at a first
// initialisation, profile and counter, and last the trust record that makes
// them count. A secret the record no longer names is deleted afterwards.
func (m *Module) savePending(ctx context.Context, g *generation) error {
	slot := g.sealed.Slot.Secret
	if !g.rotates {
		// What a revoke that came to nothing left must not become the device key.
		if err := m.cfg.Keys.Delete(ctx, DeviceKeyName(2)); err != nil {
			return err
		}
	}
	if g.secret != nil {
		if err := m.cfg.Keys.Store(ctx, slot, g.secret); err != nil {
			return err
		}
		m.cfg.Step.At("store.secret")
	}
	pending := g.sealed.Slot
	next := &mf.TrustRecord{
		User: g.user, Realm: m.cfg.Binding.Realm, Server: m.cfg.Binding.Server.Compressed(),
		Floor: g.floor, Pending: &pending,
	}
	sealSlot, old := slot, ""
	if m.bound() {
		next.Current = m.trust.Current
		sealSlot = m.trust.Current.Secret
	}
	if m.trust != nil && m.trust.Pending != nil {
		old = m.trust.Pending.Secret
	}
	if !m.bound() {
		if g.init {
			m.tries = &tries{}
		}
		if err := m.writeLocal(ctx, mf.FileProfile, slot, m.profile.marshal()); err != nil {
			return err
		}
		if err := m.writeTries(ctx, slot); err != nil {
			return err
		}
	}
	if err := m.saveTrust(ctx, next, sealSlot); err != nil {
		return err
	}
	if old != "" && old != slot && old != sealSlot {
		return m.cfg.Keys.Delete(ctx, old)
	}
	return nil
}

// commit repeats until SS-CC has answered, then promotes the pending slot.
func (m *Module) commit(ctx context.Context, conn Escrow, j *journal) (protocol.ID, error) {
	var ans protocol.CommitAnswer
	once := func() (err error) {
		ans, err = conn.Commit(ctx, protocol.CommitRequest{User: j.user, Idem: j.idem, Proof: j.proof})
		return err
	}
	err := again(ctx, once)
	if errors.Is(err, core.Refused) && m.rotating() {
		// SS-CC may know the device by its new key only: an earlier Commit was
		// applied and its answer lost.
		if conn, err = m.redialNext(ctx); err == nil {
			err = again(ctx, once)
		}
	}
	if err != nil {
		return protocol.ID{}, err
	}
	m.step(9, "SS-CC stored the sealed keys and made the user id")
	m.cfg.Step.At("store.committed")
	return ans.User, m.promote(ctx, ans.User)
}

// promote makes the pending slot current, moves the local files to its device
// secret, and deletes what only the old generation used.
func (m *Module) promote(ctx context.Context, user protocol.ID) error {
	if m.trust.Pending == nil {
		return m.finishPromotion(ctx)
	}
	oldSecret := ""
	if m.trust.Current != nil && m.trust.Current.Secret != m.trust.Pending.Secret {
		oldSecret = m.trust.Current.Secret
	}
	next := *m.trust
	next.User, next.Current, next.Pending = user, m.trust.Pending, nil
	slot := next.Current.Secret
	if oldSecret != "" {
		// The two files are readable under either secret until the old is gone.
		if err := m.writeLocal(ctx, mf.FileProfile, slot, m.profile.marshal()); err != nil {
			return err
		}
		if err := m.writeTries(ctx, slot); err != nil {
			return err
		}
	}
	if err := m.saveTrust(ctx, &next, slot); err != nil {
		return err
	}
	m.cfg.Step.At("store.promoted")
	return m.finishPromotion(ctx)
}

// finishPromotion makes the device key of a revoke the one in use, removes the
// journal and deletes the secrets no generation names. It may be repeated: while
// the journal stands, a crash in between is finished by settle.
func (m *Module) finishPromotion(ctx context.Context) error {
	moved, err := m.moveDeviceKey(ctx)
	if err != nil {
		return err
	}
	if moved {
		m.cfg.Step.At("store.rekeyed")
	}
	if err := m.dropLocal(mf.FileJournal); err != nil {
		return err
	}
	m.interim = ""
	return m.sweepSecrets(ctx)
}

// resumeInit repeats the Commit of an initialisation a crash interrupted. nil
// without an error means there is nothing to resume: start over.
// first tells an initialisation from a recovery: each finishes only its own.
func (m *Module) resumeInit(ctx context.Context, conn Escrow, first bool) (*InitResult, error) {
	if m.trust == nil || m.bound() {
		return nil, nil
	}
	j, err := m.loadJournal(ctx)
	if err != nil {
		return nil, err
	}
	if j != nil && j.init != first {
		return nil, core.Errorf(core.State, "mstcc", "another command was interrupted here after SS-CC had stored: run it again first (%s)", map[bool]string{true: "init", false: "recover"}[j.init])
	}
	user, ok, err := m.resume(ctx, conn)
	if err != nil || !ok {
		return nil, err
	}
	res := &InitResult{User: user, Resumed: true}
	return res, m.fillPubs(res)
}

// resume repeats a journalled Commit. ok is false when there is no journal or
// SS-CC no longer holds what it prepared: nothing was committed then.
func (m *Module) resume(ctx context.Context, conn Escrow) (user protocol.ID, ok bool, err error) {
	j, err := m.loadJournal(ctx)
	if j == nil || err != nil {
		return user, false, err
	}
	if m.trust.Pending == nil || m.trust.Pending.Policy != j.policy {
		// Promoted already: the crash came between promotion and this removal.
		return m.trust.User, m.bound(), m.finishPromotion(ctx)
	}
	user, err = m.commit(ctx, conn, j)
	switch core.CodeOf(err) {
	case core.Unknown:
		return user, true, nil
	case core.NotFound, core.Refused, core.Conflict, core.Invalid:
		// SS-CC holds nothing prepared. The pending slot stays: should the
		// policy it serves turn out to be that one, the next open promotes it.
		return user, false, m.dropLocal(mf.FileJournal)
	default:
		return user, false, err
	}
}

// loadJournal returns nil when there is none.
func (m *Module) loadJournal(ctx context.Context) (*journal, error) {
	body, err := m.readLocal(ctx, mf.FileJournal)
	if errors.Is(err, core.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseJournal(body)
}

// again repeats an idempotent request while its fate is unknown or it was
// certainly not applied.
func again(ctx context.Context, do func() error) error {
	var err error
	unsure := false // an earlier sending may have been applied
	for range retries {
		err = do()
		c := core.CodeOf(err)
		unsure = unsure || c == core.Indeterminate
		if c != core.Unavailable && c != core.Indeterminate || ctx.Err() != nil {
			break
		}
	}
	switch core.CodeOf(err) {
	case core.Unavailable, core.Throttled, core.State:
		if unsure { // this sending was not applied; the one before, who knows
			return core.Errorf(core.Indeterminate, "mstcc", "it may have been applied; run the same command again: %w", err)
		}
	}
	return err
}
