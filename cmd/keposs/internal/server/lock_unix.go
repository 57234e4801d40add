//go:build unix

package server

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/keposs/keposs/core"
)

// privateModes tells that file modes say who may read.
const privateModes = true

// lockWait is how long a process that is just ending may hold the folder.
const lockWait = 500 * time.Millisecond

// lock takes the folder for this process; the kernel gives it back when the
// process dies.
func (f Folder) lock(op string) (unlock func(), err error) {
	file, err := os.OpenFile(f.path(lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, core.Errorf(core.Environment, op, "%w", err)
	}
	for deadline := time.Now().Add(lockWait); ; time.Sleep(20 * time.Millisecond) {
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(deadline) {
			_ = file.Close()
			break
		}
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, core.Errorf(core.State, op, "another process serves or sets up %s: stop it first", string(f))
	}
	return nil, core.Errorf(core.Environment, op, "lock %s: %w", string(f), err)
}

// syncDir makes a rename durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
