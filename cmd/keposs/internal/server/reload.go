package server

import (
	"crypto/tls"
	"log/slog"
	"sync/atomic"

	"github.com/keposs/keposs/core"
)

// settled is what a running SS-CC takes over from its folder on reload: the log
// level and the certificate. Everything else wants a restart.
type settled struct {
	folder Folder
	fixed  bool // the level came from a flag or the environment
	level  slog.LevelVar
	tls    atomic.Pointer[tls.Config]
	log    *slog.Logger
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
func (r *settled) reload() {
	const op = "ss-cc reload"
	err := func() error {
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
		r.tls.Store(t)
		if !r.fixed {
			r.level.Set(level)
		}
		return nil
	}()
	if err != nil {
		r.log.Error("reload refused: nothing changed", "code", core.CodeOf(err).String(), "error", err.Error())
		return
	}
	r.log.Info("reloaded", "log", r.level.Level().String())
}
