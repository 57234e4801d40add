package sscc

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/keposs/keposs/core"
)

// The audit log is one SM3 chain for the realm, whichever replica writes
// (audit_store.go). Events gather in memory and are stored in the background,
// so that a try costs no second sync; with Config.FailClosed whoever recorded
// an event waits until it is durable, together with everybody who came
// meanwhile.
// req: G-7.6-03
type auditor struct {
	s *Server

	mu     sync.Mutex
	queue  []queued
	lost   uint32
	known  int    // events of strangers in the queue
	more   uint32 // events of strangers that are only counted
	closed bool
	kick   chan struct{}
	stop   chan struct{} // closed by close
	ended  chan struct{}

	// w is held by whoever writes: the run loop, a flush, open, rest.
	w       sync.Mutex
	keys    *keyring // a copy: the log is closed on its own terms
	tail    part
	unsaved bool // the newest head is not outside yet
	savedAt time.Time
}

type queued struct {
	e    event
	done chan error // nil = nobody waits; of capacity 1
}

const (
	auditLinger = 200 * time.Millisecond // gathering time of events nobody waits for
	auditQueue  = 1 << 14                // events kept while the backend cannot be written
	headEvery   = time.Second            // heads leave at most this often

	maxStrangers = 16 // refusals of strangers told one by one in one gathering
)

func newAuditor(s *Server) *auditor {
	return &auditor{s: s, kick: make(chan struct{}, 1), stop: make(chan struct{})}
}

func (a *auditor) digest(k *keyring, id []byte) digest { return digestOf(nil, k, id) }

// note stores an event when there is time: nobody waits, a lost one is counted.
func (a *auditor) note(_ context.Context, e event) { a.add(e, nil) }

// stranger notes what somebody did who is not authenticated: a few of them one
// by one, the rest as a number, so that nobody fills the log from outside.
func (a *auditor) stranger(e event) {
	a.mu.Lock()
	if a.known >= maxStrangers {
		a.more++
		a.mu.Unlock()
		return
	}
	a.known++
	a.mu.Unlock()
	a.add(e, nil)
}

// record is note, and with FailClosed it returns only when the event is
// durable, with an error when it is not.
func (a *auditor) record(ctx context.Context, e event) error {
	if !a.s.cfg.FailClosed {
		a.add(e, nil)
		return nil
	}
	done := make(chan error, 1)
	if !a.add(e, done) {
		return core.Errorf(core.Unavailable, "sscc: audit", "the audit log cannot take the event and no answer leaves without it")
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return core.Errorf(core.Indeterminate, "sscc: audit", "the event was not stored in time: %w", ctx.Err())
	}
}

// settled waits, with FailClosed, until everything recorded so far is durable:
// an answer given again may not overtake the event of the first.
func (a *auditor) settled(ctx context.Context) error {
	if !a.s.cfg.FailClosed {
		return nil
	}
	return a.flush(ctx)
}

func (a *auditor) add(e event, done chan error) bool {
	e.at = a.s.now().UnixMilli()
	a.mu.Lock()
	if a.closed || len(a.queue) >= auditQueue {
		a.lost++
		a.mu.Unlock()
		return false
	}
	a.queue = append(a.queue, queued{e, done})
	first := len(a.queue) == 1
	a.mu.Unlock()
	if first || done != nil {
		select {
		case a.kick <- struct{}{}:
		default:
		}
	}
	return true
}

// run stores what gathers until close.
func (a *auditor) run() {
	defer close(a.ended)
	linger := auditLinger
	if a.s.cfg.FailClosed {
		linger = 0
	}
	for {
		select {
		case <-a.kick:
		case <-a.stop:
			return
		}
		select {
		case <-time.After(linger):
		case <-a.stop:
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
		a.w.Lock()
		err := a.drain(ctx, false)
		a.w.Unlock()
		cancel()
		if errors.Is(err, errOldRing) {
			go a.follow()
		} else if err != nil {
			a.s.cfg.Logger.Error("audit log", "err", err.Error())
		}
		if again := err != nil || a.pending(); again {
			time.AfterFunc(headEvery, a.wake)
		}
	}
}

// follow takes a newer key ring into use. It waits for the requests under way,
// which may wait for the run loop: hence beside it.
func (a *auditor) follow() {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	if err := a.s.refresh(ctx); err != nil {
		a.s.cfg.Logger.Error("audit log", "err", err.Error())
	}
	a.wake()
}

func (a *auditor) wake() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return
	}
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

// pending tells whether something is left to be written that no event will
// wake the loop for.
func (a *auditor) pending() bool {
	a.w.Lock()
	defer a.w.Unlock()
	return a.keys != nil && a.unsaved && a.s.cfg.Heads != nil
}

// drain writes the whole queue and, when it is time or last is set, the head
// outside. Called with w held. Without keys (SEALED) everything waits.
func (a *auditor) drain(ctx context.Context, last bool) error {
	if a.keys == nil {
		return nil
	}
	for {
		batch := a.take()
		if len(batch) == 0 {
			break
		}
		err := a.append(ctx, batch)
		for _, q := range batch {
			if q.done != nil {
				q.done <- err
			}
		}
		if err != nil {
			a.putBack(batch)
			return err
		}
	}
	if h := a.s.cfg.Heads; h != nil && a.unsaved && (last || time.Since(a.savedAt) >= headEvery) {
		if err := h.Save(ctx, a.tail.logHead(a.keys.realm)); err != nil {
			return err
		}
		a.unsaved, a.savedAt = false, time.Now()
	}
	return nil
}

func (a *auditor) take() []queued {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lost > 0 && len(a.queue) > 0 {
		a.queue = append(a.queue, queued{e: event{at: a.s.now().UnixMilli(), kind: evLost, n: a.lost}})
		a.lost = 0
	}
	if a.more > 0 {
		a.queue = append(a.queue, queued{e: event{at: a.s.now().UnixMilli(), kind: evRefused, code: core.Refused, op: "strangers", n: a.more}})
	}
	a.known, a.more = 0, 0
	n := min(len(a.queue), maxAppend)
	batch := append([]queued(nil), a.queue[:n]...)
	a.queue = append(a.queue[:0], a.queue[n:]...)
	return batch
}

// putBack returns events that could not be stored; whoever waited was told.
func (a *auditor) putBack(batch []queued) {
	for i := range batch {
		batch[i].done = nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.queue = append(batch, a.queue...)
}

// flush stores everything recorded so far.
func (a *auditor) flush(ctx context.Context) error {
	a.w.Lock()
	defer a.w.Unlock()
	return a.drain(ctx, true)
}

// open takes a copy of the keys, finds the end of the log and holds it against
// the head kept outside. old reports that the backend is older than that head.
func (a *auditor) open(ctx context.Context, k *keyring) (old bool, err error) {
	a.w.Lock()
	defer a.w.Unlock()
	if a.keys != nil {
		return false, nil
	}
	keys, err := k.clone()
	if err != nil {
		return false, err
	}
	tail, err := a.s.lastPart(ctx, keys)
	if err != nil {
		keys.wipe()
		return false, err
	}
	if old, err = a.s.behind(ctx, keys, tail); err != nil {
		keys.wipe()
		return false, err
	}
	a.keys, a.tail = keys, tail
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended == nil && !a.closed {
		a.ended = make(chan struct{})
		go a.run()
	}
	return old, nil
}

// rekey gives the log the keys of a new ring.
func (a *auditor) rekey(k *keyring) error {
	a.w.Lock()
	defer a.w.Unlock()
	if a.keys == nil {
		return nil
	}
	keys, err := k.clone()
	if err != nil {
		return err
	}
	a.keys.wipe()
	a.keys = keys
	return nil
}

// rest stores what it can and wipes the keys: SS-CC was sealed. Events that
// come later wait for the next open.
func (a *auditor) rest() {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	a.w.Lock()
	defer a.w.Unlock()
	if err := a.drain(ctx, true); err != nil {
		a.s.cfg.Logger.Error("audit log", "err", err.Error())
	}
	a.keys.wipe()
	a.keys = nil
}

// close is rest for good.
func (a *auditor) close() {
	a.rest()
	a.mu.Lock()
	ended := a.ended
	if !a.closed {
		a.closed = true
		for _, q := range a.queue {
			if q.done != nil {
				q.done <- core.Errorf(core.Closed, "sscc: audit", "SS-CC was unloaded")
			}
		}
		a.queue = nil
		close(a.stop)
	}
	a.mu.Unlock()
	if ended != nil {
		<-ended
	}
}
