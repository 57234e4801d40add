package plugins

import (
	"context"
	"slices"
	"sync"
	"time"

	hclog "github.com/hashicorp/go-hclog"

	"github.com/keposs/keposs/core"
)

// Options of a Supervisor. The zero value is usable.
type Options struct {
	Logger   hclog.Logger  // what plugins and go-plugin say; nil = nothing
	Unpinned bool          // start files nobody vouches for: for development and checks
	Events   func(Event)   // hears of starts and ends; must not block; nil = none
	Timeout  time.Duration // of one start; 0 = 5 s

	// Confine shuts the processes of sources and KDFs off from network, other
	// processes and every file but the system's programs and Entry.Read, as far as
	// the kernel has the means: Sandbox says. A source of a foreign make asks the
	// host for samples, a KDF computes, and neither needs anything else.
	Confine bool

	// Trace hears every call and frame as a line without secrets; for the
	// author of a plugin. nil = nothing.
	Trace func(line string)
}

// Event is one change in a plugin's life.
type Event struct {
	Kind, Name string
	What       string // "started", "reloaded", "crashed", "start failed", "circuit open", "closed"
	PID        int
	Err        error // of a failed start or a crash
}

// State of a supervised plugin.
type State string

// States.
const (
	StateIdle    State = "idle"    // not started yet
	StateRunning State = "running" // answers
	StateCrashed State = "crashed" // started again at the next call
	StateReload  State = "reload"  // a new version takes over; calls wait
	StateOpen    State = "open"    // failed repeatedly; left alone until the circuit closes
	StateClosed  State = "closed"
)

// Info is what List tells of one plugin.
type Info struct {
	Kind, Name, Version string
	Path                string // "" = built in
	Trust               Trust
	Approved            bool // an approved image that seals; false before the first start
	Sealed              bool // every secret so far went sealed
	State               State
	PID                 int // 0 unless running
	Digest              [32]byte
	Starts              int   // how often it was started
	Err                 error // the last failure
}

// A Supervisor owns plugin processes. Each call of Source, Sensor, KDF or
// Backend makes one supervised plugin, whose process is started at first use.
//
// After a crash the call it hit fails, Unavailable or, where a change may have
// been made, Indeterminate; a collection is never replayed. The next call
// starts a new process with the settings of the last Configure, after a pause
// that grows from 0 to 5 s with each crash in a row. After five the circuit is
// open: calls fail at once for 30 s.
//
// Safe for concurrent use.
type Supervisor struct {
	o Options

	mu       sync.Mutex
	children []*child
	closed   bool
	sealed   bool
	allowed  []Entry // once sealed
}

// NewSupervisor makes a supervisor of nothing yet. The caller closes it.
func NewSupervisor(o Options) *Supervisor { return &Supervisor{o: o} }

func (s *Supervisor) add(e Entry, kind string) (*child, error) {
	if e.Kind != kind {
		return nil, core.Errorf(core.Usage, "plugins", "%s is a %s, want a %s", e.label(), e.Kind, kind)
	}
	if err := e.check(s.o); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, core.Errorf(core.Closed, "plugins", "the supervisor is closed")
	}
	if !s.admits(e) {
		return nil, core.Errorf(core.Integrity, "plugins", "%s %s is not in the sealed set of plugins", e.Kind, e.label())
	}
	c := newChild(s, e)
	s.children = append(s.children, c)
	return c, nil
}

// Seal fixes the set of plugins, as clause 10.2.3 asks once the self-test has
// passed: from now on only these entries, and those asked for before, are
// started, each from the image its digest names. Others are Integrity.
//
// req: K-10.2.3-01
func (s *Supervisor) Seal(allowed ...Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sealed {
		return // a sealed set never grows
	}
	s.sealed = true
	s.allowed = append(s.allowed, allowed...)
	for _, c := range s.children {
		s.allowed = append(s.allowed, c.current())
	}
}

// admits reports whether e may be started; the caller holds mu.
func (s *Supervisor) admits(e Entry) bool {
	return !s.sealed || slices.ContainsFunc(s.allowed, e.equal)
}

// Source returns a supervised source. It is started at its first use.
func (s *Supervisor) Source(_ context.Context, e Entry) (core.Source, error) {
	c, err := s.add(e, KindSource)
	if err != nil {
		return nil, err
	}
	return &source{c}, nil
}

// Sensor returns a supervised sensor.
func (s *Supervisor) Sensor(_ context.Context, e Entry) (core.Sensor, error) {
	c, err := s.add(e, KindSensor)
	if err != nil {
		return nil, err
	}
	return &sensor{c}, nil
}

// KDF returns a supervised KDF.
func (s *Supervisor) KDF(_ context.Context, e Entry) (core.KDF, error) {
	c, err := s.add(e, KindKDF)
	if err != nil {
		return nil, err
	}
	return &kdf{c}, nil
}

// Backend returns a supervised backend. Closing it ends its process. It has
// every optional method of core; one its plugin lacks answers Unsupported.
func (s *Supervisor) Backend(_ context.Context, e Entry) (core.Backend, error) {
	c, err := s.add(e, KindBackend)
	if err != nil {
		return nil, err
	}
	return &backend{child: c}, nil
}

// Warm starts plugins side by side: values of this supervisor, in any order.
// It returns the first error; the others are started all the same.
func (s *Supervisor) Warm(ctx context.Context, vs ...any) error {
	errs := make(chan error, len(vs))
	for _, v := range vs {
		go func() {
			h, ok := v.(interface{ supervised() *child })
			if !ok {
				errs <- core.Errorf(core.Usage, "plugins", "%T is not of a supervisor", v)
				return
			}
			_, err := h.supervised().host(ctx)
			errs <- err
		}()
	}
	var first error
	for range vs {
		if err := <-errs; first == nil {
			first = err
		}
	}
	return first
}

// List tells of every plugin, in the order they were asked for.
func (s *Supervisor) List() []Info {
	s.mu.Lock()
	children := append([]*child(nil), s.children...)
	s.mu.Unlock()
	out := make([]Info, len(children))
	for i, c := range children {
		out[i] = c.info()
	}
	return out
}

// InfoOf tells of a value a supervisor returned; ok is false for others.
func InfoOf(v any) (i Info, ok bool) {
	h, ok := v.(interface{ supervised() *child })
	if !ok {
		return Info{}, false
	}
	return h.supervised().info(), true
}

// Close ends every process and waits until all are reaped. It may be called
// repeatedly; calls of plugins are Closed afterwards.
func (s *Supervisor) Close() error {
	s.mu.Lock()
	s.closed = true
	children := s.children
	s.mu.Unlock()
	var all sync.WaitGroup
	for _, c := range children {
		all.Go(c.close)
	}
	all.Wait()
	return nil
}
