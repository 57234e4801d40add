//go:build !unix

package client

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/keposs/keposs/core"
)

// privateModes tells that file modes say who may read; access lists do here.
const privateModes = false

// lock takes the folder for this process by a file only one can create. A
// crashed process leaves it behind; the message says what to remove.
func (f *folder) lock(ctx context.Context) (unlock func(), err error) {
	const op = "client: open"
	deadline := time.Now().Add(openTimeout)
	for {
		file, err := os.OpenFile(f.path(lockFile), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			return func() {
				_ = file.Close()
				_ = os.Remove(f.path(lockFile))
			}, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, core.Errorf(core.Environment, op, "%w", err)
		}
		if time.Now().After(deadline) {
			return nil, core.Errorf(core.Unavailable, op, "another process uses %s; if none does, remove its file %s", f.dir, lockFile)
		}
		select {
		case <-ctx.Done():
			return nil, core.Errorf(core.Canceled, op, "%w", ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
