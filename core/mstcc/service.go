package mstcc

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mf"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// confirmTimeout bounds the background Confirm and so Close.
const confirmTimeout = 5 * time.Second

// Outcome tells how a service ran. It holds no secret.
type Outcome struct {
	Approved bool               // approved functions and images only (G-7.2-02)
	Foreign  []protocol.HeldTry // tries another holder of the device key made
	Alarm    bool               // SS-CC's counter once failed to chain
}

// Sign runs clause 7.2: one signature over message under the user id id
// (nil = DefaultUserID). The message is signed, never a digest; an id that
// begins with "KEPOSS-" is Usage.
// req: K-7.2-01, K-7.2-05, K-7.2-06, K-7.2-07, K-7.2-08, K-10.2-03
func (m *Module) Sign(ctx context.Context, message, id []byte, o OpenOptions, p core.Prompter) (sig [64]byte, out Outcome, err error) {
	sigs, out, err := m.SignBatch(ctx, [][]byte{message}, id, o, p)
	if err != nil {
		return sig, out, err
	}
	return sigs[0], out, nil
}

// MaxBatch bounds the messages of one SignBatch.
const MaxBatch = 10_000

// SignBatch signs several messages under one PPD entry. Nothing is cached: the
// next call asks again (K-7.2-D2).
// req: K-7.2-D2
func (m *Module) SignBatch(ctx context.Context, messages [][]byte, id []byte, o OpenOptions, p core.Prompter) ([][64]byte, Outcome, error) {
	const op = "mstcc: sign"
	if id == nil {
		id = []byte(protocol.DefaultUserID)
	}
	switch {
	case len(messages) == 0 || len(messages) > MaxBatch:
		return nil, Outcome{}, core.Errorf(core.Usage, op, "%d messages, want 1 to %d", len(messages), MaxBatch)
	case strings.HasPrefix(string(id), protocol.ReservedIDPrefix):
		return nil, Outcome{}, core.Errorf(core.Usage, op, "ids beginning %s are the module's own", protocol.ReservedIDPrefix)
	case len(id) > 8191:
		return nil, Outcome{}, core.Errorf(core.TooLarge, op, "id of %d bytes, at most 8191", len(id))
	}
	sigs := make([][64]byte, len(messages))
	out, err := m.service(ctx, "7.2", "signature requested", o, p, func(b *mf.Bundle) error {
		for i, msg := range messages {
			var err error
			if sigs[i], err = b.Sign.Sign(m.cfg.Rand, msg, id); err != nil {
				return err
			}
		}
		m.step(6, "signed with d_M")
		return nil
	})
	if err != nil {
		return nil, out, err
	}
	return sigs, out, nil
}

// Decrypt opens an SM2 ciphertext (C1C3C2, raw) with the user's encryption
// key. The caller owns the plaintext.
// req: K-7.D-DEC, K-10.2-06
func (m *Module) Decrypt(ctx context.Context, ciphertext []byte, o OpenOptions, p core.Prompter) (*secret.Buffer, Outcome, error) {
	var plain *secret.Buffer
	out, err := m.service(ctx, "decrypt", "decryption requested", o, p, func(b *mf.Bundle) (err error) {
		plain, err = b.Enc.Decrypt(ciphertext)
		if err == nil {
			m.step(6, "decrypted with the encryption key")
		}
		return err
	})
	if err != nil {
		plain.Wipe()
		return nil, out, err
	}
	return plain, out, nil
}

// Unseal is Decrypt for callers that must do more than one thing with the
// private key under one entry, such as opening an envelope: fn gets the
// decrypter for the length of the call.
func (m *Module) Unseal(ctx context.Context, o OpenOptions, p core.Prompter, fn func(decrypt func([]byte) (*secret.Buffer, error)) error) (Outcome, error) {
	return m.service(ctx, "decrypt", "decryption requested", o, p, func(b *mf.Bundle) error {
		defer m.step(6, "decrypted with the encryption key")
		return fn(b.Enc.Decrypt)
	})
}

// Verify runs clause 7.3 with the key the caller gives. The profile decides
// whether PPD is asked for first: strict by default, where p must be
// set; open needs no entry and no connection.
// req: K-7.3-01, K-7.3-02, K-7.3-03, K-7.3-D1, K-10.2-04
func (m *Module) Verify(ctx context.Context, pub sm.PublicKey, message, id []byte, sig [64]byte, o OpenOptions, p core.Prompter) (bool, Outcome, error) {
	if id == nil {
		id = []byte(protocol.DefaultUserID)
	}
	var ok bool
	check := func() {
		ok = sm.Verify(pub, message, id, sig)
		m.step(2, "signature checked")
	}
	if !m.profile.VerifyOpen {
		if p == nil {
			return false, Outcome{}, core.Errorf(core.Usage, "mstcc: verify", "the profile asks for PPD before verify: give a prompter, or initialise with open verify")
		}
		out, err := m.service(ctx, "7.3", "verification requested", o, p, func(*mf.Bundle) error { check(); return nil })
		return ok, out, err
	}
	out, err := m.public("7.3", "verification requested", check)
	return ok, out, err
}

// Encrypt runs seal, which encrypts to a public key: a service without CSP and
// so without PPD, but one of the module, so only a bound, unlocked
// module in a state that lets data out does it.
// req: K-7.D-ENC, K-10.2-05, K-7.1-00, G-7.3-02
func (m *Module) Encrypt(seal func(rand io.Reader) error) (Outcome, error) {
	var err error
	out, ferr := m.public("encrypt", "encryption requested", func() { err = seal(m.cfg.Rand) })
	return out, errors.Join(ferr, err)
}

// public runs a service that uses no CSP: no entry, no grant, no connection.
// In LOCKED, ERROR and every other state but USER it is State.
func (m *Module) public(flow, text string, do func()) (Outcome, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.faulted()
	if !m.bound() {
		return Outcome{}, core.Errorf(core.State, "mstcc", "not initialised: run init first")
	}
	m.begin(flow)
	if err := m.machine.Fire(EvServiceReady, GuardNoCSP); err != nil {
		return Outcome{}, err
	}
	m.step(1, text)
	do()
	err := m.machine.Fire(EvDone, GuardNone)
	m.step(3, "result returned")
	return Outcome{Approved: m.cfg.Approved}, err
}

// take locks the module once no Confirm is under way: services in quick
// succession must not fill SS-CC's counter with tries that are as good as
// confirmed. The wait is bounded by confirmTimeout.
func (m *Module) take() {
	for {
		m.mu.Lock()
		done := m.confirming
		if done == nil {
			return
		}
		select {
		case <-done:
			m.confirming = nil
			return
		default:
		}
		m.mu.Unlock()
		<-done
	}
}

// service runs one approved service under one PPD entry: USER → CSP-ENTRY →
// USER with a grant → APPROVED → USER.
func (m *Module) service(ctx context.Context, flow, text string, o OpenOptions, p core.Prompter, use func(*mf.Bundle) error) (out Outcome, err error) {
	m.take()
	defer m.mu.Unlock()
	defer m.faulted()
	m.begin(flow)
	a, err := m.enter(ctx, text, o, p)
	if err != nil {
		return m.outcome(a), err
	}
	defer a.wipe()
	later := false // the Confirm makes the counter durable
	defer func() {
		if !later {
			err = errors.Join(err, m.saveTries(ctx))
		}
	}()
	out = m.outcome(a)
	if err := m.machine.Fire(EvServiceReady, GuardPPDAccepted); err != nil {
		return out, err
	}
	runErr := m.run(a, use)
	// What was entered was right, also where what it should serve fails: damaged
	// sealed keys, an altered ciphertext. Such a try must not stay counted.
	conf, err := a.opened.ConfirmKey()
	if err == nil {
		later, err = m.queueConfirm(a, conf)
	}
	a.wipe()
	if runErr != nil {
		return out, runErr
	}
	if err != nil {
		_ = m.machine.Fire(EvHardFault, GuardNone)
		return out, err
	}
	m.entryStep(7, "private keys and MK wiped")
	if err := m.machine.Fire(EvDone, GuardNone); err != nil {
		return out, err
	}
	last := 8
	if flow == "7.3" {
		last = 3
	}
	m.step(last, "result returned")
	return out, nil
}

// run opens the sealed keys and uses them. The bundle is wiped on every path,
// a panic in use included.
func (m *Module) run(a *attempt, use func(*mf.Bundle) error) error {
	b, err := a.opened.OpenBlob(a.sealed)
	if err != nil {
		// Not a wrong factor: the policy's mac was right, so SS-CC's blob is not.
		_ = m.machine.Fire(EvSoftFail, GuardNone)
		return err
	}
	defer b.Wipe()
	m.entryStep(5, "MK derived, private keys opened")
	if err = use(b); err != nil {
		_ = m.machine.Fire(EvSoftFail, GuardNone)
	}
	return err
}

// enter runs CSP-ENTRY: policy check, capture, counted try, derive. On success
// the machine is in USER with a grant, and the counter is back at zero in
// memory only: the caller makes that durable. Until then a crash leaves the
// higher count.
func (m *Module) enter(ctx context.Context, text string, o OpenOptions, p core.Prompter) (*attempt, error) {
	return m.enterThen(ctx, text, o, p, nil)
}

// enterThen is enter for services that take further PPD, or work with RK,
// before CSP-ENTRY ends: then runs with the opened policy, its error ends the
// request without a grant. The factors entered are kept for it.
func (m *Module) enterThen(ctx context.Context, text string, o OpenOptions, p core.Prompter, then func(*attempt) error) (_ *attempt, err error) {
	if !m.bound() {
		return nil, core.Errorf(core.State, "mstcc", "not initialised: run init first")
	}
	if p == nil {
		return nil, core.Errorf(core.Usage, "mstcc", "a service needs a prompter for PPD")
	}
	if m.machine.State() == Locked {
		if err := m.tryUnlock(ctx); err != nil {
			return nil, err
		}
	}
	if err := m.machine.Allows(EvServiceRequest, GuardNeedsPPD); err != nil {
		return nil, err
	}
	if err := m.surroundings(ctx); err != nil {
		return nil, err
	}
	if err := m.machine.Fire(EvServiceRequest, GuardNeedsPPD); err != nil {
		return nil, err
	}
	m.step(1, text)
	var a *attempt
	entered := false
	defer func() {
		if !entered { // also by a panic
			a.wipeIfAny()
		}
		if err != nil {
			err = m.leaveEntry(m.heed(ctx, err))
		}
	}()
	if a, err = m.policyFor(ctx); err != nil {
		return a, err
	}
	a.keep = then != nil
	if err = m.capture(ctx, a, o, p); err != nil {
		return a, err
	}
	m.entryStep(2, "PPD collected")
	if err = m.derive(ctx, a); err != nil {
		err = errors.Join(err, m.saveTries(ctx))
		return a, err
	}
	m.tries.used = 0
	if then != nil {
		if err = m.saveTries(ctx); err != nil {
			return a, err
		}
		a.closeCaptures()
		if err = then(a); err != nil {
			return a, err
		}
	}
	if err = m.machine.Fire(EvPPDOk, GuardReturnUser); err != nil {
		return a, err
	}
	entered = true
	return a, nil
}

func (a *attempt) wipeIfAny() {
	if a != nil {
		a.wipe()
	}
}

// leaveEntry fires the row that fits the error: a wrong factor counts, all else
// is a cancel that leaves no grant.
func (m *Module) leaveEntry(err error) error {
	if m.machine.State() != CSPEntry {
		return err
	}
	switch {
	case errors.Is(err, core.Auth) && m.tries.used < m.profile.Limit:
		// F-29 stays in CSP-ENTRY for another entry; this API ends the request
		// instead, so the person's next request starts a new one.
		_ = m.machine.Fire(EvPPDBad, GuardTriesLeft)
		_ = m.machine.Fire(EvCancel, GuardReturnUser)
	case errors.Is(err, core.Auth), errors.Is(err, core.Locked):
		_ = m.machine.Fire(EvPPDBad, GuardTriesGone)
	case errors.Is(err, core.Internal):
		_ = m.machine.Fire(EvHardFault, GuardNone)
	default:
		_ = m.machine.Fire(EvCancel, GuardReturnUser)
	}
	return err
}

// tryUnlock asks SS-CC whether an administrator unlocked since (F-41, X-14).
func (m *Module) tryUnlock(ctx context.Context) error {
	conn, err := m.connect(ctx)
	if err != nil {
		return err
	}
	ans, err := conn.Status(ctx, protocol.StatusRequest{User: m.trust.User, Seen: m.tries.seen})
	if err != nil {
		return m.heed(ctx, err)
	}
	if err := m.mergeTries(ctx, ans.Tries); err != nil {
		return err
	}
	if m.tries.used >= m.profile.Limit {
		return core.Errorf(core.Locked, "mstcc", "%d of %d tries are used up: ask the administrator to unlock this user", m.tries.used, m.profile.Limit)
	}
	return m.machine.Fire(EvUnlock, GuardUnlockOrder)
}

// queueConfirm proves success to SS-CC in the background: our own held tries
// are forgiven. A Confirm that does not arrive is made good by the next success.
// queued tells that the counter is made durable on the way.
func (m *Module) queueConfirm(a *attempt, conf *sm.PrivateKey) (queued bool, err error) {
	defer conf.Wipe()
	req, err := m.confirmRequest(a, conf)
	if err != nil || len(req.Entries) == 0 {
		return false, err
	}
	conn, done := m.conn, make(chan struct{})
	m.confirming = done
	go func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(context.Background(), confirmTimeout)
		defer cancel()
		err := again(ctx, func() error { _, err := conn.Confirm(ctx, req); return err })
		m.mu.Lock()
		defer m.mu.Unlock()
		if !m.bound() {
			return
		}
		if err == nil {
			m.tries.dropEntries(req.Entries)
		}
		// Unsaved, the count stays higher and kept tags cost space, until the
		// next success.
		_ = m.saveTries(context.WithoutCancel(ctx))
	}()
	return true, nil
}

// confirmRequest signs for our own held tries; no entries when there are none.
func (m *Module) confirmRequest(a *attempt, conf *sm.PrivateKey) (protocol.ConfirmRequest, error) {
	req := protocol.ConfirmRequest{User: a.user, Gen: a.checked.Policy.Epoch, Entries: m.tries.confirmable(a.after)}
	if len(req.Entries) == 0 {
		return req, nil
	}
	b := m.cfg.Binding
	sig, err := signWith(conf, m.cfg.Rand)(protocol.ConfirmMessage(b.Realm, b.App, req.User, req.Gen, req.Entries))
	req.Sig = sig
	return req, err
}

// confirmNow is queueConfirm for a change, which needs its tries forgiven
// before it makes more or commits another generation.
func (m *Module) confirmNow(ctx context.Context, a *attempt) error {
	conf, err := a.opened.ConfirmKey()
	if err != nil {
		return err
	}
	defer conf.Wipe()
	req, err := m.confirmRequest(a, conf)
	if err != nil || len(req.Entries) == 0 {
		return err
	}
	err = again(ctx, func() error {
		_, err := m.conn.Confirm(ctx, req)
		return err
	})
	if err != nil {
		return err
	}
	m.tries.dropEntries(req.Entries)
	return m.saveTries(ctx)
}

func (m *Module) outcome(a *attempt) Outcome {
	out := Outcome{Alarm: m.tries.alarm}
	if a != nil {
		out.Approved = a.approved && m.profile.approved
		out.Foreign = m.tries.foreign(a.after)
	}
	return out
}
