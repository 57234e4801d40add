package cli

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/keposs/keposs/core"
)

// maxInput bounds a message or file a command takes.
const maxInput = 64 << 20

// readInput reads the file name, or standard input for "-".
func (e *Env) readInput(op, name string, limit int64) ([]byte, error) {
	r := e.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fileError(op, name, err)
		}
		defer f.Close()
		if st, err := f.Stat(); err == nil && st.IsDir() {
			return nil, core.Errorf(core.Usage, op, "%s is a folder, want a file", name)
		}
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, core.Errorf(core.Usage, op, "read %s: %w", name, err)
	}
	if int64(len(b)) > limit {
		return nil, core.Errorf(core.TooLarge, op, "%s is larger than %d bytes", name, limit)
	}
	return b, nil
}

// writeOutput writes b to the file name, or standard output for "-". A file is
// replaced as a whole or not at all.
func (e *Env) writeOutput(op, name string, b []byte, mode fs.FileMode) error {
	if name == "-" {
		if _, err := e.Stdout.Write(b); err != nil {
			return core.Errorf(core.Exhausted, op, "standard output: %w", err)
		}
		return nil
	}
	return writeWhole(op, name, b, mode)
}

// writeWhole replaces the file name by way of a temporary one beside it.
func writeWhole(op, name string, b []byte, mode fs.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".keposs-*")
	if err != nil {
		return fileError(op, name, err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if err = f.Chmod(mode); err == nil {
		if _, err = f.Write(b); err == nil {
			if err = f.Sync(); err == nil {
				if err = f.Close(); err == nil {
					err = os.Rename(f.Name(), name)
				}
			}
		}
	}
	if err != nil {
		return core.Errorf(core.Exhausted, op, "write %s: %w", name, err)
	}
	return nil
}

// fileError names the file and the cause a person can act on.
func fileError(op, name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return core.Errorf(core.NotFound, op, "%s does not exist", name)
	case errors.Is(err, fs.ErrPermission):
		return core.Errorf(core.Usage, op, "%s: permission denied", name)
	default:
		return core.Errorf(core.Usage, op, "%w", err)
	}
}
