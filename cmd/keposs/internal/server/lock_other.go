//go:build !unix

package server

import (
	"errors"
	"io/fs"
	"os"

	"github.com/keposs/keposs/core"
)

// privateModes tells that file modes say who may read; access lists do here.
const privateModes = false

// lock takes the folder by a file only one process can create. A crashed
// process leaves it behind; the message says what to remove.
func (f Folder) lock(op string) (unlock func(), err error) {
	file, err := os.OpenFile(f.path(lockFile), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case err == nil:
		return func() {
			_ = file.Close()
			_ = os.Remove(f.path(lockFile))
		}, nil
	case errors.Is(err, fs.ErrExist):
		return nil, core.Errorf(core.State, op, "another process serves or sets up %s; if none does, remove its file %s", string(f), lockFile)
	default:
		return nil, core.Errorf(core.Environment, op, "%w", err)
	}
}

func syncDir(string) error { return nil }
