package escrowtest

import (
	"context"
	"errors"
	"fmt"
)

var replicated = []Case{
	{"LeaderKilled", "The leader of a replicated store killed while clients write loses nothing acknowledged, and every answer fits one order.",
		"Acknowledge after a quorum has it.", "L", 2, harmed("leader-kill")},
	{"LeaderPaused", "A leader that stands still, and comes back after another was chosen, answers nothing old.",
		"Read through a quorum, or under a lease.", "L", 2, harmed("leader-pause")},
	{"Partitioned", "Connections that swallow what is sent lose nothing acknowledged; what got no answer is Indeterminate.",
		"A lost connection after the send is not Unavailable.", "L", 2, harmed("partition")},
	{"SlowPeer", "A slow network changes no answer.", "Deadlines end waiting, not truth.", "L", 2, harmed("slow-peer")},
}

// harms is how often each is done.
const harms = 3

// harmed is a case that does one harm of the harness while a load writes and
// concurrent clients make a history for porcupine.
func harmed(name string) func(context.Context, *Rig) error {
	return func(ctx context.Context, r *Rig) error {
		harm := r.Harms[name]
		if harm == nil {
			return Skip("the harness cannot do this harm: " + name)
		}
		f, err := r.Fresh(ctx)
		if err != nil {
			return err
		}
		handles, done, err := f.handles(ctx)
		if err != nil {
			return err
		}
		defer done()
		l := NewLoad(8)
		for range harms {
			begun := l.Acks()
			told := make(chan error, 1)
			if err := l.During(ctx, f, func() error {
				busy, stop := context.WithCancel(ctx)
				go func() { told <- busyHistory(busy, handles) }()
				err := harm(ctx)
				stop()
				return errors.Join(err, <-told)
			}); err != nil {
				return err
			}
			if err := l.sound(ctx, f); err != nil {
				return err
			}
			if l.Acks() == begun {
				return fmt.Errorf("nothing was acknowledged during %s: the case shows nothing", name)
			}
		}
		return nil
	}
}
