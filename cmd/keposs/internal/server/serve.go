package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"

	hclog "github.com/hashicorp/go-hclog"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sscc"
	"github.com/keposs/keposs/escrow/api"
)

// ServeOptions tells Serve what differs from the configuration.
type ServeOptions struct {
	Listen   string         // "" = as configured
	Log      string         // level; "" = as configured
	Password *secret.Buffer // lent; opens the root key at once; nil = start SEALED
	Stderr   io.Writer      // structured log lines
	Ready    func(Ready)    // called once, when peers can connect
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
	if o.Log != "" {
		c.Log = o.Log
	}
	level, err := logLevel(c.Log)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(o.Stderr, &slog.HandlerOptions{Level: level}))
	unlock, err := f.lock(op)
	if err != nil {
		return err
	}
	defer unlock()
	f.sweep()
	if err := f.forgetListening(); err != nil {
		return err
	}
	st, err := f.openStore(ctx, c, log, hclog.LevelFromString(level.String()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	s, err := f.newCore(c, st, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := f.begin(ctx, s, o.Password); err != nil {
		return err
	}
	return f.listen(ctx, c, o, s, st, log)
}

// begin runs the self-tests and opens the root key where it was given.
func (f Folder) begin(ctx context.Context, s *sscc.Server, password *secret.Buffer) error {
	if err := s.Start(ctx); err != nil {
		return err
	}
	if s.State() == sscc.Init {
		return core.Errorf(core.Corrupt, "ss-cc serve", "%s was set up, but its database is empty: restore it", string(f))
	}
	if password == nil {
		return nil
	}
	return s.Unseal(ctx, password)
}

// listen serves peers until ctx ends.
func (f Folder) listen(ctx context.Context, c *Config, o ServeOptions, s *sscc.Server, st *store, log *slog.Logger) error {
	const op = "ss-cc serve"
	tls, err := f.tls(op)
	if err != nil {
		return err
	}
	addr := c.Listen
	if o.Listen != "" {
		addr = o.Listen
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return core.Errorf(core.Environment, op, "listen on %s: %w", addr, err)
	}
	srv, err := api.NewServer(api.ServerConfig{Core: s, TLS: tls, Logger: log, Drain: c.drain()})
	if err != nil {
		_ = l.Close()
		return err
	}
	ready := Ready{l.Addr().String(), os.Getpid(), c.Backend.Name, st.pid(), string(s.State())}
	if err := f.writeListening(ready, c); err != nil {
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
	select {
	case err := <-ended:
		if err == nil {
			err = errors.New("the listener ended")
		}
		return core.Errorf(core.Unavailable, op, "%w", err)
	case <-ctx.Done():
	}
	log.Info("draining", "at_most", c.Drain)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.drain())
	defer cancel()
	if err := srv.Shutdown(last); err != nil {
		log.Warn("requests were cut off", "error", err.Error())
	}
	<-ended
	log.Info("stopped")
	return nil
}
