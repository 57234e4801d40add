package badger

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/keposs/keposs/core"
)

// takeOwner holds a folder for this Store until what it returns is closed, which
// is before Badger does: what is done to the files earlier must not meet another
// process at work. The file is nil where the system knows no such hold.
func takeOwner(dir string) (*os.File, error) {
	if !holds {
		return nil, nil
	}
	f, err := os.OpenFile(filepath.Join(dir, "OWNER"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, openError(openOp, dir, err)
	}
	if hold(f) != nil {
		_ = f.Close()
		return nil, held(openOp, dir)
	}
	return f, nil
}

func held(op, dir string) error {
	return core.Errorf(core.Unavailable, op, "%s is held by another process; only one may use it", dir)
}

// A store that was closed, and of which every table was verified while it was
// open, has a file that says so, until it is opened.
func cleanPath(dir string) string { return filepath.Join(dir, "CLEAN") }

func takeClean(dir string) (clean bool, err error) {
	err = os.Remove(cleanPath(dir))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func giveClean(dir string) error {
	f, err := os.OpenFile(cleanPath(dir), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString("closed\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
