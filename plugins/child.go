package plugins

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/plugins/internal/glue"
	"github.com/keposs/keposs/plugins/internal/launch"
)

// How a child comes back after a crash.
const (
	backoffFirst = 100 * time.Millisecond // after the second failure in a row; none after the first
	backoffCap   = 5 * time.Second
	circuitAfter = 5 // failures in a row
	circuitOpen  = 30 * time.Second
	stableAfter  = 10 * time.Second // a process that lived so long clears the count
)

// child is one supervised plugin and, most of the time, one process.
type child struct {
	sup   *Supervisor
	entry Entry // kind and name never change; the rest under mu

	turn    chan struct{}  // held by whoever starts, configures or ends the process
	ending  chan struct{}  // closed when the child is
	retired sync.WaitGroup // processes of former versions that finish what they began

	mu       sync.Mutex // of the fields below
	image    *launch.Image
	proc     *launch.Process
	at       *glue.Host
	version  string
	name     string
	plain    bool // a plain secret was seen in any process so far
	config   *core.Config
	state    State
	failures int
	wait     time.Time // no start before
	born     time.Time
	starts   int
	err      error
}

func newChild(s *Supervisor, e Entry) *child {
	return &child{sup: s, entry: e, turn: make(chan struct{}, 1), ending: make(chan struct{}), state: StateIdle, name: e.Name}
}

func (c *child) supervised() *child { return c }

func (c *child) op() string { return "plugin " + c.entry.label() }

// lock takes the turn; only ctx ends the wait.
func (c *child) lock(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
		return nil
	default:
	}
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return c.ended(ctx)
	}
}

func (c *child) unlock() { <-c.turn }

func (c *child) ended(ctx context.Context) error {
	if ctx.Err() == context.DeadlineExceeded {
		return core.Errorf(core.Timeout, c.op(), "%w", ctx.Err())
	}
	return core.Errorf(core.Canceled, c.op(), "%w", ctx.Err())
}

// live returns the connection if the process is there.
func (c *child) live() *glue.Host {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != StateRunning {
		return nil
	}
	select {
	case <-c.proc.Done():
		return nil
	default:
	}
	if c.at.Lost() {
		return nil
	}
	return c.at
}

// host returns the connection, starting the process if there is none.
func (c *child) host(ctx context.Context) (*glue.Host, error) {
	if h := c.live(); h != nil {
		return h, nil
	}
	if err := c.lock(ctx); err != nil {
		return nil, err
	}
	defer c.unlock()
	if h := c.live(); h != nil {
		return h, nil
	}
	if err := c.pause(ctx); err != nil {
		return nil, err
	}
	h, err := c.start(ctx)
	if err != nil {
		if ctx.Err() == nil {
			c.failed(err, "start failed", 0)
		}
		return nil, err
	}
	return h, nil
}

// pause waits out the backoff, or refuses while the circuit is open.
func (c *child) pause(ctx context.Context) error {
	c.mu.Lock()
	state, wait, err := c.state, time.Until(c.wait), c.err
	proc := c.proc
	c.mu.Unlock()
	if state == StateClosed {
		return core.Errorf(core.Closed, c.op(), "it is closed")
	}
	if proc != nil { // it crashed and its watcher has not noted it yet
		select {
		case <-proc.Done():
		case <-time.After(lostGrace):
		}
		c.reap(proc)
		c.mu.Lock()
		state, wait, err = c.state, time.Until(c.wait), c.err
		c.mu.Unlock()
	}
	if wait <= 0 {
		return nil
	}
	if state == StateOpen {
		return &core.Error{Code: core.Unavailable, Op: c.op(), Msg: "failed repeatedly and is left alone for a while", After: wait, Err: err}
	}
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return c.ended(ctx)
	}
}

// start makes a process, attaches to it and gives it its settings again.
func (c *child) start(ctx context.Context) (*glue.Host, error) {
	c.mu.Lock()
	image, config, e := c.image, c.config, c.entry
	c.mu.Unlock()
	if image == nil || image.Weak {
		if image != nil {
			_ = image.Close()
		}
		var err error
		if image, err = e.image(); err != nil {
			return nil, err
		}
	}
	p, err := c.launch(ctx, e, image)
	c.mu.Lock()
	c.image = image // kept for restarts: what was measured once runs for ever
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	h, err := c.attach(ctx, p, config)
	if err != nil {
		p.Close()
		return nil, err
	}
	return h, c.adopt(p, h, "started")
}

func (c *child) launch(ctx context.Context, e Entry, image *launch.Image) (*launch.Process, error) {
	dial := glue.DialOptions()
	if tell := c.sup.o.Trace; tell != nil {
		dial = append(dial, glue.TraceOptions(tell)...)
	}
	return launch.Start(ctx, launch.Spec{
		Image: image, Kind: e.Kind, Name: e.label(), Args: e.Args, Env: e.Env,
		Logger: c.sup.o.Logger, Timeout: c.sup.o.Timeout, Dial: dial,
		Confined: c.sup.o.Confine && confinable(e.Kind), Read: e.Read,
	})
}

// confinable tells that a plugin of this kind needs nothing of the machine but
// processor and memory: a source asks the host for samples, a KDF computes. A
// sensor reaches for a device, often by the vendor's own daemon, and a backend
// for its files and servers.
func confinable(kind string) bool { return kind == KindSource || kind == KindKDF }

// adopt makes p the process of calls from now on and watches for its end. A
// closed child ends it: Closed.
func (c *child) adopt(p *launch.Process, h *glue.Host, what string) error {
	c.mu.Lock()
	if c.state == StateClosed {
		c.mu.Unlock()
		p.Close()
		return core.Errorf(core.Closed, c.op(), "it is closed")
	}
	c.proc, c.at, c.state, c.born, c.err = p, h, StateRunning, time.Now(), nil
	c.name, c.version = h.Info.Name, h.Info.Version
	c.starts++
	c.mu.Unlock()
	c.tell(Event{What: what, PID: p.PID()})
	go func() {
		<-p.Done()
		c.reap(p)
	}()
	return nil
}

// attachTimeout bounds identification and sealing; settings have the caller's time.
const attachTimeout = 5 * time.Second

func (c *child) attach(ctx context.Context, p *launch.Process, config *core.Config) (*glue.Host, error) {
	early, cancel := context.WithTimeout(ctx, attachTimeout)
	defer cancel()
	h, err := glue.Attach(early, p.Conn, glue.Info{Kind: c.entry.Kind, Name: c.entry.Name})
	if err != nil || config == nil {
		return h, err
	}
	return h, configureHost(ctx, h, *config)
}

func configureHost(ctx context.Context, h *glue.Host, config core.Config) error {
	switch h.Info.Kind {
	case KindSource:
		return h.Source().Configure(ctx, config)
	case KindSensor:
		return h.Sensor().Configure(ctx, config)
	case KindBackend:
		return h.Backend().Configure(ctx, config)
	}
	return nil
}

// lostGrace is how long a process whose connection broke may take to end by
// itself, which tells its exit status; then it is ended.
const lostGrace = 200 * time.Millisecond

// reap notes the end of p, once, and gives back what it held.
func (c *child) reap(p *launch.Process) {
	c.mu.Lock()
	if c.proc != p || c.state != StateRunning {
		c.mu.Unlock()
		return
	}
	if time.Since(c.born) > stableAfter {
		c.failures = 0
	}
	c.drop()
	c.mu.Unlock()
	why := p.Exit()
	text := "it ended by itself or closed its connection"
	if why != nil {
		text = why.Error()
	}
	c.failed(core.Errorf(core.Unavailable, c.op(), "crashed: %s", text), "crashed", p.PID())
	p.Close()
}

// drop forgets the process; the caller holds mu.
func (c *child) drop() {
	c.plain = c.plain || !c.at.Sealed()
	c.at.Close()
	c.proc, c.at = nil, nil
	c.state = StateCrashed
}

// failed counts a failure and sets the pause before the next start.
func (c *child) failed(err error, what string, pid int) {
	c.mu.Lock()
	c.err = err
	c.failures++
	if c.state != StateClosed {
		c.state = StateCrashed
	}
	var pause time.Duration
	if c.failures > 1 {
		pause = min(backoffFirst<<min(c.failures-2, 10), backoffCap)
	}
	if c.failures >= circuitAfter && c.state == StateCrashed {
		pause, c.state, what = circuitOpen, StateOpen, "circuit open"
	}
	c.wait = time.Now().Add(pause)
	c.mu.Unlock()
	c.tell(Event{What: what, PID: pid, Err: err})
}

func (c *child) tell(e Event) {
	if c.sup.o.Events != nil {
		e.Kind, e.Name = c.entry.Kind, c.entry.label()
		c.sup.o.Events(e)
	}
}

// configure passes settings on and keeps a copy for the next process.
func (c *child) configure(ctx context.Context, config core.Config) error {
	h, err := c.host(ctx)
	if err != nil {
		return err
	}
	if err := configureHost(ctx, h, config); err != nil {
		return err
	}
	c.keep(config)
	return nil
}

// keep copies settings for the next process.
func (c *child) keep(config core.Config) {
	kept := &core.Config{Values: maps.Clone(config.Values), Secrets: map[string]*secret.Buffer{}}
	for k, b := range config.Secrets {
		kept.Secrets[k] = b.Clone()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget()
	if c.state == StateClosed {
		wipe(kept)
		return
	}
	c.config = kept
}

// forget wipes the kept settings; the caller holds mu.
func (c *child) forget() {
	wipe(c.config)
	c.config = nil
}

func wipe(c *core.Config) {
	if c == nil {
		return
	}
	for _, b := range c.Secrets {
		b.Wipe()
	}
}

func (c *child) info() Info {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := Info{
		Kind: c.entry.Kind, Name: c.name, Version: c.version, Path: c.entry.Path, Trust: c.entry.Trust,
		State: c.state, Starts: c.starts, Err: c.err,
	}
	if i.Trust == "" {
		i.Trust = TrustNone
	}
	if c.image != nil {
		i.Digest = c.image.Digest
	}
	if c.state == StateRunning {
		i.PID = c.proc.PID()
		i.Sealed = !c.plain && c.at.Sealed()
		i.Approved = i.Trust == TrustApproved && i.Sealed && !c.image.Weak
	}
	return i
}

// close ends the process for good.
func (c *child) close() {
	c.turn <- struct{}{}
	defer c.unlock()
	c.mu.Lock()
	p, image := c.proc, c.image
	was := c.state
	if p != nil {
		c.drop()
	}
	c.state, c.image = StateClosed, nil
	c.forget()
	c.mu.Unlock()
	if p != nil {
		p.Close()
	}
	if image != nil && c.entry.Path != "" {
		_ = image.Close()
	}
	if was != StateClosed {
		close(c.ending)
		c.tell(Event{What: "closed"})
	}
	c.retired.Wait()
}
