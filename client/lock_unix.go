//go:build unix

package client

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keposs/keposs/core"
)

// privateModes tells that file modes say who may read.
const privateModes = true

// lock takes the folder for this process, waiting up to openTimeout: two
// processes that count tries in one file would lose one. The kernel releases
// it when the process dies.
func (f *folder) lock(ctx context.Context) (unlock func(), err error) {
	const op = "client: open"
	file, err := os.OpenFile(f.path(lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, core.Errorf(core.Environment, op, "%w", err)
	}
	deadline := time.Now().Add(openTimeout)
	for {
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			_ = file.Close()
			return nil, core.Errorf(core.Environment, op, "lock %s: %w", f.dir, err)
		}
		if time.Now().After(deadline) {
			_ = file.Close()
			return nil, core.Errorf(core.Unavailable, op, "another process has used %s for %s: wait until it ends", f.dir, openTimeout)
		}
		select {
		case <-ctx.Done():
			_ = file.Close()
			return nil, core.Errorf(core.Canceled, op, "%w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
