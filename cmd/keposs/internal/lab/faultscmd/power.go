package faultscmd

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/escrowtest"
	"github.com/keposs/keposs/internal/control"
	"github.com/keposs/keposs/internal/cutdisk"
)

const diskMB = 640

// cut is the fault power cut.
func cut(name string) func(context.Context, *run, int) error {
	return func(ctx context.Context, r *run, rounds int) error {
		d, err := cutdisk.New(diskMB)
		if err != nil {
			return err
		}
		defer func() { _ = d.Remove() }()
		l := escrowtest.NewLoad(clients)
		for range rounds {
			before := l.Acks()
			if err := blackout(ctx, d, name, l, func() { time.Sleep(moment()) }); err != nil {
				return err
			}
			if err := r.reopen(ctx, "power-cut", name, d.Dir(), l, before); err != nil {
				return err
			}
		}
		return nil
	}
}

// blackout runs a backend on d, cuts the power while l writes, when wait
// returns, and mounts again.
func blackout(ctx context.Context, d *cutdisk.Disk, name string, l *escrowtest.Load, wait func()) error {
	p, err := open(ctx, name, d.Dir())
	if err != nil {
		return err
	}
	err = l.During(ctx, p.Backend, func() error {
		wait()
		if err := p.stop(); err != nil { // without power no program goes on either
			return err
		}
		l.PowerOff()
		if err := d.Cut(); err != nil {
			return err
		}
		_ = p.kill() // it may have ended by itself
		return nil
	})
	p.close()
	if err != nil {
		return err
	}
	return d.Back()
}

// controls are caught when a cut loses what they acknowledged, or leaves
// nothing that opens. Each run has to catch both.
var controls = []string{control.Default, control.Barrier}

// A control is cut when its clients have had so many answers each: by then what
// most of them were told last lies in a table that is no longer written.
const (
	controlRounds  = 6
	controlClients = 64
	controlAnswers = 20
)

// broken runs a control until it is caught.
func broken(ctx context.Context, r *run, name string) error {
	for range controlRounds {
		d, err := cutdisk.New(diskMB)
		if err != nil {
			return err
		}
		caught, err := exposed(ctx, d, name, escrowtest.NewLoad(controlClients))
		_ = d.Remove()
		if err != nil {
			return err
		}
		if r.Controls[name] = caught; caught {
			return nil
		}
	}
	return nil
}

func exposed(ctx context.Context, d *cutdisk.Disk, name string, l *escrowtest.Load) (caught bool, err error) {
	wait := func() {
		for end := time.Now().Add(time.Minute); l.Acks() < controlClients*controlAnswers && time.Now().Before(end) && ctx.Err() == nil; {
			time.Sleep(5 * time.Millisecond)
		}
	}
	if err := blackout(ctx, d, name, l, wait); err != nil {
		return false, err
	}
	p, err := open(ctx, name, d.Dir())
	if err != nil {
		return ctx.Err() == nil, ctx.Err()
	}
	defer p.close()
	defer func() { _ = p.kill() }() // it may take long to close what is in pieces
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	lost, _, err := l.Check(ctx, p.Backend)
	return lost > 0 || err != nil, nil
}

// full is the fault full disk: changes are Exhausted, nothing is lost, and work
// goes on when there is room again.
func full(name string) func(context.Context, *run, int) error {
	return func(ctx context.Context, r *run, rounds int) error {
		d, err := cutdisk.New(diskMB)
		if err != nil {
			return err
		}
		defer func() { _ = d.Remove() }()
		l := escrowtest.NewLoad(clients)
		p, err := open(ctx, name, d.Dir())
		if err != nil {
			return err
		}
		defer p.close()
		for range rounds {
			before := l.Acks()
			err := l.During(ctx, p.Backend, func() error {
				time.Sleep(moment())
				filler, err := d.Fill()
				if err != nil {
					return err
				}
				time.Sleep(time.Second)
				if err := refused(ctx, p.Backend); err != nil {
					return err
				}
				if err := os.Remove(filler); err != nil {
					return err
				}
				time.Sleep(time.Second)
				return nil
			})
			if err != nil {
				return err
			}
			if err := r.judge(ctx, "disk-full", l, p.Backend, before); err != nil {
				return err
			}
		}
		return nil
	}
}

// refused expects that a new record is Exhausted.
func refused(ctx context.Context, b core.Backend) error {
	res, err := b.CommitMany(ctx, []core.Mutation{{Key: core.Key("full"), Op: core.OpPut, ReqID: core.ReqID{1}}})
	if err == nil {
		err = res[0].Err
	}
	if core.CodeOf(err) != core.Exhausted {
		return fmt.Errorf("on a full disk: %v, want exhausted", err)
	}
	return nil
}
