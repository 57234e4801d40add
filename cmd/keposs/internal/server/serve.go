package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	hclog "github.com/hashicorp/go-hclog"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sscc"
	"github.com/keposs/keposs/escrow/api"
)

// ServeOptions tells Serve what differs from the configuration.
type ServeOptions struct {
	Listen   string // "" = as configured
	Log      string // level; "" = as configured
	Metrics  string // address:port of /metrics, /livez, /readyz; "" = as configured
	Getenv   func(string) string
	Reload   <-chan os.Signal // configuration, certificate and the backend's pinned plugin are read again; nil = never
	Password *secret.Buffer   // lent; opens the root key at once; nil = start SEALED
	Key      *secret.Buffer   // lent; content of a key file that opens the root key at once; nil = none
	Stderr   io.Writer        // structured log lines
	Ready    func(Ready)      // called once, when peers can connect
}

// Ready tells that SS-CC listens.
type Ready struct {
	Listening string `json:"listening"` // address:port
	PID       int    `json:"pid"`
	Backend   string `json:"backend"`
	BackendID int    `json:"backend_pid"`
	State     string `json:"state"` // SEALED or SERVING
}

// logLevel reads a level's name.
func logLevel(name string) (l slog.Level, err error) {
	if err := l.UnmarshalText([]byte(name)); err != nil {
		return l, core.Errorf(core.Usage, "ss-cc: configuration", "log level %q: want debug, info, warn or error", name)
	}
	return l, nil
}

// Serve runs SS-CC until ctx ends, then lets requests under way finish, closes
// the database and reaps its process. It starts SEALED unless Password opens
// the root key: nobody is served before the administrator came.
// req: K-10.3-01, X-09
func (f Folder) Serve(ctx context.Context, o ServeOptions) (err error) {
	const op = "ss-cc serve"
	if !f.exists() {
		return f.missing(op)
	}
	if err := f.private(op); err != nil {
		return err
	}
	c, err := f.loadConfig(op)
	if err != nil {
		return err
	}
	now := &settled{folder: f, fixed: c.override(o)}
	if err := c.check(); err != nil {
		return err
	}
	level, err := logLevel(c.Log)
	if err != nil {
		return err
	}
	now.level.Set(level)
	now.log = slog.New(slog.NewJSONHandler(o.Stderr, &slog.HandlerOptions{Level: &now.level}))
	unlock, err := f.lock(op)
	if err != nil {
		return err
	}
	defer unlock()
	f.sweep()
	if err := f.forgetListening(); err != nil {
		return err
	}
	m := newMetrics()
	k := &keeper{folder: f, log: now.log, open: func(ctx context.Context, c *Config) (*store, error) {
		return f.openStore(ctx, c, now.log, hclog.LevelFromString(level.String()), func(what string) { m.backend.WithLabelValues(what).Inc() })
	}}
	if err := k.begin(ctx, op, c); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.close()) }()
	now.keeper = k
	s, err := f.newCore(c, k.live, now.log, m.observe(now.log))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := f.begin(ctx, s, o); err != nil {
		return err
	}
	if c.Metrics != "" {
		m.watch(s)
		stop, err := m.serve(ctx, c.Metrics, s, now.log)
		if err != nil {
			return err
		}
		defer stop()
	}
	return f.listen(ctx, c, o, s, now, m)
}

// begin runs the self-tests and opens the root key where it was given.
func (f Folder) begin(ctx context.Context, s *sscc.Server, o ServeOptions) error {
	if err := s.Start(ctx); err != nil {
		return err
	}
	if s.State() == sscc.Init {
		return core.Errorf(core.Corrupt, "ss-cc serve", "%s was set up, but its database is empty: restore it", string(f))
	}
	switch {
	case o.Password != nil:
		return s.Unseal(ctx, o.Password)
	case o.Key != nil:
		return s.AutoUnseal(ctx, o.Key)
	default:
		return nil
	}
}

// listen serves peers until ctx ends.
func (f Folder) listen(ctx context.Context, c *Config, o ServeOptions, s *sscc.Server, now *settled, m *metrics) error {
	const op = "ss-cc serve"
	log, k := now.log, now.keeper
	t, err := f.tls(op)
	if err != nil {
		return err
	}
	now.tls.Store(t)
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return core.Errorf(core.Environment, op, "listen on %s: %w", c.Listen, err)
	}
	srv, err := api.NewServer(api.ServerConfig{Core: s, TLS: now.outer(), Logger: log, Drain: c.drain(), AddressRate: c.Limits.Address, Observe: m.call})
	if err != nil {
		_ = l.Close()
		return err
	}
	ready := Ready{Listening: l.Addr().String(), PID: os.Getpid(), State: string(s.State())}
	say := func() error {
		st := k.store()
		ready.Backend, ready.BackendID = st.entry.Name, st.pid()
		return f.writeListening(ready, c, now)
	}
	if err := say(); err != nil {
		_ = l.Close()
		return err
	}
	defer func() { _ = f.forgetListening() }()
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	log.Info("listening", "address", ready.Listening, "backend", ready.Backend, "backend_pid", ready.BackendID, "state", ready.State)
	if o.Ready != nil {
		o.Ready(ready)
	}
	var changing sync.Mutex // a migration ends in a goroutine of its own, beside reloads
	change := func(do func()) {
		changing.Lock()
		defer changing.Unlock()
		do()
		if err := say(); err != nil {
			log.Error("listening.json", "error", err.Error())
		}
	}
	k.moved = func() { change(func() {}) }
	look := time.NewTicker(orderEvery)
	defer look.Stop()
	for running := true; running; {
		select {
		case <-look.C:
			k.obey(ctx)
		case err := <-ended:
			if err == nil {
				err = errors.New("the listener ended")
			}
			return core.Errorf(core.Unavailable, op, "%w", err)
		case <-o.Reload:
			change(func() { now.reload(ctx) })
		case <-ctx.Done():
			running = false
		}
	}
	k.wait()
	log.Info("draining", "at_most", c.Drain)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.drain())
	defer cancel()
	if err := srv.Shutdown(last); err != nil {
		log.Warn("requests were cut off", "error", err.Error())
	}
	if err := <-ended; err != nil {
		log.Debug("listener closed", "reason", err.Error())
	}
	log.Info("stopped")
	return nil
}
