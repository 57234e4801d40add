package server

import (
	"context"
	"crypto/tls"
	"log/slog"
	"sync/atomic"

	"github.com/keposs/keposs/core"
)

// settled is what a running SS-CC takes over from its folder on reload: the log
// level, the certificate and the pinned version of the backend's plugin.
// Everything else wants a restart.
type settled struct {
	folder Folder
	fixed  bool // the level came from a flag or the environment
	level  slog.LevelVar
	tls    atomic.Pointer[tls.Config]
	log    *slog.Logger
	keeper *keeper // nil = none
	count  int     // reloads asked for
	last   error   // why the last one was refused
}

// store is the database in use; nil = none.
func (r *settled) store() *store {
	if r.keeper == nil {
		return nil
	}
	return r.keeper.store()
}

// outer is the TLS configuration of the listener: each handshake takes the
// certificate of the last good reload.
func (r *settled) outer() *tls.Config {
	c := r.tls.Load().Clone()
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return r.tls.Load(), nil }
	return c
}

// reload reads configuration and certificate again. What is wrong is logged and
// changes nothing.
func (r *settled) reload(ctx context.Context) {
	const op = "ss-cc reload"
	r.count++
	r.last = func() error {
		c, err := r.folder.loadConfig(op)
		if err != nil {
			return err
		}
		level, err := logLevel(c.Log)
		if err != nil {
			return err
		}
		t, err := r.folder.tls(op)
		if err != nil {
			return err
		}
		if st := r.store(); st != nil {
			if err := st.reload(ctx, c); err != nil {
				return err
			}
		}
		r.tls.Store(t)
		if !r.fixed {
			r.level.Set(level)
		}
		return nil
	}()
	if err := r.last; err != nil {
		r.log.Error("reload refused: nothing changed", "code", core.CodeOf(err).String(), "error", err.Error())
		return
	}
	said := []any{"log", r.level.Level().String()}
	if st := r.store(); st != nil {
		said = append(said, "backend_version", st.version(), "backend_pid", st.pid())
	}
	r.log.Info("reloaded", said...)
}
