package escrowtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/internal/cutdisk"
)

var powerCuts = []Case{
	{"PowerCut", "A power cut at any instant loses nothing that was acknowledged.",
		"Answer after the sync of everything the answer needs: the file, its folder, the log before it.", "H", 2, powerCut},
	{"FailedSyncIsNoSuccess", "While the disk refuses to write, no change is acknowledged; afterwards nothing acknowledged is lost.",
		"Look at the error of every write and every sync, and stop at the first.", "H", 2, failedSync},
}

const diskMB = 640

// Power is cut when its clients have had so many answers each: an engine that
// writes several tables at once has then more of them on the way than one.
const (
	cutClients = 64
	cutAnswers = 20
)

// onDisk opens a store on a disk whose power can be cut. done gives both back.
func onDisk(ctx context.Context, r *Rig) (f *Fixture, d *cutdisk.Disk, done func(), err error) {
	if r.In == nil {
		return nil, nil, nil, Skip("the kit cannot choose the disk of this store")
	}
	if err := r.mortal(); err != nil { // without power no process goes on either
		return nil, nil, nil, err
	}
	d, err = cutdisk.New(diskMB)
	if errors.Is(err, cutdisk.ErrAbsent) {
		return nil, nil, nil, Skip(err.Error())
	}
	if err != nil {
		return nil, nil, nil, fmt.Errorf("harness: make a disk: %w", err)
	}
	dir := filepath.Join(d.Dir(), "store")
	f = &Fixture{Place: &Place{Config: r.In(dir), Dir: dir}, rig: r}
	done = func() {
		if f.Backend != nil {
			_ = r.Kill(f.Backend)
			_ = f.Backend.Close()
		}
		_ = d.Remove()
	}
	if err = os.Mkdir(dir, 0o700); err == nil {
		err = f.open(ctx)
	}
	if err != nil {
		done()
		return nil, nil, nil, err
	}
	return f, d, done, nil
}

// back is the machine after a cut: the disk mounted again, a new process.
func (f *Fixture) back(ctx context.Context, d *cutdisk.Disk) error {
	_ = f.rig.Kill(f.Backend) // it may have ended by itself
	_ = f.Backend.Close()
	if err := d.Back(); err != nil {
		return fmt.Errorf("harness: mount the disk again: %w", err)
	}
	return f.again(ctx)
}

func powerCut(ctx context.Context, r *Rig) error {
	f, d, done, err := onDisk(ctx, r)
	if err != nil {
		return err
	}
	defer done()
	l := NewLoad(cutClients)
	for range max(1, r.rounds(1)/2) {
		if err := l.During(ctx, f, func() error {
			begun := l.Acks()
			for l.Acks() < begun+cutClients*cutAnswers && ctx.Err() == nil {
				time.Sleep(time.Millisecond)
			}
			time.Sleep(instant())
			l.PowerOff()
			return first(d.Cut(), f.rig.Kill(f.Backend))
		}); err != nil {
			return err
		}
		if err := first(f.back(ctx, d), l.sound(ctx, f)); err != nil {
			return err
		}
	}
	return nil
}

// failedSync lets the process live on without its disk. Of the first answers
// after the cut none counts: a file system that is being shut down may say that
// a sync under way succeeded.
func failedSync(ctx context.Context, r *Rig) error {
	f, d, done, err := onDisk(ctx, r)
	if err != nil {
		return err
	}
	defer done()
	l, ks := NewLoad(8), newKeys()
	if err := l.During(ctx, f, func() error { time.Sleep(instant()); l.PowerOff(); return d.Cut() }); err != nil {
		return err
	}
	time.Sleep(200 * time.Millisecond)
	for i := range 8 {
		short, cancel := context.WithTimeout(ctx, 5*time.Second)
		v, err := commit(short, f, put(ks.at(i), 0, "h", "b"))
		cancel()
		if i >= 4 && err == nil {
			return fmt.Errorf("version %d was acknowledged without a disk", v)
		}
		if err != nil && core.CodeOf(err) == core.Unknown {
			return fmt.Errorf("an untyped error: %w", err)
		}
	}
	return first(f.back(ctx, d), l.sound(ctx, f))
}
