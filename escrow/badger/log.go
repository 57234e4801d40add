package badger

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/hashicorp/go-hclog"

	"github.com/keposs/keposs/core"
)

// logger takes Badger's log lines. Its chatter goes to Debug. A failed sync of
// the value log is only logged by Badger, the write then reported as done: that
// line stops the store.
type logger struct {
	l      hclog.Logger
	failed atomic.Pointer[string]
}

func (l *logger) Errorf(format string, args ...any) {
	line := strings.TrimSpace(fmt.Sprintf(format, args...))
	if strings.Contains(line, "sync") {
		l.fail(line)
	}
	l.l.Error(line)
}

func (l *logger) Warningf(format string, args ...any) {
	l.l.Warn(strings.TrimSpace(fmt.Sprintf(format, args...)))
}
func (l *logger) Infof(format string, args ...any)  { l.debug(format, args) }
func (l *logger) Debugf(format string, args ...any) { l.debug(format, args) }

func (l *logger) debug(format string, args []any) {
	if l.l.IsDebug() {
		l.l.Debug(strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
}

// fail stops the store for the rest of its life; the first reason is kept.
func (l *logger) fail(why string) { l.failed.CompareAndSwap(nil, &why) }

func (l *logger) failure() string {
	if p := l.failed.Load(); p != nil {
		return *p
	}
	return ""
}

func (l *logger) stopped(op string) error {
	if why := l.failure(); why != "" {
		return core.Errorf(core.Unavailable, op, "the store stopped itself (%s); check the disk and restart", why)
	}
	return nil
}

// openError names what an operator can do.
func openError(op, dir string, err error) error {
	if core.CodeOf(err) == core.Corrupt {
		return err
	}
	switch {
	case strings.Contains(err.Error(), "directory lock"):
		return core.Errorf(core.Unavailable, op, "%s is held by another process; only one may use it", dir)
	case errors.Is(err, syscall.ENOSPC):
		return core.Errorf(core.Exhausted, op, "no space left under %s: free some and start again", dir)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOENT):
		return core.Errorf(core.Unavailable, op, "%s: %w", dir, err)
	}
	return core.Errorf(core.Corrupt, op, "%s does not open; restore from a snapshot: %w", dir, err)
}
