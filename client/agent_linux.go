package client

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keposs/keposs/client/internal/link"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/mstcc/probes"
	"github.com/keposs/keposs/core/mstcc/trail"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/plugins"
)

// Bounds of an agent.
const (
	agentPeers = 16               // connections at a time
	agentDrain = 30 * time.Second // what a service under way may take after the agent was told to end
	// agentPerson is how long a person may take for one answer; then the service
	// ends as if they had given up, and the next app has its turn.
	agentPerson = 5 * time.Minute
	// agentPlatform is how long an app may take for the verdicts of its platform,
	// and for an attestation.
	agentPlatform = time.Minute
	// agentHead is how long an app may take to say what it wants.
	agentHead = 30 * time.Second
)

// An agent is a module in a process of its own and the apps it serves.
type agent struct {
	o       AgentOptions
	c       *Client
	profile Profile // the module was opened with
	log     *trail.Log
	turn    chan struct{} // holds one token: services run one at a time
	current atomic.Pointer[serving]
	rest    atomic.Value  // State: the last one the log tells
	level   atomic.Uint32 // sealed; 0 while no user is bound
	calls   sync.WaitGroup
}

// ServeAgent runs MST-CC for the apps of this user until ctx ends: it listens on
// a Unix socket of mode 0600 in a folder of mode 0700, serves peers of its own
// user id by the kernel's word and refuses others, and writes what happens to the
// terminal's audit log before an answer leaves. When ctx ends it drains: no call
// is begun, those under way have thirty seconds. It returns when every child is
// reaped and everything wiped.
//
// The process is the caller's to harden: level 2 refuses to serve in one whose
// memory others may read (P-02).
// req: K-6.1-00b, K-12.1-L2a, X-05, G-7.6-03, G-7.9-02
func ServeAgent(ctx context.Context, o AgentOptions) (err error) {
	if o.Socket == "" {
		o.Socket = AgentSocket(o.Dir)
	}
	if o.Log == nil {
		o.Log = func(string) {}
	}
	f, err := openFolder(o.Dir)
	if err != nil {
		return err
	}
	unlock, err := f.lock(ctx)
	if err != nil {
		return err
	}
	a := &agent{o: o, profile: DefaultProfile(), turn: make(chan struct{}, 1)}
	a.profile.Level = 2
	a.c = &Client{folder: f, unlock: unlock, prompt: PrompterFunc(a.ask)}
	defer func() { err = errors.Join(err, a.c.Close()) }()
	if a.log, err = trail.Open(f.audit()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.log.Close()) }()
	if err := a.open(ctx); err != nil {
		return errors.Join(err, a.log.Add(trail.Event{Kind: "start", Code: core.CodeOf(err).String(), Text: err.Error()}))
	}
	if err := sm.TightenRand(int(a.profile.Level)); err != nil {
		return err
	}
	l, err := link.Listen(o.Socket)
	if err != nil {
		return err
	}
	defer func() { _ = l.Close(); err = errors.Join(err, os.Remove(o.Socket)) }()
	a.look()
	if err := a.log.Add(trail.Event{Kind: "start", State: string(a.c.State()), PID: os.Getpid()}); err != nil {
		return err
	}
	if o.Ready != nil {
		o.Ready(a.ready())
	}
	err = a.serve(ctx, l)
	return errors.Join(err, a.log.Add(trail.Event{Kind: "stop", State: string(a.c.State())}))
}

// ready tells where this agent is and how it stands.
func (a *agent) ready() AgentReady {
	path, err := filepath.Abs(a.o.Socket)
	if err != nil {
		path = a.o.Socket
	}
	return AgentReady{Socket: path, PID: os.Getpid(), State: a.c.State(), Level: a.level.Load()}
}

// view is ready with how the process and its plugins are shut off.
func (a *agent) view() AgentView {
	v := AgentView{AgentReady: a.ready(), Locked: locked(), Sandbox: plugins.Sandbox()}
	v.Hardened, _ = probes.System().Hardened()
	v.Events, v.Head = a.log.Head()
	return v
}

// locked reads how much of this process the kernel keeps in memory. Locking by
// fault shows in this figure as the whole of it.
func locked() bool {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmLck:"); ok {
			return !strings.HasPrefix(strings.TrimSpace(v), "0 ")
		}
	}
	return false
}

// open assembles the module under the profile that is asked for.
func (a *agent) open(ctx context.Context) error {
	return a.c.assemble(ctx, Options{
		Pinned: a.o.Pinned, Profile: a.profile, Plugins: a.o.Plugins, Events: a.event,
		ask: a.host, Attest: a.attest, agent: true,
	})
}

// under has the module open under p, for a user who is still to be initialised;
// where it does not open, it is opened as it was. The caller has the turn.
func (a *agent) under(ctx context.Context, p Profile) error {
	if err := p.Check(); err != nil {
		return err
	}
	if _, bound := a.c.module.UserID(); bound || p == a.profile {
		return nil
	}
	was := a.profile
	if err := a.reopen(ctx, p); err != nil {
		return errors.Join(err, a.reopen(ctx, was))
	}
	return nil
}

// reopen opens the module anew under p. Module and host that are not opened
// again stay closed, and say so.
func (a *agent) reopen(ctx context.Context, p Profile) error {
	if err := errors.Join(a.c.module.Close(), a.c.host.close()); err != nil {
		return err
	}
	a.profile = p
	return a.open(ctx)
}

// look remembers the sealed level, for who asks while a service runs.
func (a *agent) look() { a.level.Store(a.c.module.Level()) }

// serve accepts until ctx ends, then drains.
func (a *agent) serve(ctx context.Context, l *net.UnixListener) error {
	begun, end := context.WithCancel(context.Background())
	defer end()
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	if a.o.Reload != nil {
		a.calls.Go(func() { a.reloads(ctx) })
	}
	free := make(chan struct{}, agentPeers)
	var failed error
	for ctx.Err() == nil {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() == nil {
				failed = core.Errorf(core.Environment, "client: agent", "accept: %w", err)
			}
			break
		}
		select {
		case free <- struct{}{}:
		default:
			_ = conn.Close() // the app hears that nothing was done
			continue
		}
		a.calls.Go(func() {
			defer func() { <-free }()
			a.peer(begun, conn)
		})
	}
	late := time.AfterFunc(agentDrain, end)
	defer late.Stop()
	a.calls.Wait()
	return failed
}

// reloads takes over plugins that were pinned anew, as the operator signals.
func (a *agent) reloads(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.o.Reload:
		}
		var changed []string
		err := a.take(ctx)
		if err == nil {
			changed, err = a.c.ReloadPlugins(ctx)
			err = errors.Join(err, a.record(trail.Event{Kind: "reload", Text: strings.Join(changed, ", ")}, err))
			a.give()
		}
		if err != nil {
			a.o.Log("reload: " + err.Error())
		}
		for _, name := range changed {
			a.o.Log("reload: " + name + " is taken over")
		}
	}
}

// take waits for the turn; give gives it on.
func (a *agent) take(ctx context.Context) error {
	select {
	case a.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return core.Errorf(core.Canceled, "client: agent", "another service is under way: %w", ctx.Err())
	}
}

func (a *agent) give() { <-a.turn }

// record writes what became of a call; without it no answer leaves.
func (a *agent) record(e trail.Event, outcome error) error {
	if outcome != nil {
		e.Code = core.CodeOf(outcome).String()
	}
	e.State = string(a.c.State())
	return a.log.Add(e)
}

// event hears the module: alarms and the states it comes to rest in are written
// down, and the app that is served is told.
func (a *agent) event(e Event) {
	switch e.Flow {
	case "alarm":
		_ = a.log.Add(trail.Event{Kind: "alarm", Text: e.Text, State: string(e.State)}) // a failure stands in Err
	case "state":
		a.resting(e)
	}
	if s := a.current.Load(); s != nil {
		if e.Flow == "state" && (strings.HasPrefix(e.Text, "F-27 ") || strings.HasPrefix(e.Text, "F-28 ")) {
			s.role.Store("user") // the rows that PPD was accepted in
		}
		s.tell(e)
		if a.o.Events != nil {
			a.o.Events(s.verb, e)
		}
	}
}

// resting writes each change between states in which no service runs: locked,
// unlocked, in error, ended.
func (a *agent) resting(e Event) {
	switch e.State {
	case mstcc.Init, mstcc.User, mstcc.Locked, mstcc.Error, mstcc.EOL:
		if was := a.rest.Swap(e.State); was != nil && was != e.State {
			_ = a.log.Add(trail.Event{Kind: "state", Text: e.Text, State: string(e.State)})
		}
	}
}

// ask passes a source's prompt to the app whose service runs.
func (a *agent) ask(ctx context.Context, q Prompt) (Sample, error) {
	s := a.current.Load()
	if s == nil {
		return Sample{}, core.Errorf(core.Internal, "client: agent", "a prompt outside a service")
	}
	return s.ask(ctx, q)
}
