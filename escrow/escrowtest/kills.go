package escrowtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/keposs/keposs/core"
)

var kills = []Case{
	{"KilledWhileWriting", "A process killed at any instant loses nothing it acknowledged; what it did not answer happened whole or not at all.",
		"Answer after the sync, and write Hot and Blob in one step.", "G", 1,
		func(ctx context.Context, r *Rig) error { return killed(ctx, r, killWriting) }},
	{"KilledWhileOpening", "A process killed while it opens a store leaves one that opens.",
		"Recovery must bear being interrupted, at any place.", "G", 1,
		func(ctx context.Context, r *Rig) error { return killed(ctx, r, killOpening) }},
	{"KilledWhileClosing", "A process killed while it closes a store loses nothing it acknowledged.",
		"Nothing may become durable only at Close.", "G", 1,
		func(ctx context.Context, r *Rig) error { return killed(ctx, r, killClosing) }},
	{"KilledWhileImporting", "A process killed during Import leaves each record as it was or as it was given, and the import run again ends.",
		"Import record by record, or all in one step.", "G", 1, killedImporting},
}

// rounds is how often something is done at a level: l1 times in CI, a hundred
// times as often in the long run.
func (r *Rig) rounds(l1 int) int {
	if r.Level >= 2 {
		return 100 * l1
	}
	return l1
}

// mortal says why a store cannot be killed and opened again; nil = it can.
func (r *Rig) mortal() error {
	switch {
	case r.Kill == nil:
		return Skip("this backend runs inside the test: there is no process to kill")
	case !r.Durable:
		return Skip("this backend keeps nothing when it is closed, and says so")
	}
	return nil
}

// A killer kills f's process while l writes, or around that. f is open at the
// start, and is opened again by the caller.
type killer func(ctx context.Context, f *Fixture, l *Load) error

func killed(ctx context.Context, r *Rig, kill killer) error {
	if err := r.mortal(); err != nil {
		return err
	}
	f, err := r.Fresh(ctx)
	if err != nil {
		return err
	}
	l := NewLoad(8)
	for range r.rounds(2) {
		if err := kill(ctx, f, l); err != nil {
			return err
		}
		if err := f.again(ctx); err != nil {
			return err
		}
		if err := l.sound(ctx, f); err != nil {
			return err
		}
	}
	if l.Acks() == 0 {
		return fmt.Errorf("no write was acknowledged: the case shows nothing")
	}
	return nil
}

// sound is Check as one error.
func (l *Load) sound(ctx context.Context, b core.Backend) error {
	lost, finding, err := l.Check(ctx, b)
	if err != nil {
		return err
	}
	if lost > 0 {
		return fmt.Errorf("%d of %d records lost what was acknowledged: %w", lost, len(l.clients), finding)
	}
	return nil
}

// lockWait bounds how long files may be held after their process was killed.
const lockWait = time.Minute

// again opens a place anew after its process was killed, which may hold its
// lock for a moment.
func (f *Fixture) again(ctx context.Context) error {
	_ = f.Backend.Close()
	for end := time.Now().Add(lockWait); ; {
		err := f.open(ctx)
		if core.CodeOf(err) != core.Unavailable || ctx.Err() != nil || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// instant is a random moment in which a store has work under way.
func instant() time.Duration {
	return 20*time.Millisecond + rand.N(150*time.Millisecond)
}

// killIn kills f's process at a random instant of the first while of do, whose
// answer nobody hears, and returns when do has.
func (f *Fixture) killIn(while time.Duration, do func()) error {
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	time.Sleep(rand.N(while))
	err := f.rig.Kill(f.Backend)
	<-done
	return err
}

func killWriting(ctx context.Context, f *Fixture, l *Load) error {
	return l.During(ctx, f, func() error {
		begun := l.Acks()
		for l.Acks() < begun+20 && ctx.Err() == nil { // a cold process has begun to write
			time.Sleep(time.Millisecond)
		}
		time.Sleep(instant())
		return f.rig.Kill(f.Backend)
	})
}

func killOpening(ctx context.Context, f *Fixture, l *Load) error {
	if err := killWriting(ctx, f, l); err != nil { // there is something to recover
		return err
	}
	_ = f.Backend.Close()
	b, err := f.rig.New()
	if err != nil {
		return fmt.Errorf("harness: new backend: %w", err)
	}
	if _, err := b.Describe(ctx); err != nil { // it runs
		return err
	}
	f.Backend = b
	return f.killIn(60*time.Millisecond, func() { _ = b.Configure(ctx, f.Place.Config) })
}

func killClosing(ctx context.Context, f *Fixture, l *Load) error {
	if err := l.During(ctx, f, func() error { time.Sleep(instant()); return nil }); err != nil {
		return err
	}
	_ = f.killIn(20*time.Millisecond, func() { _ = f.Backend.Close() }) // it may have ended by itself
	return nil
}

func killedImporting(ctx context.Context, r *Rig) error {
	if err := r.mortal(); err != nil {
		return err
	}
	ks := newKeys()
	recs, dead := sample(ks, 900)
	for range r.rounds(2) {
		f, x, err := freshExporter(ctx, r)
		if err != nil {
			return err
		}
		err = f.killIn(60*time.Millisecond, func() { _ = bring(ctx, x, recs, dead) })
		if err = first(err, f.again(ctx)); err != nil {
			return err
		}
		if x, err = exporter(f.Backend); err != nil {
			return err
		}
		if err := first(partly(ctx, x, recs, dead), bring(ctx, x, recs, dead), same(ctx, x, recs, dead)); err != nil {
			return err
		}
	}
	return nil
}
