package faultscmd

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/escrowtest"
	"github.com/keposs/keposs/internal/child"
	"github.com/keposs/keposs/plugins"
)

// A process is a backend in a process of its own.
type process struct {
	core.Backend
	plugins *plugins.Supervisor
}

// settings of a backend whose files are to lie in dir; small, for small disks.
func settings(name, dir string) core.Config {
	switch name {
	case "badger":
		return core.Config{Values: map[string]string{"dir": filepath.Join(dir, "db"), "memtable_mb": "16", "watermark_mb": "96", "ballast_mb": "1"}}
	case "memory":
		return core.Config{Values: map[string]string{"path": filepath.Join(dir, "log")}}
	}
	return core.Config{Values: map[string]string{"dir": filepath.Join(dir, "control")}}
}

// open starts a backend's process; one that was killed may hold its lock for a moment.
func open(ctx context.Context, name, dir string) (*process, error) {
	p := &process{plugins: plugins.NewSupervisor(plugins.Options{})}
	err := func() (err error) {
		if p.Backend, err = p.plugins.Backend(ctx, plugins.Builtin(plugins.KindBackend, name)); err != nil {
			return err
		}
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			if err = p.Configure(ctx, settings(name, dir)); core.CodeOf(err) != core.Unavailable || time.Now().After(end) {
				return err
			}
		}
	}()
	if err != nil {
		_ = p.plugins.Close()
		return nil, err
	}
	return p, nil
}

// kill ends the process at once.
func (p *process) kill() error { return p.do((*os.Process).Kill) }

// stop makes the process stand still until it is killed.
func (p *process) stop() error { return p.do(child.Halt) }

func (p *process) do(f func(*os.Process) error) error {
	info, _ := plugins.InfoOf(p.Backend)
	if info.PID <= 0 {
		return errors.New("the backend's process does not run")
	}
	proc, err := os.FindProcess(info.PID)
	if err != nil {
		return err
	}
	return f(proc)
}

func (p *process) close() {
	_ = p.Close()
	_ = p.plugins.Close()
}

// moment is how long clients write before harm is done: random, so that it
// falls anywhere in what the engine does.
func moment() time.Duration {
	return 100*time.Millisecond + time.Duration(rand.Int64N(int64(400*time.Millisecond)))
}

// reopen starts a backend again over what a fault left in dir and judges the round.
func (r *run) reopen(ctx context.Context, fault, name, dir string, l *escrowtest.Load, before uint64) error {
	p, err := open(ctx, name, dir)
	if err != nil {
		return err
	}
	defer p.close()
	return r.judge(ctx, fault, l, p.Backend, before)
}

// kill is the fault kill -9 of the backend's process.
func kill(name string) func(context.Context, *run, int) error {
	return func(ctx context.Context, r *run, rounds int) (err error) {
		dir, err := os.MkdirTemp("", "keposs-faults-")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		l := escrowtest.NewLoad(clients)
		for range rounds {
			before := l.Acks()
			p, err := open(ctx, name, dir)
			if err != nil {
				return err
			}
			err = l.During(ctx, p.Backend, func() error { time.Sleep(moment()); return p.kill() })
			p.close()
			if err != nil {
				return err
			}
			if err := r.reopen(ctx, "kill", name, dir, l, before); err != nil {
				return err
			}
		}
		return nil
	}
}
